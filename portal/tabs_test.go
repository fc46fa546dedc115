package portal_test

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// The portal is open in several tabs of one browser, and a login begins in each before the card has
// signed for the first. The right PIN logs in, no matter in which order the answers come.
func TestTabs(t *testing.T) {
	t.Parallel()
	ca := portaltest.NewCA(t)
	card := ca.NewCard(t, portaltest.EC(t, elliptic.P256()), nil)
	other := portaltest.NewCA(t).NewCard(t, portaltest.EC(t, elliptic.P256()), nil)
	var foreign atomic.Bool
	portal := quickstart(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw}))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/button" {
			portal.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!doctype html><html lang="en"><script type="module" src="/crs/crs-login.js"></script><crs-login href="/account"></crs-login>`))
	}))
	t.Cleanup(server.Close)

	// Each login that reaches the bridge waits until the test types its PIN or its page is gone.
	logins := make(chan *waiting)
	bridge := portaltest.NewBridge(t)
	bridge.Serve(func(c *portaltest.Conn) {
		m, ok := c.Hello()
		if !ok {
			return
		}
		c.Progress(m.ID, "pin")
		login := &waiting{pin: make(chan bool, 1), gone: make(chan struct{})}
		go func() {
			c.Read() // a cancel, or the end
			close(login.gone)
		}()
		logins <- login
		select {
		case <-login.pin:
		case <-login.gone:
			return
		}
		challenge, err := crs.ParseChallenge(m.Params["challenge"].(string))
		if err != nil {
			t.Error(err)
		}
		signing := card
		if foreign.Load() {
			signing = other
		}
		token := signing.Token(t, portaltest.Origin(t, c.Origin), challenge)
		c.Write(portaltest.Message{ID: m.ID, Result: map[string]any{"token": json.RawMessage(token)}})
		<-login.gone
	})
	browser := portaltest.Browser{
		Ports: [3]string{bridge.Addr},
		Hosts: map[string]string{"portale.example:443": server.Listener.Addr().String()},
	}.Start(t)

	run := func(tab context.Context, actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(tab, actions...); err != nil {
			t.Fatal(err)
		}
	}
	open := func() context.Context {
		tab, _ := chromedp.NewContext(browser)
		run(tab, chromedp.Navigate("https://portale.example/button"))
		return tab
	}
	press := func(tab context.Context, class string) {
		run(tab, chromedp.Evaluate(`document.querySelector("crs-login").shadowRoot.querySelector(".`+class+`").click()`, nil))
	}
	begin := func(tab context.Context) *waiting {
		press(tab, "login")
		select {
		case login := <-logins:
			return login
		case <-tab.Done():
			t.Fatal("the login does not reach the bridge")
			return nil
		}
	}
	loggedIn := func(tab context.Context) {
		t.Helper()
		run(tab, chromedp.WaitVisible("pre", chromedp.ByQuery)) // how Chromium shows the account
	}

	t.Run("last first", func(t *testing.T) {
		tabs := []context.Context{open(), open(), open()}
		var waits []*waiting
		for _, tab := range tabs {
			waits = append(waits, begin(tab))
		}
		for _, i := range []int{2, 0, 1} {
			waits[i].pin <- true
			loggedIn(tabs[i])
		}
	})

	t.Run("one cancelled", func(t *testing.T) {
		first, second := open(), open()
		kept, given := begin(first), begin(second)
		press(second, "cancel")
		<-given.gone
		kept.pin <- true
		loggedIn(first)
		begin(second).pin <- true
		loggedIn(second)
	})

	t.Run("loaded again", func(t *testing.T) {
		first, second := open(), open()
		kept, left := begin(first), begin(second)
		run(second, chromedp.Reload())
		<-left.gone
		again := begin(second)
		kept.pin <- true
		loggedIn(first)
		again.pin <- true
		loggedIn(second)
	})

	// The button shows what the portal's server says about the card.
	t.Run("refused", func(t *testing.T) {
		foreign.Store(true)
		defer foreign.Store(false)
		tab := open()
		run(tab, chromedp.Evaluate(`document.addEventListener("crs-error", ({ detail }) => { window.failed = detail; })`, nil))
		begin(tab).pin <- true
		run(tab, chromedp.Poll(`window.failed?.code === "portal" && window.failed.reason === "issuer" &&
			document.querySelector("crs-login").shadowRoot.textContent.includes("The portal does not know this card")`, nil))
	})

	// The browser keeps such a page as it was, script and all.
	t.Run("left and come back to", func(t *testing.T) {
		first, second := open(), open()
		kept, left := begin(first), begin(second)
		run(second, chromedp.Evaluate(`window.kept = true`, nil), chromedp.Navigate("https://portale.example/example.html"))
		<-left.gone
		// NavigateBack waits for a page to load, and this one is not loaded again.
		run(second, chromedp.Evaluate(`history.back()`, nil))
		for back := false; !back; {
			run(second, chromedp.Sleep(50*time.Millisecond), chromedp.Evaluate(`window.kept === true && document.visibilityState === "visible"`, &back))
		}
		again := begin(second)
		again.pin <- true
		kept.pin <- true
		loggedIn(first)
		for account := false; !account; {
			run(second, chromedp.Sleep(50*time.Millisecond), chromedp.Evaluate(`location.pathname === "/account"`, &account))
		}
	})
}

// waiting is a login that waits for its PIN.
type waiting struct {
	pin  chan bool
	gone chan struct{} // closed when the page no longer waits
}
