package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// startBrowser starts a headless Chromium for the test. The page of the demonstration and the
// bridge are on this computer both, so that it asks for no permission.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	ns.NeedProgram(t, "chromium")
	dir := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // tests may run as root
		chromedp.UserDataDir(dir),
		chromedp.Env("TMPDIR="+dir, "HOME="+dir),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		// Closed and not killed: the processes of a killed Chromium outlive it for a moment,
		// and write into its profile after that was removed.
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	limited, cancelLimited := context.WithTimeout(ctx, 5*await.Limit)
	t.Cleanup(cancelLimited)
	return limited
}

// TestDemo is `crs demo` as a visitor sees it: the real program, the real page, a real browser.
func TestDemo(t *testing.T) {
	demo := citizen.NewHome(t).Start(t, "crs", "demo", "--ui", "terminal")
	browser := startBrowser(t)
	do := func(actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(browser, actions...); err != nil {
			t.Fatal(err)
		}
	}
	// see waits until the page is loaded, its script too, and an element shows the texts.
	see := func(selector string, texts ...string) {
		t.Helper()
		script := fmt.Sprintf(`document.readyState === "complete" && document.querySelector(%q)?.innerText || ""`, selector)
		await.That(t, fmt.Sprintf("%s shows %q", selector, texts), func() bool {
			var shown string
			err := chromedp.Run(browser, chromedp.Evaluate(script, &shown)) // fails while a page goes
			return err == nil && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(shown, text) })
		})
	}
	click := func(selector string) { t.Helper(); do(chromedp.Click(selector, chromedp.ByQuery)) }

	demo.Stdout.Await(t, "Apra nel browser: http://localhost:27780")
	demo.Stdout.Await(t, "Il suo PIN è "+virtualcard.DefaultPIN)
	do(network.Enable(), network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": "it-IT"}),
		chromedp.Navigate("http://localhost:27780"))
	see("#start", "Accedi con la tessera")

	// The first time: the site, the personal data, the PIN, once wrong. The page follows.
	click("#login")
	demo.Next("localhost:27780")
	demo.Next("n = No; solo Invio = annulla: ")
	see("#status", "Conferma il sito", "localhost:27780")
	demo.Answer("s")
	demo.Next("Dati personali")
	demo.Answer("s")
	demo.Next(citizen.PinAsked)
	see("#status", "Scrivi il PIN")
	demo.Answer("54321")
	demo.Next("Il PIN era sbagliato")
	demo.Next("Tentativi rimasti: 2.")
	demo.Next(citizen.PinAsked)
	demo.Answer(virtualcard.DefaultPIN)
	see("main", "Buongiorno, ADA ESEMPIO", "Scheda anagrafica", "01/01/1870", "VIA DELLA PROVA 1", "Corrispondono all’impronta")
	see(".who", "ADA ESEMPIO")
	click(".who button")
	see("#start", "Accedi con la tessera")

	// The second time the site is known. The citizen keeps the data to themselves.
	click("#login")
	demo.Next("Dati personali")
	demo.Answer("n", virtualcard.DefaultPIN)
	see("main", "Buongiorno, ADA ESEMPIO", "La scheda è vuota")
	click(".who button")
	see("#start", "Accedi con la tessera")

	// The citizen cancels in the dialog; then on the page, and the dialog closes.
	click("#login")
	demo.Next("Dati personali")
	demo.Answer("n", "")
	see("#reason", "Accesso annullato", "Nessun dato è stato inviato")
	click("#again")
	demo.Next("Dati personali")
	click("#cancel")
	see("#reason", "Accesso annullato")
	click("#again")
	demo.Next("Dati personali")
	demo.Answer("s", virtualcard.DefaultPIN)
	see("main", "Buongiorno, ADA ESEMPIO", "VIA DELLA PROVA 1")

	if code := demo.Stop(syscall.SIGINT); code != 0 {
		t.Errorf("the demonstration returns %d", code)
	}
	if strings.Contains(demo.Stderr.String(), virtualcard.DefaultPIN) {
		t.Error("the PIN is on the terminal")
	}
}
