package portal

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// What is at the other end may be anything that says hello: it can end the login, and no more.
func TestT07ClientTakesNothingElse(t *testing.T) {
	t.Parallel()
	url := "http://localhost:" + page(t)
	bridge := portaltest.NewBridge(t)
	ctx := portaltest.Browser{Ports: [3]string{bridge.Addr}}.Start(t)
	says := func(texts ...string) {
		bridge.Serve(answer(func(c *portaltest.Conn, _ portaltest.Message) {
			for _, text := range texts {
				c.WriteText(text)
			}
		}))
	}
	const done = `{"jsonrpc":"2.0","id":2,"result":{"token":{"format":"web-eid:1.0"}}}`
	progress := func(state string) string {
		return `{"jsonrpc":"2.0","method":"progress","params":{"id":2,"state":` + state + `}}`
	}
	good := map[string]any{"token": token}

	t.Run("states", func(t *testing.T) {
		says(progress(`"of_the_future"`), progress(`"__proto__"`), progress(`"button"`), progress(`7`), progress(`"pin"`), done)
		got := try(t, ctx, url, "", "")
		if want := []string{"permission", "pin"}; !reflect.DeepEqual(got.States, want) || !reflect.DeepEqual(got.Result, good) {
			t.Errorf("the page saw %+v", got)
		}
	})

	t.Run("more than a token", func(t *testing.T) {
		says(`{"jsonrpc":"2.0","id":2,"result":{"token":{"format":"web-eid:1.0","__proto__":{"admin":true}},"__proto__":{"admin":true},"then":1,"personalData":{"toString":1}}}`)
		if got := try(t, ctx, url, "personalData: true", ""); !reflect.DeepEqual(got.Result, good) {
			t.Errorf("the page got %v %q", got.Result, got.Code)
		}
		says(`{"jsonrpc":"2.0","id":2,"result":{"token":{"format":"web-eid:1.0"},"personalData":"AAAA"}}`)
		if got := try(t, ctx, url, "", ""); !reflect.DeepEqual(got.Result, good) {
			t.Errorf("the page got what it did not ask for: %v %q", got.Result, got.Code)
		}
	})

	t.Run("errors that are none", func(t *testing.T) {
		for text, want := range map[string]string{
			`true`: "internal", `"busy"`: "internal", `[]`: "internal", `{}`: "internal",
			`{"message":"x","data":null}`:                                              "internal",
			`{"message":"x","data":{"code":["busy"]}}`:                                 "internal",
			`{"message":"x","data":{"code":"bridge_unavailable"}}`:                     "internal",
			`{"message":{"toString":1},"data":{"code":"busy"}}`:                        "busy",
			`{"code":-32000,"message":"x","data":{"code":"busy"},"__proto__":{"a":1}}`: "busy",
		} {
			t.Run(text, func(t *testing.T) {
				says(`{"jsonrpc":"2.0","id":2,"error":` + text + `}`)
				if got := try(t, ctx, url, "", ""); got.Code != want {
					t.Errorf("code %q, want %q", got.Code, want)
				}
			})
		}
	})

	t.Run("an id again", func(t *testing.T) {
		bridge.Serve(func(c *portaltest.Conn) {
			m, _ := c.Read()
			for range 2 {
				c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"protocol": 1, "token": token}})
			}
			c.Read()
			c.Read()
		})
		if got := try(t, ctx, url, "", ""); got.Code != "internal" {
			t.Errorf("code %q", got.Code)
		}
	})

	t.Run("cancelled while the portal makes its challenge", func(t *testing.T) {
		asked := make(chan bool, 1)
		bridge.Serve(func(c *portaltest.Conn) {
			_, ok := c.Hello()
			asked <- ok
		})
		got := try(t, ctx, url, `signal: stop.signal, challenge: () => { stop.abort(); return "Y2hhbGxlbmdl"; }`, "const stop = new AbortController()")
		if got.Code != "user_cancelled" || <-asked {
			t.Errorf("code %q, and perhaps the bridge was asked all the same", got.Code)
		}
	})

	// A script of the page itself can play the extension, for it could do anything there. Another
	// window or frame cannot, even if it knows the channel.
	const play = `
		window.setTimeout = later; // the extension is looked for as long as on a citizen's page
		addEventListener("message", ({ data }) => {
			if (data?.to !== "crs-extension") return;
			const say = (rest) => post({ from: "crs-extension", channel: data.channel, ...rest });
			if (data.action === "find") say({ action: "found", protocol: 1 });
			if (data.action === "open") say({ action: "open" });
			if (data.action !== "send") return;
			const { id, method } = JSON.parse(data.text);
			const result = method === "hello" ? { protocol: 1 } : { token: { format: "forged" } };
			say({ action: "message", text: JSON.stringify({ jsonrpc: "2.0", id, result }) });
		})`
	for name, player := range map[string]struct{ script, format string }{
		"the page": {`const post = (message) => postMessage(message, location.origin);`, "forged"},
		"a frame": {`const frame = document.createElement("iframe");
			document.body.append(frame);
			const post = frame.contentWindow.eval("(message) => parent.postMessage(message, '*')");`, "web-eid:1.0"},
		"nobody of this channel": {`const post = (message) => postMessage({ ...message, channel: "another" }, location.origin);`, "web-eid:1.0"},
	} {
		t.Run("extension played by "+name, func(t *testing.T) {
			bridge.Serve(succeed)
			got := try(t, ctx, url, "", player.script+play)
			if want := map[string]any{"token": map[string]any{"format": player.format}}; !reflect.DeepEqual(got.Result, want) {
				t.Errorf("the page got %v %q", got.Result, got.Code)
			}
		})
	}
}

// A button that is handed an unknown code or reason still says something sensible.
func TestButtonOfOtherCodes(t *testing.T) {
	t.Parallel()
	url := "http://localhost:" + page(t)
	bridge := portaltest.NewBridge(t)
	bridge.Serve(func(c *portaltest.Conn) { c.Hello() })
	ctx := portaltest.Browser{Ports: [3]string{bridge.Addr}}.Start(t)
	const unknown, refused = "Something went wrong", "The portal did not accept the card"
	for _, tt := range []struct{ failure, want string }{
		{`{ code: "__proto__" }`, unknown},
		{`{ code: "constructor" }`, unknown},
		{`{ code: "button" }`, unknown},
		{`{ code: "of_the_portal" }`, unknown},
		{`{ code: "" }`, unknown},
		{`null`, unknown},
		{`{ code: "portal" }`, refused},
		{`{ code: "portal", reason: "of_the_future" }`, refused},
		{`{ code: "portal", reason: "__proto__" }`, refused},
		{`{ code: "portal", reason: ["expired"] }`, refused},
		{`{ code: "portal", reason: "expired" }`, "The card has expired"},
		{`{ code: "busy", reason: "expired" }`, "The CRS software is busy"},
	} {
		t.Run(tt.failure, func(t *testing.T) {
			var says string
			err := chromedp.Run(ctx, chromedp.Navigate(url), chromedp.Evaluate(`(async () => {
				await import("/crs/crs-login.js");
				const button = document.createElement("crs-login");
				document.documentElement.lang = "en";
				document.body.append(button);
				button.portal = { challenge: () => Promise.reject(`+tt.failure+`) };
				const failed = new Promise((resolve) => button.addEventListener("crs-error", resolve));
				button.shadowRoot.querySelector("button").click();
				await failed;
				return button.shadowRoot.querySelector(".error").textContent;
			})()`, &says, awaitPromise))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(says, tt.want) {
				t.Errorf("told as %q, want %q", says, tt.want)
			}
		})
	}
}

// A browser's question that is closed with its X leaves the permission as it was, and so does a port
// where nobody listens. But closing it took the citizen some time.
func TestClientQuestionClosed(t *testing.T) {
	t.Parallel()
	url := "http://localhost:" + page(t)
	var bridges [3]*portaltest.Bridge
	var addrs [3]string
	var wait [3]time.Duration // before a port answers the handshake
	for i := range bridges {
		bridges[i] = portaltest.NewBridge(t)
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(wait[i])
			bridges[i].ServeHTTP(w, r)
		}))
		t.Cleanup(slow.Close)
		addrs[i] = slow.Listener.Addr().String()
	}
	ctx := portaltest.Browser{Ports: addrs}.Start(t)
	const person = time.Second
	for _, tt := range []struct {
		name    string
		wait    [3]time.Duration
		serve   func(*portaltest.Conn)
		decided browser.PermissionSetting // "" while the browser would ask
		want    string
	}{
		{"closed", [3]time.Duration{person}, nil, "", "permission_dismissed"},
		{"closed, third port", [3]time.Duration{2: person}, nil, "", "permission_dismissed"},
		{"nobody", [3]time.Duration{}, nil, "", "bridge_unavailable"},
		{"slow computer", [3]time.Duration{person, person, person}, nil, "", "bridge_unavailable"},
		{"opened, then slow", [3]time.Duration{}, func(c *portaltest.Conn) { c.Read(); time.Sleep(person) }, "", "bridge_unavailable"},
		{"allowed, then slow", [3]time.Duration{person}, nil, browser.PermissionSettingGranted, "bridge_unavailable"},
		{"blocked", [3]time.Duration{person}, nil, browser.PermissionSettingDenied, "permission_denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wait = tt.wait
			bridges[0].Serve(tt.serve)
			if tt.decided != "" {
				decide(t, ctx, tt.decided)
			}
			if got := try(t, ctx, url, "", ""); got.Code != tt.want {
				t.Errorf("code %q, want %q", got.Code, tt.want)
			}
		})
	}
}
