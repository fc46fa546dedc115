//go:build linux

package citizen

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/screen"
	"github.com/crs-bridge/crs/internal/virtualcard"
	webportal "github.com/crs-bridge/crs/portal"
)

// What the tests in real browsers have in common: sites that count as ones of the internet, and a
// citizen in front of a browser.

const (
	sitePort  = "8443"
	Site      = "https://portale.example:" + sitePort
	OtherSite = "https://altrove.example:" + sitePort
	HTTPSite  = "http://portale.example:8080"
)

// ServeSites serves crs.js and pages that log in at a click, until the test ends.
func ServeSites(t *testing.T) {
	t.Helper()
	mux := http.NewServeMux()
	issuers := x509.NewCertPool()
	issuers.AddCert(virtualcard.SharedCA().Certificate)
	origin, err := crs.ParseOrigin(Site)
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
	mux.HandleFunc("/", servePage)
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

// servePage serves a page with a button, or with a frame in which another page has one.
func servePage(w http.ResponseWriter, r *http.Request) {
	head := `<!doctype html><html lang="it"><title>Pagina</title><script type="module" src="/page.js"></script>`
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	switch r.URL.Path {
	case "/csp": // nothing but its own server
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'")
	case "/policy":
		header.Set("Permissions-Policy", "loopback-network=()")
	case "/element":
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self' "+webportal.ConnectSrc+"; require-trusted-types-for 'script'")
		lang := cmp.Or(r.FormValue("lang"), "it")
		fmt.Fprintf(w, head+`<script type="module" src="/crs/crs-login.js"></script><main lang=%q><h1>Portale</h1><crs-login></crs-login></main>`, lang)
		return
	}
	if frame := r.FormValue("frame"); frame != "" {
		fmt.Fprintf(w, head+`<iframe src="%s" %s width="300" height="200"></iframe>`, frame, r.FormValue("with"))
		return
	}
	fmt.Fprint(w, head+`<button style="width: 250px; height: 150px">Accedi</button>`)
}

// pageScript logs in at a click, or does what a test has put into act. The outcome of a login in a
// frame is told to the page around it. With ?socket it only opens a socket, without crs.js.
const pageScript = `
import { login } from "/crs/crs.js";
window.states = [];
window.outcome = "";
window.addEventListener("message", ({ data }) => { if (data?.outcome) window.outcome = data.outcome; if (data?.pressed) window.pressed = "yes"; });
window.stop = new AbortController();
window.challenge = "Y2hhbGxlbmdlLWNoYWxsZW5nZS1jaGFsbGVuZ2UtY2hhbGxlbmdlLTEyMzQ=";
window.login = (more) => login({ challenge, lang: "it", signal: window.stop.signal, onProgress: (s) => window.states.push(s), ...more });
if (location.search === "?socket") window.act = () => new Promise((resolve, reject) => {
  const socket = new WebSocket("ws://127.0.0.1:27770/v1");
  socket.onopen = () => resolve("open");
  socket.onerror = () => reject("closed");
});
for (const name of ["crs-login", "crs-error"]) addEventListener(name, ({ detail }) => { window.outcome = detail?.code ?? name; });
const button = document.querySelector("button");
if (button) button.onclick = async () => {
  window.outcome = "";
  if (window.top !== window) window.top.postMessage({ pressed: true }, "*");
  window.outcome = await (window.act ?? window.login)()
    .then((result) => result.token ? "token" : typeof result === "string" ? result : JSON.stringify(result), (error) => error.code ?? String(error));
  if (window.top !== window) window.top.postMessage({ outcome: window.outcome }, "*");
};
`

// Outcome waits for the end of a login of the page.
func Outcome(t *testing.T, b browsers.Tab) (ended string) {
	t.Helper()
	await.That(t, "the end of the page's login", func() bool {
		ended = b.Run("return window.outcome || ''")
		return ended != ""
	})
	return ended
}

func WantOutcome(t *testing.T, b browsers.Tab, want string) {
	t.Helper()
	if got := Outcome(t, b); got != want {
		t.Errorf("the page's login ended with %q, want %q", got, want)
	}
}

// Visit is a citizen with a card in front of a browser.
type Visit struct {
	Home
	browsers.Tab
	Serve *Program
	Card  Card
}

// Starter starts either browser, as it is started.
type Starter func(testing.TB, browsers.Options) browsers.Tab

func Chromium(t testing.TB, o browsers.Options) browsers.Tab {
	return browsers.StartChromium(t, o)
}

func Firefox(t testing.TB, o browsers.Options) browsers.Tab {
	return browsers.StartFirefox(t, o)
}

// NewVisit starts all of it, with the service and the sites.
func NewVisit(t *testing.T, start Starter, extension bool) *Visit {
	t.Helper()
	v := &Visit{Home: NewHome(t)}
	ServeSites(t)
	v.Card = Insert(t, virtualcard.Config{PIN: PIN})
	v.Serve = v.Home.Serve(t)
	v.Serve.Next(CardReady)
	o := v.Options()
	if extension {
		v.InstallHost(t, v.HostProgram(t))
		o.Extension = Unpacked(t)
	}
	v.Tab = start(t, o)
	return v
}

// Options are those of a browser for which the sites are ones of the internet.
func (h Home) Options() browsers.Options {
	return browsers.Options{
		Env:    h.Env(),
		Hosts:  []string{"portale.example", "altrove.example"},
		Public: []string{"127.0.0.1:" + sitePort, "127.0.0.1:8080"},
	}
}

// TypePIN answers the question for the PIN.
func (v *Visit) TypePIN() {
	v.Serve.t.Helper()
	v.Serve.Next(PinAsked)
	v.Serve.Answer(PIN)
}

// WantAt opens a page, presses its button, and checks with what the login ends.
func (v *Visit) WantAt(t *testing.T, url, want string) {
	t.Helper()
	v.Open(url)
	v.Press("button")
	WantOutcome(t, v, want)
}

// LogsInAt is the same for a login of a site that is known.
func (v *Visit) LogsInAt(t *testing.T, url string) {
	t.Helper()
	v.Open(url)
	v.Press("button")
	v.TypePIN()
	WantOutcome(t, v, "token")
}

// InstallHost makes a program known to both browsers, for the whole computer.
func (h Home) InstallHost(t *testing.T, program string) {
	t.Helper()
	for dir, allowed := range map[string]string{
		"/etc/chromium/native-messaging-hosts":    `"allowed_origins": ["` + browser.ChromiumExtension + `"]`,
		"/usr/lib/mozilla/native-messaging-hosts": `"allowed_extensions": ["` + browser.FirefoxExtension + `"]`,
	} {
		file := filepath.Join(dir, browser.HostName+".json")
		WriteFile(t, file, fmt.Sprintf(`{"name": %q, "description": "CRS", "path": %q, "type": "stdio", %s}`, browser.HostName, program, allowed), 0o644)
		t.Cleanup(func() { os.Remove(file) })
	}
}

// HostProgram is a program that a manifest can name: without arguments.
func (h Home) HostProgram(t *testing.T) string {
	t.Helper()
	crs, err := exec.LookPath("crs")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(string(h), "crs-native-host")
	WriteFile(t, file, "#!/bin/sh\nexec "+crs+" \"$@\"\n", 0o755)
	return file
}

// SlowHost is a HostProgram on a computer that takes its time to start it.
func (h Home) SlowHost(t *testing.T, start time.Duration) string {
	t.Helper()
	file := filepath.Join(string(h), "slow-host")
	WriteFile(t, file, fmt.Sprintf("#!/bin/sh\nsleep %f\nexec %s \"$@\"\n", start.Seconds(), h.HostProgram(t)), 0o755)
	return file
}

func WriteFile(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// Unpacked is a copy of the extension.
func Unpacked(t *testing.T) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "extension")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "extension"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// HostSays is the script of a native host that says one short thing, whatever it is asked.
func HostSays(message string) string {
	return fmt.Sprintf(`printf '\%03o\000\000\000%s'`, len(message), message)
}

// RefusingHost joins nobody, because of what a code says.
func RefusingHost(code string) string {
	return HostSays(`{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"x","data":{"code":"`+code+`"}}}`) + "; sleep 5"
}

// CountHosts counts the native hosts that are started from now on.
func (v *Visit) CountHosts(t *testing.T) (started func() int) {
	t.Helper()
	host := filepath.Join(string(v.Home), "counted-host")
	WriteFile(t, host, fmt.Sprintf("#!/bin/sh\necho started >>%s.starts\nexec %s \"$@\"\n", host, v.HostProgram(t)), 0o755)
	v.InstallHost(t, host)
	return func() int {
		t.Helper()
		b, err := os.ReadFile(host + ".starts")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte("\n"))
	}
}

// NewTab is the same visit in a tab of its own.
func (v *Visit) NewTab() *Visit {
	w := *v
	w.Tab = v.New(true)
	return &w
}

// Impostor listens on the port of the service until the test ends. It returns what browsers sent
// with the handshake.
func Impostor(t *testing.T, speak func(*websocket.Conn)) *screen.Text {
	t.Helper()
	l, err := net.Listen("tcp", BridgeAddress)
	if err != nil {
		t.Fatal(err)
	}
	var headers screen.Text
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(&headers, r.Header)
		upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		speak(ws)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return &headers
}
