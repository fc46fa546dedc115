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
	"github.com/crs-bridge/crs/internal/testbrowser"
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

	b := testbrowser.StartChromium(t, h.options())
	see := func(name string) {
		t.Helper()
		violations := b.Run(string(check) + `;
			const { violations } = await axe.run();
			return violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(", ")).join("; ")`)
		if violations != "" {
			t.Errorf("%s: %s", name, violations)
		}
		if *pictures == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(*pictures, name+".png"), b.Picture(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, lang := range []string{"it", "en", "de"} {
		b.Open(site + "/element?lang=" + lang)
		see("element-" + lang)
		b.Press("crs-login")
		wantOutcome(t, b, "permission_denied")
		see("element-error-" + lang)
		b.Open("http://localhost:8081/selftest?lang=" + lang)
		see("selftest-" + lang)
		b.Press("#start")
		b.Do(chromedp.WaitVisible(`#result[data-code="missing"]`, chromedp.ByQuery))
		see("selftest-result-" + lang)
		b.Open("http://localhost:8081/?lang=" + lang)
		see("demo-" + lang)
	}
}
