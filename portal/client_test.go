package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs/internal/test/await"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// page serves crs.js and an empty page, which the test's scripts run in.
func page(t *testing.T) (port string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/crs/", &Login{})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/policy" {
			w.Header().Set("Content-Security-Policy", "connect-src 'self'")
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>page</title>")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// outcome is what a page saw of a login.
type outcome struct {
	Result  map[string]any
	Code    string
	States  []string
	Sockets int // connections that the page tried to make
	Open    int // and those that it left open
	Late    int // timers that ran out
	Abort   int // listeners that were added to a signal and not removed, if before counts them
}

// try logs in on a page; options are further members of login's argument, before runs first.
// An extension is looked for a hundred times as fast as on a citizen's page, because there is none;
// the other timers run as on such a page unless before sets hurry. The function opened, if before
// defines it, hears of every connection.
func try(t *testing.T, ctx context.Context, url, options, before string) outcome {
	t.Helper()
	script := fmt.Sprintf(`(async () => {
		const later = window.setTimeout;
		const seen = { States: [], Late: 0, Abort: 0 };
		let hurry = 1;
		window.setTimeout = (f, ms, ...args) => later(() => { seen.Late++; f(...args); }, ms / (ms < 1000 ? 100 : hurry));
		const { login, CRSError } = await import("/crs/crs.js");
		let opened = () => {};
		const sockets = [];
		window.WebSocket = class extends WebSocket {
			constructor(url) {
				super(url);
				opened(sockets.push(this));
			}
		};
		const onProgress = (state) => seen.States.push(state);
		try {
			%s;
			seen.Result = await login({ challenge: "Y2hhbGxlbmdl", onProgress, %s });
		} catch (error) {
			seen.Code = error instanceof CRSError && error.message ? error.code : String(error);
		}
		seen.Sockets = sockets.length;
		seen.Open = sockets.filter((s) => s.readyState <= WebSocket.OPEN).length;
		return JSON.stringify(seen);
	})()`, before, options)
	var seen outcome
	var text string
	if err := chromedp.Run(ctx, chromedp.Navigate(url), chromedp.Evaluate(script, &text, awaitPromise)); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Open > 0 {
		t.Errorf("%d connections of %d were left open", seen.Open, seen.Sockets)
	}
	return seen
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// answer serves a connection up to the authenticate request, then calls next.
func answer(next func(*portaltest.Conn, portaltest.Message)) func(*portaltest.Conn) {
	return func(c *portaltest.Conn) {
		if m, ok := c.Hello(); ok && m.Method == "authenticate" {
			next(c, m)
			c.Read() // until the client closes
		}
	}
}

var token = map[string]any{"format": "web-eid:1.0"}

// succeed answers with a token.
var succeed = answer(func(c *portaltest.Conn, m portaltest.Message) {
	c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": token}})
})

// crs.js in Chromium against a bridge that plays every part.
func TestClient(t *testing.T) {
	t.Parallel()
	port := page(t)
	url := "http://localhost:" + port
	var bridges [3]*portaltest.Bridge
	var addrs [3]string
	for i := range bridges {
		bridges[i] = portaltest.NewBridge(t)
		addrs[i] = bridges[i].Addr
	}
	ctx := portaltest.Browser{Ports: addrs, Hosts: map[string]string{"portal.example": "127.0.0.1"}}.Start(t)

	// serve sets what the three ports do, and returns how often each was asked before.
	serve := func(first, second, third func(*portaltest.Conn)) (asked [3]int) {
		for i, s := range []func(*portaltest.Conn){first, second, third} {
			asked[i] = bridges[i].Serve(s)
		}
		return asked
	}
	expect := func(t *testing.T, got outcome, code string) {
		t.Helper()
		if got.Code != code {
			t.Errorf("code %q, want %q", got.Code, code)
		}
	}

	t.Run("login", func(t *testing.T) {
		var asked portaltest.Message
		serve(answer(func(c *portaltest.Conn, m portaltest.Message) {
			asked = m
			if c.Origin != url {
				t.Errorf("origin %q", c.Origin)
			}
			c.Progress(m.ID, "consent", "card", "pin", "signing")
			c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": token, "personalData": "AAAA"}})
		}), nil, nil)
		got := try(t, ctx, url, `lang: "it", personalData: true`, "")
		expect(t, got, "")
		if want := map[string]any{"token": token, "personalData": "AAAA"}; !reflect.DeepEqual(got.Result, want) {
			t.Errorf("result %v", got.Result)
		}
		// Chromium would ask for the permission if this page were not on the computer itself.
		if want := []string{"permission", "consent", "card", "pin", "signing"}; !slices.Equal(got.States, want) {
			t.Errorf("states %q", got.States)
		}
		if want := map[string]any{"challenge": "Y2hhbGxlbmdl", "lang": "it", "personalData": true}; !reflect.DeepEqual(asked.Params, want) {
			t.Errorf("parameters %v", asked.Params)
		}
	})

	t.Run("only what was asked for", func(t *testing.T) {
		serve(answer(func(c *portaltest.Conn, m portaltest.Message) {
			if want := map[string]any{"challenge": "Y2hhbGxlbmdl"}; !reflect.DeepEqual(m.Params, want) {
				t.Errorf("parameters %v", m.Params)
			}
			c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": token}})
		}), nil, nil)
		expect(t, try(t, ctx, url, "", ""), "")
		if asked := serve(nil, nil, nil); asked != [3]int{1, 0, 0} {
			t.Errorf("connections %v", asked)
		}
	})

	t.Run("errors", func(t *testing.T) {
		for _, code := range append(programCodes(t), "of_the_future") {
			t.Run(code, func(t *testing.T) {
				want := code
				if code == "of_the_future" {
					want = "internal"
				}
				serve(answer(func(c *portaltest.Conn, m portaltest.Message) { c.Refuse(m.ID, code) }), succeed, nil)
				expect(t, try(t, ctx, url, "", ""), want)
				if asked := serve(nil, nil, nil); asked != [3]int{1, 0, 0} {
					t.Errorf("connections %v: an answer is an answer", asked)
				}
			})
		}
	})

	// Ports: anything but a bridge that answers is skipped.
	hello := func(reply func(*portaltest.Conn, portaltest.Message)) func(*portaltest.Conn) {
		return func(c *portaltest.Conn) {
			if m, ok := c.Read(); ok {
				reply(c, m)
				if m, ok := c.Read(); ok {
					t.Errorf("the client went on with %v", m)
				}
			}
		}
	}
	for name, stranger := range map[string]func(*portaltest.Conn){
		"refuses": nil,
		"leaves":  func(*portaltest.Conn) {},
		"silent":  hello(func(*portaltest.Conn, portaltest.Message) {}),
		"not JSON": hello(func(c *portaltest.Conn, _ portaltest.Message) {
			c.WriteText("hello")
		}),
		"null": hello(func(c *portaltest.Conn, _ portaltest.Message) { c.WriteText("null") }),
		"echo": hello(func(c *portaltest.Conn, m portaltest.Message) { c.Write(m) }),
		"other protocol": hello(func(c *portaltest.Conn, m portaltest.Message) {
			c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"protocol": 2}})
		}),
		"other id": hello(func(c *portaltest.Conn, m portaltest.Message) {
			c.Write(portaltest.Message{ID: m.ID + 1, Result: map[string]any{"protocol": 1}})
		}),
	} {
		t.Run("port "+name, func(t *testing.T) {
			serve(stranger, stranger, succeed)
			expect(t, try(t, ctx, url, "", ""), "")
			if asked := serve(stranger, stranger, stranger); asked != [3]int{1, 1, 1} {
				t.Errorf("connections %v", asked)
			}
			// Nobody answers in time, however short that is.
			expect(t, try(t, ctx, url, "", "hurry = 100"), "bridge_unavailable")
		})
	}

	t.Run("one connection at a time", func(t *testing.T) {
		open := make(chan struct{}, 1)
		one := func(c *portaltest.Conn) {
			select {
			case open <- struct{}{}:
			default:
				t.Error("two connections at once")
			}
			c.Read()
			<-open
		}
		serve(one, one, one)
		expect(t, try(t, ctx, url, "", ""), "bridge_unavailable")
	})

	t.Run("unsupported version", func(t *testing.T) {
		serve(hello(func(c *portaltest.Conn, m portaltest.Message) { c.Refuse(m.ID, "unsupported_version") }), nil, nil)
		expect(t, try(t, ctx, url, "", ""), "unsupported_version")
	})

	// A challenge is asked for once the bridge is there to take it. It does not age while the browser
	// asks the citizen, and none is made where nobody listens.
	t.Run("challenge comes last", func(t *testing.T) {
		const options = `challenge: () => { seen.States.push("challenge"); return "Y2hhbGxlbmdl"; }`
		refused := hello(func(c *portaltest.Conn, m portaltest.Message) { c.Refuse(m.ID, "unsupported_version") })
		for _, tt := range []struct {
			name  string
			serve func(*portaltest.Conn)
			code  string
			want  []string
		}{
			{"nobody", nil, "bridge_unavailable", []string{"permission"}},
			{"silent", hello(func(*portaltest.Conn, portaltest.Message) {}), "bridge_unavailable", []string{"permission"}},
			{"refused", refused, "unsupported_version", []string{"permission"}},
			{"taken", answer(func(c *portaltest.Conn, m portaltest.Message) {
				c.Progress(m.ID, "pin")
				c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": token}})
			}), "", []string{"permission", "challenge", "pin"}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				serve(tt.serve, nil, nil)
				before := ""
				if tt.name == "silent" {
					before = "hurry = 100"
				}
				got := try(t, ctx, url, options, before)
				expect(t, got, tt.code)
				if !slices.Equal(got.States, tt.want) {
					t.Errorf("the page saw %q, want %q", got.States, tt.want)
				}
			})
		}
	})

	t.Run("bridge goes away", func(t *testing.T) {
		serve(func(c *portaltest.Conn) { c.Hello() }, succeed, nil)
		expect(t, try(t, ctx, url, "", ""), "bridge_unavailable")
	})

	t.Run("wrong answers", func(t *testing.T) {
		for name, wrong := range map[string]func(*portaltest.Conn, portaltest.Message){
			"no result": func(c *portaltest.Conn, m portaltest.Message) { c.Write(portaltest.Message{ID: m.ID}) },
			"token is text": func(c *portaltest.Conn, m portaltest.Message) {
				c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": "x"}})
			},
			"other id": func(c *portaltest.Conn, m portaltest.Message) {
				c.Write(portaltest.Message{ID: m.ID + 1, Result: map[string]any{"token": token}})
			},
			"no version": func(c *portaltest.Conn, m portaltest.Message) { c.WriteText(`{"id":2,"result":{"token":{}}}`) },
			"a batch":    func(c *portaltest.Conn, m portaltest.Message) { c.WriteText("[]") },
			"progress of another login": func(c *portaltest.Conn, m portaltest.Message) {
				c.Progress(m.ID+1, "pin")
				c.Refuse(m.ID, "busy")
			},
		} {
			t.Run(name, func(t *testing.T) {
				serve(answer(wrong), nil, nil)
				expect(t, try(t, ctx, url, "", ""), "internal")
			})
		}
	})

	t.Run("cancel", func(t *testing.T) {
		closed := make(chan bool, 1)
		serve(func(c *portaltest.Conn) {
			login, _ := c.Hello()
			c.Progress(login.ID, "pin")
			cancel, ok := c.Read()
			if !ok || cancel.Method != "cancel" || cancel.Params["id"] != float64(login.ID) {
				t.Errorf("instead of a cancel: %+v", cancel)
			}
			_, more := c.Read()
			closed <- !more
		}, succeed, nil)
		got := try(t, ctx, url, `signal: stop.signal, onProgress: (s) => { if (s === "pin") stop.abort(); }`, "const stop = new AbortController()")
		expect(t, got, "user_cancelled")
		select {
		case ok := <-closed:
			if !ok {
				t.Error("the client went on after its cancel")
			}
		case <-time.After(await.Limit):
			t.Error("the connection stayed open")
		}
		serve(succeed, succeed, succeed)
		expect(t, try(t, ctx, url, `signal: AbortSignal.abort()`, ""), "user_cancelled")
		if asked := serve(nil, nil, nil); asked != [3]int{} {
			t.Errorf("connections %v after a cancel", asked)
		}
		for port := range 3 {
			got := try(t, ctx, url, `signal: stop.signal`, fmt.Sprintf(
				"const stop = new AbortController(); opened = (n) => n === %d && queueMicrotask(() => stop.abort())", port+1))
			expect(t, got, "user_cancelled")
			if got.Sockets != port+1 {
				t.Errorf("%d connections, cancelled at the %dth", got.Sockets, port+1)
			}
		}
	})

	t.Run("policy of the page forbids it", func(t *testing.T) {
		serve(succeed, nil, nil)
		got := try(t, ctx, url+"/policy", "", "")
		expect(t, got, "bridge_unavailable")
		if got.Late > 1 { // the one of an extension that is not there
			t.Error("it was noticed only when time was up")
		}
	})

	t.Run("browser throws", func(t *testing.T) {
		const before = `window.WebSocket = class { constructor() { throw new DOMException("no", "SecurityError"); } };
			const signal = new AbortController().signal;
			signal.addEventListener = () => { seen.Abort++; };
			signal.removeEventListener = () => { seen.Abort--; }`
		got := try(t, ctx, url, "signal", before)
		expect(t, got, "bridge_unavailable")
		if got.Abort != 0 {
			t.Errorf("%d listeners are left on the signal", got.Abort)
		}
	})

	t.Run("insecure page", func(t *testing.T) {
		serve(succeed, succeed, succeed)
		expect(t, try(t, ctx, "http://portal.example:"+port, "", ""), "insecure_context")
		if asked := serve(nil, nil, nil); asked != [3]int{} {
			t.Errorf("connections %v from an insecure page", asked)
		}
	})

	// A worker has no page to ask from; and two scripts of a page may each bring the button along.
	t.Run("loaded elsewhere", func(t *testing.T) {
		serve(succeed, succeed, succeed)
		var worker, buttons string
		err := chromedp.Run(ctx, chromedp.Navigate(url), chromedp.Evaluate(`new Promise((resolve) => {
			const script = 'import { login } from "'+location.origin+'/crs/crs.js"; import "'+location.origin+'/crs/crs-login.js";' +
				'login({ challenge: "x" }).catch((error) => postMessage(error.code));';
			const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module" });
			worker.onmessage = ({ data }) => resolve(data);
			worker.onerror = ({ message }) => resolve(message ?? "not loaded");
		})`, &worker, awaitPromise), chromedp.Evaluate(`(async () => {
			document.documentElement.lang = "en";
			document.body.append(document.createElement("crs-login"));
			await import("/crs/crs-login.js");
			await import("/crs/crs-login.js?again");
			return document.querySelector("crs-login").shadowRoot.querySelector("button").textContent;
		})().catch(String)`, &buttons, awaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if worker != "insecure_context" || buttons != "Log in" {
			t.Errorf("in a worker %q, twice in a page %q", worker, buttons)
		}
		if asked := serve(nil, nil, nil); asked != [3]int{} {
			t.Errorf("connections %v", asked)
		}
	})

	t.Run("TestT05Frame", func(t *testing.T) {
		serve(succeed, succeed, succeed)
		var code string
		err := chromedp.Run(ctx, chromedp.Navigate(url), chromedp.Evaluate(`new Promise((resolve) => {
			const frame = document.createElement("iframe");
			frame.src = "/";
			frame.onload = async () => {
				const { login } = await frame.contentWindow.eval('import("/crs/crs.js")');
				login({ challenge: "x" }).then(() => resolve("logged in"), (error) => resolve(error.code));
			};
			document.body.append(frame);
		})`, &code, awaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if code != "insecure_context" {
			t.Errorf("login in a frame: %q", code)
		}
		if asked := serve(nil, nil, nil); asked != [3]int{} {
			t.Errorf("connections %v from a frame", asked)
		}
	})
}

// decide answers the browser's question for every site.
func decide(t *testing.T, ctx context.Context, to browser.PermissionSetting) {
	t.Helper()
	err := chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		whole := cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
		return browser.SetPermission(&browser.PermissionDescriptor{Name: "loopback-network"}, to).Do(whole)
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// A public page needs the citizen's permission. Headless Chromium answers no unless it is set to
// yes, like a citizen who presses Block.
func TestClientPermission(t *testing.T) {
	t.Parallel()
	port := page(t)
	url := "http://127.0.0.1:" + port
	bridge := portaltest.NewBridge(t)
	ctx := portaltest.Browser{Ports: [3]string{"", bridge.Addr, ""}, Public: port}.Start(t)

	bridge.Serve(succeed)
	got := try(t, ctx, url, "", "")
	if got.Code != "permission_denied" || !slices.Equal(got.States, []string{"permission"}) {
		t.Errorf("blocked when asked: %+v", got)
	}
	got = try(t, ctx, url, "", "")
	if got.Code != "permission_denied" || len(got.States) != 0 || got.Sockets != 0 {
		t.Errorf("blocked before: %+v", got)
	}
	if asked := bridge.Serve(succeed); asked != 0 {
		t.Errorf("%d handshakes without permission", asked)
	}
	decide(t, ctx, browser.PermissionSettingGranted)
	got = try(t, ctx, url, "", "")
	if got.Code != "" || len(got.States) != 0 {
		t.Errorf("allowed: %+v", got)
	}
	bridge.Serve(nil)
	got = try(t, ctx, url, "", "")
	if got.Code != "bridge_unavailable" {
		t.Errorf("allowed, but nobody answers: %+v", got)
	}
}
