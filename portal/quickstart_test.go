package portal_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
	"github.com/crs-bridge/crs/portal"
)

// quickstart is the server of the README's "portal integration": the lines between the
// markers stand there, word for word. quickstart.html is its page.
func quickstart(casPEM []byte) http.Handler {
	mux := http.NewServeMux()
	// README: begin
	issuers := x509.NewCertPool() // the CAs whose cards you accept
	if !issuers.AppendCertsFromPEM(casPEM) {
		panic("no CA")
	}
	origin, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		panic(err)
	}
	verifier := &portal.Verifier{Origin: origin, Issuers: issuers}
	sessions := &portal.Sessions{}
	mux.Handle("/crs/", &portal.Login{Verifier: verifier, OnLogin: sessions.Start})
	mux.HandleFunc("/account", func(w http.ResponseWriter, r *http.Request) {
		if citizen, ok := sessions.Citizen(r); ok {
			fmt.Fprintln(w, "Buongiorno,", citizen.FullName(), citizen.CodiceFiscale)
		}
	})
	// README: end
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "connect-src 'self' "+portal.ConnectSrc+"; frame-ancestors 'none'")
		http.ServeFile(w, r, quickstartPage)
	})
	mux.Handle("/example.html", http.FileServer(http.Dir("testdata")))
	mux.Handle("/example.js", http.FileServer(http.Dir("testdata")))
	return mux
}

const quickstartPage = "testdata/quickstart.html"

// The quick start and the example of docs/api.md work as they are written, in Chromium, over https.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	ca := portaltest.NewCA(t)
	card := ca.NewCard(t, portaltest.EC(t, elliptic.P256()), nil)
	server := httptest.NewTLSServer(quickstart(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw})))
	t.Cleanup(server.Close)
	bridge := portaltest.NewBridge(t)
	bridge.Serve(func(c *portaltest.Conn) {
		m, ok := c.Hello()
		if !ok {
			return
		}
		challenge, err := crs.ParseChallenge(m.Params["challenge"].(string))
		if err != nil {
			t.Error(err)
		}
		token := card.Token(t, portaltest.Origin(t, c.Origin), challenge)
		c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": json.RawMessage(token)}})
		c.Read()
	})
	ctx := portaltest.Browser{
		Ports: [3]string{bridge.Addr},
		Hosts: map[string]string{"portale.example:443": server.Listener.Addr().String()},
	}.Start(t)
	for _, path := range []string{"", "example.html"} {
		t.Run("/"+path, func(t *testing.T) {
			var page string
			err := chromedp.Run(ctx,
				chromedp.Navigate("https://portale.example/"+path),
				chromedp.Click("button", chromedp.ByQuery),
				chromedp.WaitVisible("pre", chromedp.ByQuery), // how Chromium shows plain text
				chromedp.Text("body", &page, chromedp.ByQuery))
			if err != nil {
				t.Fatal(err)
			}
			if want := "Buongiorno, ADA ESEMPIO " + portaltest.CodiceFiscale; strings.TrimSpace(page) != want {
				t.Errorf("the page says %q, want %q", page, want)
			}
		})
	}

	// The example says what helps when nobody answers.
	bridge.Serve(nil)
	err := chromedp.Run(ctx,
		chromedp.Navigate("https://portale.example/example.html"),
		chromedp.Click("#login", chromedp.ByQuery),
		chromedp.Poll(`document.querySelector("[role=status]").textContent.startsWith("Installa") && !document.querySelector("#login").hidden`, nil))
	if err != nil {
		t.Error(err)
	}
}

// The README shows the page and the server of this test, word for word, and both are short.
func TestREADMEShowsTheQuickstart(t *testing.T) {
	readme, page, source := read(t, "../README.md"), read(t, quickstartPage), read(t, "quickstart_test.go")
	_, server, _ := strings.Cut(source, "// README: begin\n")
	server, _, _ = strings.Cut(server, "\t// README: end")
	server = strings.ReplaceAll("\n"+server, "\n\t", "\n")[1:]
	for name, snippet := range map[string]string{"page": page, "server": server} {
		t.Run(name, func(t *testing.T) {
			if lines := strings.Count(snippet, "\n"); lines < 5 || lines > 17 {
				t.Errorf("it has %d lines", lines)
			}
			if !strings.Contains(readme, "\n"+snippet+"```") {
				t.Error("README.md does not show it as it is")
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
