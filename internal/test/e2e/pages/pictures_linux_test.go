package pages

import (
	"crypto/x509"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	portaldemo "github.com/crs-bridge/crs/internal/demo"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
)

var pictures = flag.String("pictures", "", "directory for pictures of the pages")

// axe is the automatic check of accessibility, which scripts/bootstrap fetched.
const axe = "../../../../build/axe/axe.min.js"

// gallery is a browser whose pages are checked by axe-core, and of which pictures are taken if
// somebody wants any.
type gallery struct {
	*browsers.Chromium
	t     *testing.T
	check string
}

func newGallery(t *testing.T, o browsers.Options) *gallery {
	t.Helper()
	check, err := os.ReadFile(axe)
	if err != nil {
		t.Fatalf("%v; `scripts/bootstrap test` fetches it", err)
	}
	return &gallery{browsers.StartChromium(t, o), t, string(check)}
}

// see checks what is shown now.
func (g *gallery) see(name string) {
	g.t.Helper()
	violations := g.Run(g.check + `;
		const { violations } = await axe.run();
		return violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(", ")).join("; ")`)
	if violations != "" {
		g.t.Errorf("%s: %s", name, violations)
	}
	g.draw(name)
}

func (g *gallery) draw(name string) {
	g.t.Helper()
	if *pictures == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*pictures, name+".png"), g.Picture(), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// size is what is seen of a page.
func (g *gallery) size(width, height int64) { g.Do(chromedp.EmulateViewport(width, height)) }

// prefer is a wish of the citizen that pages are told of, until the next one.
func (g *gallery) prefer(feature, value string) {
	g.Do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: feature, Value: value}}))
}

// TestAccessible asks axe-core about the pages and the button, in every language.
func TestAccessible(t *testing.T) {
	h := citizen.NewHome(t)
	citizen.ServeSites(t)
	const port = 8081
	o, err := crs.ParseDeveloperOrigin("http://localhost:8081", port)
	if err != nil {
		t.Fatal(err)
	}
	demo := httptest.NewUnstartedServer(portaldemo.New(x509.NewCertPool(), slog.New(slog.DiscardHandler), o))
	demo.Listener.Close()
	if demo.Listener, err = net.Listen("tcp", "127.0.0.1:8081"); err != nil {
		t.Fatal(err)
	}
	demo.Start()
	t.Cleanup(demo.Close)

	g := newGallery(t, h.Options())
	for _, lang := range []string{"it", "en", "de"} {
		g.Open("http://localhost:8081/?lang=" + lang)
		g.see("demo-" + lang)
		g.Open("http://localhost:8081/selftest?lang=" + lang)
		g.see("selftest-" + lang)
		g.Press("#start")
		g.Do(chromedp.WaitVisible(`#result[data-code="missing"]`, chromedp.ByQuery))
		g.see("selftest-missing-" + lang)
		if *pictures == "" {
			continue
		}
		for _, code := range strings.Fields(g.Run(`return [...document.querySelectorAll("template[data-result]")].map((t) => t.dataset.result).join(" ")`)) {
			g.Run(`document.querySelector("#checks").hidden = true; // they are those of this browser
				const result = document.querySelector("#result");
				result.classList.toggle("error", !["extension", "socket", "permission"].includes("` + code + `"));
				result.replaceChildren(document.querySelector("template[data-result=` + code + `]").content.cloneNode(true))`)
			g.draw("selftest-" + code + "-" + lang)
		}
	}
}

// TestButton shows the button in every state, with every code that it knows, in every language.
func TestButton(t *testing.T) {
	h := citizen.NewHome(t)
	citizen.ServeSites(t)
	browsers.Policy(t, `{"LoopbackNetworkAllowedForUrls": ["`+citizen.Site+`"]}`)
	said := make(chan string) // by the service, to each login
	citizen.Impostor(t, func(ws *websocket.Conn) {
		ws.ReadMessage()
		ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`))
		if _, _, err := ws.ReadMessage(); err != nil {
			return // the portal gave no challenge
		}
		for message := range said {
			ws.WriteMessage(websocket.TextMessage, []byte(message))
			if strings.Contains(message, "error") {
				return
			}
		}
	})
	g := newGallery(t, h.Options())
	says := func(key string) {
		t.Helper()
		await.That(t, "the button says "+key, func() bool { return g.Run("return window.last") == key })
	}
	press := func() {
		g.Run(`window.last = ""; document.querySelector("crs-login").focus()`)
		g.Type("\r")
	}
	for _, lang := range []string{"it", "en", "de"} {
		name := func(state string) string { return "button-" + state + "-" + lang }
		g.size(460, 260)
		g.Open(citizen.Site + "/element?lang=" + lang)
		// The policy allows it, but not every citizen has one.
		g.Run(`for (const event of ["crs-progress", "crs-error"]) addEventListener(event, ({ detail }) => { window.last = detail.state ?? detail.code; });
			navigator.permissions.query = async () => ({ state: "prompt" })`)
		g.see(name("idle"))
		press()
		for _, state := range []string{"permission", "consent", "card", "pin", "signing"} {
			if state != "permission" {
				said <- fmt.Sprintf(`{"jsonrpc":"2.0","method":"progress","params":{"id":2,"state":%q}}`, state)
			}
			says(state)
			g.draw(name(state))
		}
		g.see(name("signing"))
		said <- `{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"x","data":{"code":"pin_blocked"}}}`
		says("pin_blocked")
		g.see(name("pin_blocked"))
		g.prefer("forced-colors", "active")
		g.draw(name("forced-colors"))
		g.prefer("forced-colors", "none")
		if *pictures == "" {
			continue
		}
		// All other codes that it knows, as if the portal had failed with them.
		for _, code := range strings.Fields(g.Run(`const text = await (await fetch("/crs/crs-login.js")).text();
			return [...new Set([...text.matchAll(/^    (\w+): \[/gm)].map((m) => m[1]))].join(" ")`)) {
			switch code {
			case "start", "permission", "consent", "card", "pin", "signing", "checking", "pin_blocked":
				continue
			}
			g.Run(`document.querySelector("crs-login").portal = { challenge: () => Promise.reject({ code: "` + code + `" }) }`)
			press()
			says(code)
			g.draw(name(code))
		}
	}
}

// TestPopupPictures shows the popup of the extension in every state and language.
func TestPopupPictures(t *testing.T) {
	h := citizen.NewHome(t)
	citizen.ServeSites(t)
	missing := filepath.Join(t.TempDir(), "host")
	refusing := missing + "-refusing"
	h.Serve(t)
	ours := h.HostProgram(t)
	for _, lang := range []string{"it", "en", "de"} {
		o := h.Options()
		o.Extension, o.Language = citizen.Unpacked(t), lang
		tab := newGallery(t, o)
		tab.Open(citizen.Site)
		popup := *tab
		popup.Chromium = tab.New(false).(*browsers.Chromium)
		popup.size(360, 330)
		show := func(name string) {
			t.Helper()
			tab.Front()
			popup.Open(chromiumPopup)
			popup.Run(popupText)
			popup.see("popup-" + name + "-" + lang)
			popup.prefer("prefers-color-scheme", "dark")
			popup.see("popup-" + name + "-dark-" + lang)
			popup.prefer("prefers-color-scheme", "light")
		}
		h.InstallHost(t, ours)
		show("unknown")
		h.Command(t, "sites", "block", citizen.Site)
		show("denied")
		h.Command(t, "sites", "allow", citizen.Site)
		show("allowed")
		h.Command(t, "sites", "forget", citizen.Site)
		h.InstallHost(t, refusing)
		for name, code := range map[string]string{"old": "unsupported_version", "stuck": "internal"} {
			citizen.WriteFile(t, refusing, "#!/bin/sh\n"+citizen.RefusingHost(code)+"\n", 0o755)
			show(name)
		}
		h.InstallHost(t, missing)
		show("missing")
	}
}
