package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	webextension "github.com/crs-bridge/crs/extension"
	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/virtualcard"
	webportal "github.com/crs-bridge/crs/portal"
)

// Real browsers, headless, with the extension and without, on a portal that counts as one of the
// internet.

// webBrowser is what the tests do in either browser.
type webBrowser interface {
	open(url string)
	press(selector string)    // with a real click, in the middle of the element
	pressInFrame()            // the same, on the button in the one frame of the page
	run(script string) string // the body of a function, and the text that it returns
}

const (
	sitePort  = "8443"
	site      = "https://portale.example:" + sitePort
	otherSite = "https://altrove.example:" + sitePort
	httpSite  = "http://portale.example:8080"
)

// serveSites serves crs.js and pages that log in at a click, until the test ends.
func serveSites(t *testing.T) {
	t.Helper()
	mux := http.NewServeMux()
	issuers := x509.NewCertPool()
	issuers.AddCert(virtualcard.SharedCA().Certificate)
	origin, err := crs.ParseOrigin(site)
	if err != nil {
		t.Fatal(err)
	}
	client := &webportal.Login{
		Verifier: &webportal.Verifier{Origin: origin, Issuers: issuers},
		OnLogin:  func(http.ResponseWriter, *http.Request, webportal.Citizen) error { return nil },
	}
	mux.HandleFunc("/crs/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // a sandboxed frame is of no origin
		client.ServeHTTP(w, r)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/strict" {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'")
			w.Header().Set("Permissions-Policy", "loopback-network=()")
		}
		fmt.Fprint(w, `<!doctype html><html lang="it"><title>Pagina</title><script type="module" src="/page.js"></script>`)
		if r.URL.Path == "/element" {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'")
			lang := cmp.Or(r.FormValue("lang"), "it")
			fmt.Fprintf(w, `<script type="module" src="/crs/crs-login.js"></script><main lang=%q><h1>Portale</h1><crs-login></crs-login></main>`, lang)
			return
		}
		if frame := r.FormValue("frame"); frame != "" {
			fmt.Fprintf(w, `<iframe src="%s" %s width="300" height="200"></iframe>`, frame, r.FormValue("with"))
			return
		}
		fmt.Fprint(w, `<button style="width: 250px; height: 150px">Accedi</button>`)
	})
	mux.HandleFunc("/page.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		fmt.Fprint(w, pageScript)
	})
	for address, secure := range map[string]bool{"127.0.0.1:" + sitePort: true, "127.0.0.1:8080": false} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
	}
}

// The outcome of a login in a frame is told to the page around it.
const pageScript = `
import { login } from "/crs/crs.js";
window.states = [];
window.outcome = "";
window.addEventListener("message", ({ data }) => { if (data?.outcome) window.outcome = data.outcome; if (data?.pressed) window.pressed = "yes"; });
window.stop = new AbortController();
const challenge = "Y2hhbGxlbmdlLWNoYWxsZW5nZS1jaGFsbGVuZ2UtY2hhbGxlbmdlLTEyMzQ=";
for (const name of ["crs-login", "crs-error"]) addEventListener(name, ({ detail }) => { window.outcome = detail?.code ?? name; });
const button = document.querySelector("button");
if (button) button.onclick = async () => {
  window.outcome = "";
  if (window.top !== window) window.top.postMessage({ pressed: true }, "*");
  window.outcome = await (window.act ?? (() => login({ challenge, lang: "it", signal: window.stop.signal, onProgress: (s) => window.states.push(s) })))()
    .then((result) => result.token ? "token" : JSON.stringify(result), (error) => error.code ?? String(error));
  if (window.top !== window) window.top.postMessage({ outcome: window.outcome }, "*");
};
`

// outcome waits for the end of a login of the page.
func outcome(t *testing.T, b webBrowser) string {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s := b.run("return window.outcome || ''"); s != "" {
			return s
		}
	}
	t.Fatal("the page's login does not end")
	return ""
}

func wantOutcome(t *testing.T, b webBrowser, want string) {
	t.Helper()
	if got := outcome(t, b); got != want {
		t.Errorf("the page's login ended with %q, want %q", got, want)
	}
}

// wantNobody is for a program that does not answer the extension. The socket is tried then, for
// which headless Chromium would have to ask the user.
func wantNobody(t *testing.T, b webBrowser) {
	t.Helper()
	if got := outcome(t, b); got != "bridge_unavailable" && got != "permission_denied" {
		t.Errorf("with nobody there the page's login ended with %q", got)
	}
}

// installHost makes this program known to both browsers, for the whole computer.
func (h home) installHost(t *testing.T, program string) {
	t.Helper()
	for dir, allowed := range map[string]string{
		"/etc/chromium/native-messaging-hosts":    `"allowed_origins": ["` + browser.ChromiumExtension + `"]`,
		"/usr/lib/mozilla/native-messaging-hosts": `"allowed_extensions": ["` + browser.FirefoxExtension + `"]`,
	} {
		file := filepath.Join(dir, browser.HostName+".json")
		write(t, file, fmt.Sprintf(`{"name": %q, "description": "CRS", "path": %q, "type": "stdio", %s}`, browser.HostName, program, allowed), 0o644)
		t.Cleanup(func() { os.Remove(file) })
	}
}

// hostProgram is a program that a manifest can name: without arguments.
func (h home) hostProgram(t *testing.T) string {
	t.Helper()
	crs, err := exec.LookPath("crs")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(string(h), "crs-native-host")
	write(t, file, "#!/bin/sh\nexec "+crs+" \"$@\"\n", 0o755)
	return file
}

func write(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// unpacked is the extension as it is packed, in a directory.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "extension")
	if err := os.CopyFS(dir, webextension.Files); err != nil {
		t.Fatal(err)
	}
	return dir
}

// chromium is a headless Chromium.
type chromium struct {
	t   *testing.T
	ctx context.Context
}

// startChromium starts one with a profile of its own, and with the extension in a directory, if any.
func (h home) startChromium(t *testing.T, extensionDir string) *chromium {
	t.Helper()
	env := h.env()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // tests may run as root
		chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Env(env...),
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"),
		chromedp.Flag("ip-address-space-overrides", "127.0.0.1:"+sitePort+"=public,127.0.0.1:8080=public"),
	)
	if extensionDir != "" {
		options = append(options, chromedp.Flag("disable-extensions", false), chromedp.Flag("load-extension", extensionDir))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	limited, cancelLimited := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancelLimited)
	return &chromium{t, limited}
}

func (c *chromium) do(actions ...chromedp.Action) {
	c.t.Helper()
	if err := chromedp.Run(c.ctx, actions...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chromium) open(url string) { c.t.Helper(); c.do(chromedp.Navigate(url)) }

func (c *chromium) press(selector string) {
	c.t.Helper()
	c.do(chromedp.Click(selector, chromedp.ByQuery))
}

// A click gets lost as long as the frame, which has a process of its own, was not drawn.
func (c *chromium) pressInFrame() {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c.press("iframe")
		time.Sleep(200 * time.Millisecond)
		if c.run("return window.pressed") != "" {
			return
		}
	}
	c.t.Fatal("the frame takes no click")
}

func (c *chromium) run(script string) (s string) {
	c.t.Helper()
	await := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	c.do(chromedp.Evaluate("(async () => {"+script+"})().then((s) => s ?? \"\")", &s, await))
	return s
}

// firefox is a headless Firefox, driven by Marionette: a number, a colon and JSON over TCP.
type firefox struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
	id   int
}

func (h home) startFirefox(t *testing.T, extensionDir string, prefs ...string) *firefox {
	t.Helper()
	profile := t.TempDir()
	user := `user_pref("marionette.port", 2828); user_pref("network.dns.localDomains", "portale.example,altrove.example");
user_pref("network.lna.address_space.public.override", "127.0.0.1:8443,127.0.0.1:8080");
user_pref("browser.shell.checkDefaultBrowser", false); user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false); user_pref("browser.startup.page", 0);
` + strings.Join(prefs, "\n")
	write(t, filepath.Join(profile, "user.js"), user, 0o600)
	cmd := exec.Command("firefox-esr", "--headless", "-no-remote", "-profile", profile, "-marionette")
	cmd.Env = append(h.env(), "MOZ_CRASHREPORTER_DISABLE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &firefox{t: t}
	t.Cleanup(func() {
		if f.conn != nil {
			f.conn.SetDeadline(time.Now().Add(10 * time.Second))
			f.try("Marionette:Quit", map[string]any{"flags": []string{"eForceQuit"}}, nil)
			f.conn.Close()
		}
		time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if f.conn, err = net.Dial("tcp", "127.0.0.1:2828"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	f.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	f.from = bufio.NewReader(f.conn)
	if _, err := f.read(); err != nil { // it says who it is
		t.Fatal(err)
	}
	f.call("WebDriver:NewSession", map[string]any{"acceptInsecureCerts": true}, nil)
	if extensionDir != "" {
		f.call("Addon:Install", map[string]any{"path": extensionDir, "temporary": true}, nil)
	}
	return f
}

func (f *firefox) read() ([]byte, error) {
	n, err := f.from.ReadString(':')
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(strings.TrimSuffix(n, ":"))
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(f.from, b)
	return b, err
}

func (f *firefox) try(command string, params map[string]any, result any) error {
	f.id++
	b, err := json.Marshal([]any{0, f.id, command, params})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f.conn, "%d:%s", len(b), b); err != nil {
		return err
	}
	if b, err = f.read(); err != nil {
		return err
	}
	var answer []json.RawMessage
	if err := json.Unmarshal(b, &answer); err != nil || len(answer) != 4 {
		return fmt.Errorf("%s: %v", b, err)
	}
	if string(answer[2]) != "null" {
		return fmt.Errorf("%s: %s", command, answer[2])
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer[3], result)
}

func (f *firefox) call(command string, params map[string]any, result any) {
	f.t.Helper()
	if err := f.try(command, params, result); err != nil {
		f.t.Fatal(err)
	}
}

func (f *firefox) open(url string) {
	f.t.Helper()
	f.call("WebDriver:Navigate", map[string]any{"url": url}, nil)
}

func (f *firefox) press(selector string) {
	f.t.Helper()
	var found struct{ Value map[string]string }
	f.call("WebDriver:FindElement", map[string]any{"using": "css selector", "value": selector}, &found)
	for _, id := range found.Value {
		f.call("WebDriver:ElementClick", map[string]any{"id": id}, nil)
	}
}

func (f *firefox) pressInFrame() {
	f.t.Helper()
	f.call("WebDriver:SwitchToFrame", map[string]any{"id": 0}, nil)
	f.press("button")
	f.call("WebDriver:SwitchToFrame", map[string]any{"id": nil}, nil)
}

func (f *firefox) run(script string) string {
	f.t.Helper()
	var result struct{ Value string }
	f.call("WebDriver:ExecuteScript", map[string]any{"script": "return (async () => {" + script + "})()", "args": []any{}}, &result)
	return result.Value
}

// withExtension is what both browsers do with the extension: no question of the browser, ever.
func withExtension(t *testing.T, start func(home, *testing.T, string) webBrowser) {
	world := t
	h := newHome(t)
	h.installHost(t, h.hostProgram(t))
	serveSites(t)
	insertedCard := insert(t, virtualcard.Config{PIN: testPIN})
	serve := h.serve(t)
	serve.next(cardReady)
	b := start(h, t, unpacked(t))

	permission := func() string {
		return b.run(`return navigator.permissions.query({ name: "loopback-network" }).then((p) => p.state, () => "")`)
	}
	t.Run("login", func(t *testing.T) {
		b.open(site)
		before := permission()
		b.press("button")
		serve.next(siteAsked)
		serve.answer("s")
		serve.next(pinAsked)
		serve.answer(testPIN)
		wantOutcome(t, b, "token")
		if states := b.run("return window.states.join()"); states != "consent,pin,signing" && states != "consent,card,pin,signing" {
			t.Errorf("states %q", states)
		}
		if after := permission(); after != before {
			t.Errorf("the browser's permission went from %q to %q", before, after)
		}
	})
	t.Run("strict page", func(t *testing.T) {
		b.open(site + "/strict")
		b.press("button")
		serve.next(pinAsked)
		serve.answer(testPIN)
		wantOutcome(t, b, "token")
	})
	t.Run("element", func(t *testing.T) {
		b.open(site + "/element")
		b.press("crs-login")
		serve.next(pinAsked)
		serve.answer(testPIN)
		wantOutcome(t, b, "crs-login") // the portal's server has verified the token
		b.run("window.outcome = ''")
		b.press("crs-login")
		serve.next(pinAsked)
		serve.answer("")
		wantOutcome(t, b, "user_cancelled")
		if says := b.run(`return document.querySelector("crs-login").shadowRoot.querySelector("[role=status]").innerText`); !strings.Contains(says, "Accesso annullato") {
			t.Errorf("the element says %q", says)
		}
	})
	t.Run("user cancels", func(t *testing.T) {
		b.open(site)
		b.press("button")
		serve.next(pinAsked)
		serve.answer("")
		wantOutcome(t, b, "user_cancelled")
		b.press("button")
		serve.next(pinAsked)
		b.run("window.stop.abort()")
		wantOutcome(t, b, "user_cancelled")
		serve.next("code=user_cancelled")
	})
	t.Run("page left during the PIN", func(t *testing.T) {
		b.open(site)
		b.press("button")
		serve.next(pinAsked)
		b.open("about:blank")
		serve.next("code=gone")
	})
	t.Run("card inserted late", func(t *testing.T) {
		if err := insertedCard.pull(); err != nil {
			t.Fatal(err)
		}
		b.open(site)
		b.press("button")
		serve.next(insertPrompt)
		insertedCard = insertAgain(world, insertedCard.Card)
		serve.next(pinAsked)
		serve.answer(testPIN)
		wantOutcome(t, b, "token")
	})
	t.Run("TestT05ForeignFrame", func(t *testing.T) {
		// The page around a known site is not known: nobody is asked.
		b.open(otherSite + "/?frame=" + site)
		b.pressInFrame()
		wantOutcome(t, b, "origin_denied")
		// It is known: the frame's site is named, and logs in.
		h.run(t, "sites", "allow", otherSite)
		b.open(otherSite + "/?frame=" + site)
		b.pressInFrame()
		serve.next(pinAsked)
		serve.answer(testPIN)
		wantOutcome(t, b, "token")
	})
	t.Run("sandboxed frame", func(t *testing.T) {
		b.open(site + "/?frame=/&with=sandbox=allow-scripts")
		b.pressInFrame()
		wantOutcome(t, b, "insecure_context")
	})
	t.Run("http page", func(t *testing.T) {
		b.open(httpSite)
		b.press("button")
		wantOutcome(t, b, "insecure_context")
	})
	t.Run("without a click", func(t *testing.T) {
		b.open(site)
		heard := b.run(hear + `window.postMessage({ to: "crs-extension", channel: "x", action: "find" }, location.origin);
			window.postMessage({ to: "crs-extension", channel: "x", action: "open" }, location.origin);
			await new Promise((r) => setTimeout(r, 300)); return JSON.stringify(heard)`)
		if heard != `[{"from":"crs-extension","channel":"x","action":"closed","code":"bridge_unavailable"}]` {
			t.Errorf("without a click the page hears %s", heard)
		}
	})
	t.Run("TestT06Forged", func(t *testing.T) {
		b.open(site)
		// What a page's script makes up: connect in the name of another, keys that poison
		// prototypes, too much, floods.
		for name, text := range map[string]string{
			"connect":       `'{"jsonrpc":"2.0","id":1,"method":"connect","params":{"origin":"https://altrove.example"}}'`,
			"no JSON":       `'{'`,
			"no text":       `{ method: "hello" }`,
			"2 MiB":         `"x".repeat(2 << 20)`,
			"prototype":     `'{"__proto__":{"method":"hello"},"constructor":{"prototype":{}}}'`,
			"flood of 1000": `"flood"`,
		} {
			b.run(hear + `window.act = async () => {
				const say = (action, text) => window.postMessage({ to: "crs-extension", channel: "y", action, text }, location.origin);
				const until = async (n) => { while (heard.length < n) await new Promise((r) => setTimeout(r, 10)); };
				heard.length = 0;
				say("open");
				await until(1);
				const text = ` + text + `;
				if (text === "flood") for (let i = 0; i < 1000; i++) say("send", '{"jsonrpc":"2.0","id":' + i + ',"method":"hello","params":{"client":"x","protocol":1}}');
				else say("send", text);
				while (heard.at(-1).action !== "closed") await new Promise((r) => setTimeout(r, 10));
				const code = heard.at(-1).code;
				const n = heard.length;
				say("send", text); // the channel is gone
				await new Promise((r) => setTimeout(r, 50));
				return heard.length === n ? code : "heard after the end";
			}; window.outcome = ""`)
			b.press("button")
			if got := outcome(t, b); !strings.Contains(got, "invalid_request") && !(name == "flood of 1000" && strings.Contains(got, "bridge_unavailable")) {
				t.Errorf("%s: %s", name, got)
			}
		}
		if s := b.run(`return String({}.method)`); s != "undefined" {
			t.Errorf("a prototype has the method %s", s)
		}
	})
	t.Run("Web eID", func(t *testing.T) {
		b.open(site)
		webEID := func(message string) string {
			b.run(hear + `window.act = async () => {
				heard.length = 0;
				const began = performance.now();
				window.postMessage(` + message + `, "*");
				while (!heard.some((m) => /-(success|failure)$/.test(m.action)) && performance.now() - began < 3000 + (` + message + `.wait ?? 0)) await new Promise((r) => setTimeout(r, 10));
				return Object.fromEntries(heard.filter((m) => m.action.includes("-")).map((m) => [m.action, m.error?.code ?? m.format ?? m.extension ?? ""]));
			}; window.outcome = ""`)
			b.press("button")
			return message
		}
		webEID(`{ action: "web-eid:status", libraryVersion: "2.0.1" }`)
		wantOutcome(t, b, `{"web-eid:status":"","web-eid:status-ack":"","web-eid:status-success":"2.0.0"}`)
		webEID(`{ action: "web-eid:authenticate", libraryVersion: "2.0.1", challengeNonce: "Y2hhbGxlbmdlLWNoYWxsZW5nZS1jaGFsbGVuZ2UtY2hhbGxlbmdlLTEyMzQ=", options: { lang: "it" }, wait: 20000 }`)
		serve.next(pinAsked)
		serve.answer(testPIN)
		wantOutcome(t, b, `{"web-eid:authenticate":"","web-eid:authenticate-ack":"","web-eid:authenticate-success":"web-eid:1.0"}`)
		for _, action := range []string{"get-signing-certificate", "sign"} {
			webEID(`{ action: "web-eid:` + action + `", libraryVersion: "2.0.1" }`)
			wantOutcome(t, b, strings.ReplaceAll(`{"web-eid:X":"","web-eid:X-ack":"","web-eid:X-failure":"ERR_WEBEID_NATIVE_INVALID_ARGUMENT"}`, "X", action))
		}
	})
	t.Run("service not running", func(t *testing.T) {
		serve.stop(syscall.SIGTERM)
		b.open(site)
		b.press("button")
		// The native host starts a service, which has no screen here to ask anybody on.
		wantOutcome(t, b, "internal")
	})
	for name, program := range map[string]struct{ script, want string }{
		"host missing":    {"", "bridge_unavailable"},
		"host crashes":    {"exit 1", "bridge_unavailable"},
		"host says words": {"echo Good day; sleep 5", "bridge_unavailable"},
		"host too old": {`printf '\144\000\000\000{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"x","data":{"code":"unsupported_version"}}}'; sleep 5`,
			"unsupported_version"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "host")
			if program.script != "" {
				write(t, file, "#!/bin/sh\n"+program.script+"\n", 0o755)
			}
			h.installHost(t, file)
			b.open(site)
			b.press("button")
			if program.want == "bridge_unavailable" {
				wantNobody(t, b)
			} else {
				wantOutcome(t, b, program.want)
			}
		})
	}
}

// Without the extension Chromium asks the user, and headless nobody answers: it says no.
func TestChromiumWithoutExtension(t *testing.T) {
	h := newHome(t)
	serveSites(t)
	insert(t, virtualcard.Config{PIN: testPIN})
	serve := h.serve(t)
	serve.next(cardReady)
	press := func(b webBrowser, url, want string) {
		t.Helper()
		b.open(url)
		b.press("button")
		wantOutcome(t, b, want)
	}

	b := h.startChromium(t, "")
	press(b, site, "permission_denied")
	if states := b.run("return window.states.join()"); states != "permission" {
		t.Errorf("before the browser asked the page said %q", states)
	}
	press(b, httpSite, "insecure_context")

	policy := "/etc/chromium/policies/managed/crs.json"
	write(t, policy, `{"LoopbackNetworkAllowedForUrls": ["`+site+`"]}`, 0o644)
	t.Cleanup(func() { os.Remove(policy) })
	b = h.startChromium(t, "")
	b.open(site)
	b.press("button")
	serve.next(siteAsked)
	serve.answer("s")
	serve.next(pinAsked)
	serve.answer(testPIN)
	wantOutcome(t, b, "token")
	if states := b.run("return window.states.join()"); strings.Contains(states, "permission") {
		t.Errorf("the page announces a question that does not come: %q", states)
	}
	press(b, site+"/strict", "permission_denied") // Permissions-Policy: loopback-network=()
	b.open(otherSite + "/?frame=" + site)
	b.pressInFrame()
	wantOutcome(t, b, "insecure_context")

	// Two pages at once: the second hears that there is a login already.
	b.open(site)
	b.press("button")
	serve.next(pinAsked)
	ctx, cancel := chromedp.NewContext(b.ctx)
	defer cancel()
	press(&chromium{t, ctx}, site, "busy")
	serve.answer(testPIN)
	wantOutcome(t, b, "token")

	serve.stop(syscall.SIGTERM)
	press(b, site, "bridge_unavailable")
}

// Whoever listens on our port in our place learns the challenge, which the page's server made for
// this purpose, and nothing else: the token that it would need is bound to the origin.
func TestT07LookAlike(t *testing.T) {
	h := newHome(t)
	serveSites(t)
	policy := "/etc/chromium/policies/managed/crs.json"
	write(t, policy, `{"LoopbackNetworkAllowedForUrls": ["`+site+`"]}`, 0o644)
	t.Cleanup(func() { os.Remove(policy) })
	var heard screenText
	l, err := net.Listen("tcp", bridgeAddress)
	if err != nil {
		t.Fatal(err)
	}
	look := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(&heard, r.Header)
		upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for _, answer := range []string{`{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`, `{"jsonrpc":"2.0","id":2,"result":{"token":{"format":"web-eid:1.0"}}}`} {
			_, message, err := ws.ReadMessage()
			if err != nil {
				return
			}
			fmt.Fprintln(&heard, string(message))
			ws.WriteMessage(websocket.TextMessage, []byte(answer))
		}
		ws.ReadMessage()
	})}}
	look.Start()
	t.Cleanup(look.Close)
	b := h.startChromium(t, "")
	b.open(site)
	b.run(`document.cookie = "session=geheim; SameSite=None; Secure"`)
	b.open(site + "/element") // its server refuses whatever the look-alike made up
	b.run(`const e = document.querySelector("crs-login"); e.portal = null`)
	b.press("crs-login")
	if got := outcome(t, b); got != "portal" && got != "bridge_unavailable" {
		t.Errorf("with a look-alike the login ended with %q", got)
	}
	b.open(site)
	b.press("button")
	wantOutcome(t, b, "token") // of the look-alike, for the server to refuse
	if text := heard.String(); strings.Contains(text, "geheim") || strings.Contains(text, "pin") {
		t.Errorf("the look-alike heard %s", text)
	}
}

// Firefox does not ask before a WebSocket to this computer, yet.
func TestFirefoxWithoutExtension(t *testing.T) {
	h := newHome(t)
	serveSites(t)
	insert(t, virtualcard.Config{PIN: testPIN})
	serve := h.serve(t)
	serve.next(cardReady)
	b := h.startFirefox(t, "")
	b.open(site)
	b.press("button")
	serve.next(siteAsked)
	serve.answer("s")
	serve.next(pinAsked)
	serve.answer(testPIN)
	wantOutcome(t, b, "token")
	b.open(otherSite + "/?frame=" + site)
	b.pressInFrame()
	wantOutcome(t, b, "insecure_context")
	b.open(httpSite)
	b.press("button")
	wantOutcome(t, b, "insecure_context")
	serve.stop(syscall.SIGTERM)
	b.open(site)
	b.press("button")
	wantOutcome(t, b, "bridge_unavailable")
}

// hear collects what a page hears from others than itself.
const hear = `window.heard ??= (window.addEventListener("message", ({ data }) => { if (data?.from === "crs-extension" || data?.action?.startsWith("web-eid:")) window.heard.push(data); }), []);
`

func TestChromiumWithExtension(t *testing.T) {
	withExtension(t, func(h home, t *testing.T, dir string) webBrowser { return h.startChromium(t, dir) })
}

func TestFirefoxWithExtension(t *testing.T) {
	withExtension(t, func(h home, t *testing.T, dir string) webBrowser { return h.startFirefox(t, dir) })
}

// TestBrowserFigures prints what a page waits for an answer of the service, by both ways.
func TestBrowserFigures(t *testing.T) {
	if !*figures {
		return // scripts/bench asks for it
	}
	h := newHome(t)
	h.installHost(t, h.hostProgram(t))
	policy := "/etc/chromium/policies/managed/crs.json"
	write(t, policy, `{"LoopbackNetworkAllowedForUrls": ["`+site+`"]}`, 0o644)
	t.Cleanup(func() { os.Remove(policy) })
	serveSites(t)
	h.serve(t)
	for name, start := range map[string]func() webBrowser{
		"Chromium": func() webBrowser { return h.startChromium(t, unpacked(t)) },
		"Firefox":  func() webBrowser { return h.startFirefox(t, unpacked(t)) },
	} {
		b := start()
		b.open(site)
		// The service lets ten messages a second through, after fifty: four connections of fifty.
		b.run(`window.act = async () => {
			const median = (took) => took.sort((a, b) => a - b)[took.length / 2].toFixed(2);
			const hello = (id) => JSON.stringify({ jsonrpc: "2.0", id, method: "hello", params: { client: "x", protocol: 1 } });
			const say = (action, text) => window.postMessage({ to: "crs-extension", channel: "f", action, text }, location.origin);
			const native = [], socket = [];
			let heard;
			window.addEventListener("message", ({ data }) => { if (data?.from === "crs-extension") heard(data); });
			const next = (act) => new Promise((resolve) => { heard = resolve; act(); });
			const opened = [];
			for (let c = 0; c < 5; c++) {
				let began = performance.now();
				await next(() => say("open"));
				opened.push(performance.now() - began);
				for (let i = 1; i <= 40; i++) {
					began = performance.now();
					await next(() => say("send", hello(i)));
					native.push(performance.now() - began);
				}
				say("close");
				const ws = new WebSocket("ws://127.0.0.1:27770/v1");
				await new Promise((resolve) => { ws.onopen = resolve; });
				for (let i = 1; i <= 40; i++) {
					began = performance.now();
					await new Promise((resolve) => { ws.onmessage = resolve; ws.send(hello(i)); });
					socket.push(performance.now() - began);
				}
				ws.close();
			}
			return { median: "extension " + median(native) + " ms, WebSocket " + median(socket) + " ms; a connection of the extension, with its process: " + opened.map((o) => o.toFixed(0)).join(" ") + " ms" };
		}`)
		b.press("button")
		fmt.Printf("%s, page to service and back, median of 200: %s\n", name, outcome(t, b))
	}
}
