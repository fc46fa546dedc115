package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/screen"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial(portale)
	ch := c.authenticate(7, `,"lang":"it"`)
	m, states := c.reply()
	token := checkToken(t, m, portale, ch)
	if token.Format != crs.TokenFormat || token.AppVersion != w.AppVersion {
		t.Errorf("token %q %q", token.Format, token.AppVersion)
	}
	if states != "card pin signing" {
		t.Errorf("progress %q", states)
	}
	if asked := w.ui.Log(); asked != "pin" {
		t.Errorf("asked %q", asked)
	}
	if strings.Contains(string(m.Result), "personalData") {
		t.Error("personal data that nobody asked for")
	}
}

// A site is asked about until its first login succeeds.
func TestFirstTime(t *testing.T) {
	t.Parallel()
	const site = "https://new.example"
	w := newWorld(t)
	w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) { return nil, crs.ErrCancelled })
	c := w.dial(site)
	m, states := c.login("")
	if m.code() != crs.ErrCancelled || states != "consent card pin" {
		t.Errorf("first: %s after %s", m.code(), states)
	}
	if w.sites.states[site] != crs.SiteUnknown {
		t.Error("allowed without a login")
	}
	// The minute between two questions does not keep out the site that the user said yes to.
	w.ui.OnPIN(catalog.KindPIN, nil)
	m, states = c.login("")
	if m.code() != "" || states != "consent card pin signing" {
		t.Errorf("second: %s after %s", m.code(), states)
	}
	if w.sites.states[site] != crs.SiteAllowed {
		t.Error("not allowed after a login")
	}
	if _, states = c.login(""); states != "card pin signing" {
		t.Errorf("third: %s", states)
	}
	// It does keep out any other.
	if m, states := w.dial("https://newer.example").login(""); m.code() != crs.ErrBusy || states != "" {
		t.Errorf("another site: %s after %s", m.code(), states)
	}
	want := "allow:new.example pin allow:new.example pin pin"
	if asked := w.ui.Log(); asked != want {
		t.Errorf("asked %q", asked)
	}
}

func TestFirstTimeNo(t *testing.T) {
	t.Parallel()
	for name, no := range map[string]func(context.Context, catalog.Text) (bool, error){
		"no":     func(context.Context, catalog.Text) (bool, error) { return false, nil },
		"closed": func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled },
	} {
		w := newWorld(t, func(w *world) { w.ui.OnAsk(catalog.KindAllow, no) })
		m, states := w.dial("https://new.example").login("")
		if m.code() != crs.ErrCancelled || states != "consent" {
			t.Errorf("%s: %s after %s", name, m.code(), states)
		}
		if calls, _ := w.card.used(); calls != 0 || w.cards.looked() != 0 {
			t.Errorf("%s: the card was used", name)
		}
	}
}

// Before the yes, a page cannot tell whether there is a card, and no card is even looked at.
func TestT15NothingBeforeConsent(t *testing.T) {
	t.Parallel()
	cards := map[string]func() *testCards{
		"none": func() *testCards { return holding() },
		"one":  func() *testCards { return holding(newCard()) },
		"two":  func() *testCards { return holding(newCard(), newCard()) },
		"unusable": func() *testCards {
			return &testCards{readers: []crs.Reader{{Name: "reader", Err: crs.ErrNoCNS}}}
		},
		"being read": func() *testCards { return &testCards{readers: []crs.Reader{{Name: "reader", Reading: true}}} },
	}
	answers := map[string]func(context.Context, catalog.Text) (bool, error){
		"no":       func(context.Context, catalog.Text) (bool, error) { return false, nil },
		"closed":   func(context.Context, catalog.Text) (bool, error) { return false, crs.ErrCancelled },
		"no user":  func(context.Context, catalog.Text) (bool, error) { return false, crs.ErrInternal },
		"no input": func(ctx context.Context, _ catalog.Text) (bool, error) { return false, never(ctx) },
	}
	for what, answer := range answers {
		seen := map[string]string{}
		for which, fill := range cards {
			w := newWorld(t, func(w *world) {
				w.cards = fill()
				w.ui.OnAsk(catalog.KindAllow, answer)
				w.Limits.Input = 50 * time.Millisecond
			})
			c := w.dial("https://new.example")
			c.send(`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"x","protocol":1}}`)
			c.authenticate(2, `,"personalData":true`)
			var all strings.Builder
			for range 3 { // hello, progress, error
				_, b, err := c.ws.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				all.Write(b)
			}
			seen[all.String()] = which
			if w.cards.looked() != 0 {
				t.Errorf("%s, %s: the readers were looked at", what, which)
			}
			for _, r := range w.cards.readers {
				if card, ok := r.Card.(*testCard); ok {
					if calls, _ := card.used(); calls != 0 {
						t.Errorf("%s, %s: %d calls of the card", what, which, calls)
					}
				}
			}
			w.stop()
		}
		if len(seen) != 1 {
			t.Errorf("%s: what a page sees differs by card: %q", what, seen)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial("https://new.example")
	for name, hang := range map[string]func(){
		"consent": func() {
			w.ui.OnAsk(catalog.KindAllow, func(ctx context.Context, _ catalog.Text) (bool, error) { return true, never(ctx) })
		},
		"pin": func() {
			w.ui.OnAsk(catalog.KindAllow, nil)
			w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) {
				never(ctx)
				return crs.NewPIN([]byte(testPIN)), nil // typed at the same moment
			})
		},
	} {
		w.questions = questions{}
		hang()
		c.authenticate(3, "")
		for c.read().Params.State != name {
		}
		c.send(`{"jsonrpc":"2.0","id":4,"method":"cancel","params":{"id":3}}`)
		for range 2 {
			if m := c.read(); string(m.ID) == "3" && m.code() != crs.ErrCancelled || string(m.ID) == "4" && string(m.Result) != "{}" {
				t.Errorf("%s: %+v", name, m)
			}
		}
	}
	if _, signs := w.card.used(); signs != 0 {
		t.Error("a cancelled login reached the card")
	}
	// A page that cancels is not a user who dismisses.
	if o, _ := crs.ParseOrigin("https://new.example"); len(w.mutes.dismissals[registrable(o)]) != 0 {
		t.Error("counted as dismissed")
	}
}

// A site that the user blocks keeps its connection, but not its logins.
func TestBlockedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial(portale)
	w.sites.set(portale, crs.SiteBlocked)
	if m, states := c.login(""); m.code() != crs.ErrOriginDenied || states != "" {
		t.Errorf("%s after %q", m.code(), states)
	}
}

// A site that the user blocks while its own login runs gets no token any more.
func TestBlockedDuringLogin(t *testing.T) {
	t.Parallel()
	for _, site := range []string{portale, "https://new.example"} {
		w := newWorld(t)
		w.card.entered = func() { w.sites.set(site, crs.SiteBlocked) }
		m, _ := w.dial(site).login("")
		if m.code() != crs.ErrOriginDenied || m.Result != nil {
			t.Errorf("%s: %q, %s", site, m.code(), m.Result)
		}
		if w.sites.states[site] != crs.SiteBlocked {
			t.Errorf("%s: no longer blocked", site)
		}
	}
}

func TestTwoLogins(t *testing.T) {
	t.Parallel()
	const other, unknown = "https://other.example", "https://unknown.example"
	w := newWorld(t)
	w.sites.set(other, crs.SiteAllowed)
	typed := make(chan struct{})
	w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) {
		select {
		case <-typed:
			return crs.NewPIN([]byte(testPIN)), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	first := w.dial(portale)
	ch := first.authenticate(1, "")
	for first.read().Params.State != "pin" {
	}
	first.authenticate(2, "")
	busy := first.read()
	for _, site := range []string{portale, other, unknown} {
		m, states := w.dial(site).login("")
		if m.code() != crs.ErrBusy || states != "" || *m.Error != *busy.Error || string(busy.ID) != "2" {
			t.Errorf("%s: %+v after %q, not as on the same connection: %+v", site, m.Error, states, busy.Error)
		}
	}
	close(typed)
	m, _ := first.reply()
	checkToken(t, m, portale, ch)
	if m, _ := w.dial(other).login(""); m.code() != "" {
		t.Errorf("afterwards: %s", m.code())
	}
}

// An unknown page with a question that nobody answers cannot keep the known sites out.
func TestAllowedSiteTakesPrecedence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var open atomic.Int32
	w.ui.OnAsk(catalog.KindAllow, func(ctx context.Context, _ catalog.Text) (bool, error) {
		open.Add(1)
		defer open.Add(-1)
		never(ctx)
		time.Sleep(20 * time.Millisecond) // a window takes its time to close
		return true, nil                  // answered at the same moment
	})
	w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) {
		if open.Load() != 0 {
			t.Error("two dialogs at once")
		}
		return crs.NewPIN([]byte(testPIN)), nil
	})
	unknown := w.dial("https://unknown.example")
	unknown.authenticate(1, "")
	for unknown.read().Params.State != "consent" {
	}
	await.That(t, "the question is open", func() bool { return open.Load() == 1 })
	if m, _ := w.dial("https://third.example").login(""); m.code() != crs.ErrBusy || open.Load() != 1 {
		t.Errorf("another unknown site: %s, %d questions open", m.code(), open.Load())
	}
	if m, _ := w.dial(portale).login(""); m.code() != "" {
		t.Errorf("allowed site: %s", m.code())
	}
	if m, states := unknown.reply(); m.code() != crs.ErrBusy || states != "" {
		t.Errorf("unknown site: %s after %q", m.code(), states)
	}

	// Once it was answered with yes, it is a login like any other.
	w.questions = questions{}
	w.ui.OnAsk(catalog.KindAllow, nil)
	w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
	unknown.authenticate(2, "")
	for unknown.read().Params.State != "pin" {
	}
	if m, _ := w.dial(portale).login(""); m.code() != crs.ErrBusy {
		t.Errorf("allowed site while the other types: %s", m.code())
	}
}

// A login that takes the turn of a question and is cancelled before that dialog has closed does
// not let a third one ask beside it.
func TestTurnIsFreeOnceTheDialogIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		question, err := turns.take(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		taken := make(chan error)
		go func() { _, err := turns.take(ctx, true); taken <- err }()
		synctest.Wait()
		cancel(errGone)
		synctest.Wait()
		if context.Cause(question.ctx) != crs.ErrBusy {
			t.Error("the question was not told to close")
		}
		if _, err := turns.take(t.Context(), true); err != crs.ErrBusy {
			t.Errorf("a third login while the dialog closes: %v", err)
		}
		question.release()
		if err := <-taken; err != errGone {
			t.Errorf("the cancelled login: %v", err)
		}
		if _, err := turns.take(t.Context(), true); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestMutedAfterThreeDismissals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		w.ui.OnAsk(catalog.KindAllow, func(context.Context, catalog.Text) (bool, error) { return false, nil })
		for i, site := range []string{"https://a.evil.co.uk", "https://b.evil.co.uk:8443", "https://evil.co.uk"} {
			time.Sleep(time.Minute)
			if _, err := w.login(site); !errors.Is(err, crs.ErrCancelled) {
				t.Errorf("dismissal %d: %v", i, err)
			}
		}
		time.Sleep(time.Minute)
		if _, err := w.login("https://c.evil.co.uk"); !errors.Is(err, crs.ErrOriginDenied) {
			t.Errorf("muted: %v", err)
		}
		if asked := w.ui.Log(); strings.Count(asked, "allow") != 3 {
			t.Errorf("asked %q", asked)
		}
		// Another registrable domain is another site.
		if _, err := w.login("https://good.co.uk"); !errors.Is(err, crs.ErrCancelled) {
			t.Errorf("another domain: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := w.login("https://c.evil.co.uk"); !errors.Is(err, crs.ErrCancelled) {
			t.Errorf("after ten minutes: %v", err)
		}
		// Two are not three, and old ones do not count.
		time.Sleep(9 * time.Minute)
		if _, err := w.login("https://c.evil.co.uk"); !errors.Is(err, crs.ErrCancelled) {
			t.Errorf("second of a new ten minutes: %v", err)
		}
		time.Sleep(9 * time.Minute)
		if _, err := w.login("https://c.evil.co.uk"); !errors.Is(err, crs.ErrCancelled) {
			t.Errorf("the first of three is 18 minutes old: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := w.login("https://c.evil.co.uk"); !errors.Is(err, crs.ErrCancelled) {
			t.Errorf("two in ten minutes: %v", err)
		}
	})
}

func TestRegistrable(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"https://a.b.example.it":     "example.it",
		"https://example.it:8443":    "example.it",
		"https://a.comune.milano.it": "comune.milano.it",
		"https://user.github.io":     "user.github.io",
		"https://10.1.2.3":           "10.1.2.3",
		"https://[2001:db8::1]:1":    "2001:db8::1",
		"https://localhost":          "localhost",
		"https://co.uk":              "co.uk",
	} {
		o, err := crs.ParseOrigin(origin)
		if err != nil {
			t.Fatal(err)
		}
		if got := registrable(o); got != want {
			t.Errorf("%s: %s, want %s", origin, got, want)
		}
	}
}

// Ten thousand requests from a thousand sub-domains reach no card, and the user sees a few
// questions, not ten thousand.
func TestT12Flood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.Limits.OriginConnections = 2000
		w.ui.OnAsk(catalog.KindAllow, func(ctx context.Context, _ catalog.Text) (bool, error) { return false, never(ctx) })
	})
	done := make(chan int)
	for worker := range 20 {
		go func() {
			n := 0
			for i := range 50 {
				c, err := w.try(fmt.Sprintf("https://s%d.evil.example", worker*50+i))
				if err != nil {
					t.Error(err)
					break
				}
				for id := range 10 {
					c.authenticate(id, "")
				}
				for answered := 0; answered < 10; {
					c.ws.SetReadDeadline(time.Now().Add(await.Limit))
					_, b, err := c.ws.ReadMessage()
					if err != nil {
						t.Error(err)
						break
					}
					if bytes.Contains(b, []byte(`"busy"`)) {
						answered++
					} else if bytes.Contains(b, []byte(`"consent"`)) {
						answered++ // nobody answers it: the page leaves
					} else {
						t.Errorf("answer %s", b)
					}
				}
				c.ws.Close()
				n += 10
			}
			done <- n
		}()
	}
	sum := 0
	for range 20 {
		sum += <-done
	}
	if sum != 10000 {
		t.Errorf("%d requests", sum)
	}
	if calls, signs := w.card.used(); calls != 0 || signs != 0 || w.cards.looked() != 0 {
		t.Errorf("%d calls of the card, %d of Sign", calls, signs)
	}
	if asked := w.ui.Log(); asked == "" || strings.Contains(asked, " ") {
		t.Errorf("the user was asked %q", asked)
	}
	if m, _ := w.dial(portale).login(""); m.code() != "" {
		t.Errorf("a known site afterwards: %s", m.code())
	}
}

func TestPersonalData(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ask    string
		change func(*world)
		want   string
		code   crs.Code
		asked  string
	}{
		"personald":     {`,"personalData":true`, func(*world) {}, testFile, "", "personal pin"},
		"not asked for": {``, func(*world) {}, "", "", "pin"},
		"false":         {`,"personalData":false`, func(*world) {}, "", "", "pin"},
		"refused": {`,"personalData":true`, func(w *world) {
			w.ui.OnAsk(catalog.KindPersonal, func(context.Context, catalog.Text) (bool, error) { return false, nil })
		}, "", "", "personal pin"},
		"closed": {`,"personalData":true`, func(w *world) {
			w.ui.OnAsk(catalog.KindPersonal, func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled })
		}, "", crs.ErrCancelled, "personal"},
		"not on the card": {`,"personalData":true`, func(w *world) { w.card.data = nil }, "", "", "personal pin"},
		"the card refuses": {`,"personalData":true`, func(w *world) {
			w.card.noData = fmt.Errorf("%w: SW 6982 of %s", crs.ErrCard, testHolder)
		}, "", "", "personal pin"},
		"the reader does not answer": {`,"personalData":true`, func(w *world) { w.card.noData = crs.ErrCardStuck },
			"", crs.ErrCard, "personal " + report(crs.ErrCardStuck)},
		"in use": {`,"personalData":true`, func(w *world) {
			w.card.noData = crs.ErrCardInUse
			w.ui.OnAsk(catalog.KindPersonal, func(context.Context, catalog.Text) (bool, error) { // and free the second time
				if strings.Count(w.ui.Log(), "personal") == 2 {
					w.card.noData = nil
				}
				return true, nil
			})
		}, testFile, "", "personal personal " + pinAfter(crs.ErrCardInUse)},
		"no service": {`,"personalData":true`, func(w *world) { w.card.noData = crs.ErrNoService },
			"", crs.ErrCard, "personal " + report(crs.ErrNoService)},
		"pulled": {`,"personalData":true`, func(w *world) {
			w.card.noData = crs.ErrCardRemoved
			w.ui.OnAsk(catalog.KindPersonal, func(context.Context, catalog.Text) (bool, error) { // it is there again the second time
				if strings.Count(w.ui.Log(), "personal") == 2 {
					w.card.noData = nil
				}
				return true, nil
			})
		}, testFile, "", "personal personal pin"},
		"another card": {`,"personalData":true`, func(w *world) {
			w.cards = holding(struct{ crs.Card }{w.card})
		}, "", "", "pin"},
	} {
		w := newWorld(t, test.change)
		m, _ := w.dial(portale).login(test.ask)
		if m.code() != test.code || w.ui.Log() != test.asked {
			t.Errorf("%s: %q, asked %q", name, m.code(), w.ui.Log())
		}
		var result struct{ PersonalData []byte }
		if m.Result != nil {
			if err := json.Unmarshal(m.Result, &result); err != nil {
				t.Fatal(err)
			}
		}
		if string(result.PersonalData) != test.want {
			t.Errorf("%s: %q", name, result.PersonalData)
		}
		if refused := strings.Contains(w.logs.String(), "personal data not read"); refused != (name == "the card refuses") {
			t.Errorf("%s: the log says that the data were not read: %v", name, refused)
		}
		if strings.Contains(w.logs.String(), testHolder) {
			t.Errorf("%s: the log names the holder", name)
		}
	}
}

// offlineWorld is a bridge without a socket, so that its clock can be a synthetic one.
type offlineWorld struct {
	*Server
	ui    *screen.User
	card  *testCard
	cards *testCards
	sites *testSites
	ctx   context.Context
}

func offline(*testing.T) *offlineWorld {
	card := newCard()
	w := &offlineWorld{ui: newUser(), card: card, cards: holding(card), sites: allowed(portale), ctx: context.Background()}
	w.Server = &Server{Cards: w.cards, Screen: w.ui, Sites: w.sites}
	return w
}

func (w *offlineWorld) login(origin string) (authenticateResult, error) {
	o, err := crs.ParseOrigin(origin)
	if err != nil {
		panic(err)
	}
	return w.Server.login(w.ctx, loginRequest{
		origin: o, challenge: challenge(), program: aBrowser, service: context.Background(), progress: func(state) {},
	})
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*offlineWorld)
		after  time.Duration
	}{
		"question": {func(w *offlineWorld) {
			w.sites.states = map[string]crs.SiteState{}
			w.ui.OnAsk(catalog.KindAllow, func(ctx context.Context, _ catalog.Text) (bool, error) { return false, never(ctx) })
		}, 2 * time.Minute},
		"insert": {func(w *offlineWorld) { w.cards.set() }, 2 * time.Minute},
		"pick": {func(w *offlineWorld) {
			w.cards.set(crs.Reader{Card: newCard()}, crs.Reader{Card: newCard()})
			w.ui.OnChoose(func(ctx context.Context, _ catalog.Text, _ []string) (int, error) { return 0, never(ctx) })
		}, 2 * time.Minute},
		"pin": {func(w *offlineWorld) {
			w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
		}, 2 * time.Minute},
		"last try": {func(w *offlineWorld) {
			w.card.status.Retries = 1
			w.ui.OnAsk(catalog.KindLastTry, func(ctx context.Context, _ catalog.Text) (bool, error) { return true, never(ctx) })
		}, 2 * time.Minute},
		"slow but there": {func(w *offlineWorld) {
			w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) {
				select {
				case <-time.After(119 * time.Second):
					return crs.NewPIN([]byte("00000")), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		}, 5 * time.Minute},
		"a reader that reads for ever": {func(w *offlineWorld) { w.cards.set(crs.Reader{Reading: true}) }, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := offline(t)
				test.change(w)
				began := time.Now()
				if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrTimeout {
					t.Error(err)
				}
				if took := time.Since(began); took != test.after {
					t.Errorf("after %v", took)
				}
				if w.turns.holder != nil {
					t.Error("the turn was not given back")
				}
				if len(w.mutes.dismissals) != 0 {
					t.Error("no answer counts as a dismissal")
				}
			})
		})
	}
}
