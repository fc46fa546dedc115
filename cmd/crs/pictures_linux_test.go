package main

import (
	"crypto/x509"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs"
	portaldemo "github.com/crs-bridge/crs/portal/demo"
)

var pictures = flag.String("pictures", "", "directory for pictures of the pages")

// axe is the automatic check of accessibility, which scripts/bootstrap fetched.
const axe = "../../build/axe/axe.min.js"

// TestAccessible asks axe-core about the pages and the button, in every state and language.
func TestAccessible(t *testing.T) {
	check, err := os.ReadFile(axe)
	if err != nil {
		t.Fatalf("%v; `scripts/bootstrap test` fetches it", err)
	}
	h := newHome(t)
	serveSites(t)
	const port = 8081
	o, err := crs.ParseDeveloperOrigin("http://localhost:8081", port)
	if err != nil {
		t.Fatal(err)
	}
	demo := httptest.NewUnstartedServer(portaldemo.New(x509.NewCertPool(), slog.New(slog.DiscardHandler), o))
	demo.Listener.Close()
	listeners, _, err := listenPortal(port)
	if err != nil {
		t.Fatal(err)
	}
	demo.Listener = listeners[0]
	closeAll(listeners[1:])
	demo.Start()
	t.Cleanup(demo.Close)

	b := h.startChromium(t, "")
	see := func(name string) {
		t.Helper()
		violations := b.run(string(check) + `;
			const { violations } = await axe.run();
			return violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(", ")).join("; ")`)
		if violations != "" {
			t.Errorf("%s: %s", name, violations)
		}
		if *pictures == "" {
			return
		}
		var png []byte
		b.do(chromedp.FullScreenshot(&png, 100))
		if err := os.WriteFile(filepath.Join(*pictures, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, lang := range []string{"it", "en", "de"} {
		b.open(site + "/element?lang=" + lang)
		see("element-" + lang)
		b.press("crs-login")
		wantNobody(t, b)
		see("element-error-" + lang)
		b.open("http://localhost:8081/selftest?lang=" + lang)
		see("selftest-" + lang)
		b.press("#start")
		b.do(chromedp.WaitVisible(`#result[data-code="missing"], #result[data-code="permission_denied"]`, chromedp.ByQuery))
		see("selftest-result-" + lang)
		b.open("http://localhost:8081/?lang=" + lang)
		see("demo-" + lang)
	}
}
