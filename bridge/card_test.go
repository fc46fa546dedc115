package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// types returns a user who types these PINs one after the other, and then closes the dialog.
func types(pins ...string) func(context.Context, catalog.Text) (*crs.PIN, error) {
	return func(context.Context, catalog.Text) (*crs.PIN, error) {
		if len(pins) == 0 {
			return nil, crs.ErrCancelled
		}
		next := pins[0]
		pins = pins[1:]
		return crs.NewPIN([]byte(next)), nil
	}
}

// What became of each typing, and what the user and the page saw of it.
func TestPINs(t *testing.T) {
	t.Parallel()
	wrong := &crs.PINError{Retries: 2, SW: 0x63C2}
	blocked := &crs.PINError{Blocked: true, SW: 0x6983}
	uncertain := &crs.PINError{Uncertain: true, Retries: -1, SW: 0x6f00}
	stuck := &crs.PINError{Uncertain: true, Retries: -1, Err: fmt.Errorf("VERIFY: %w", crs.ErrCardStuck)}
	torn := &crs.PINError{Uncertain: true, Retries: -1, Err: crs.ErrCardRemoved}
	formErrors := ""
	for _, typed := range []string{"1234", "123456789", "1234a", ""} {
		formErrors += " " + pinAfter(catalog.CheckPIN(crs.NewPIN([]byte(typed)), newCard().info.PINFormat))
	}
	for name, test := range map[string]struct {
		change func(*offlineWorld)
		code   crs.Code // "" is a login
		signs  int
		asked  string
	}{
		"wrong, then right": {func(w *offlineWorld) { w.ui.OnPIN(catalog.KindPIN, types("00000", testPIN)) }, "", 2,
			"pin " + pinAfter(wrong)},
		"wrong, then closed": {func(w *offlineWorld) { w.ui.OnPIN(catalog.KindPIN, types("00000")) }, crs.ErrCancelled, 1,
			"pin " + pinAfter(wrong)},
		"of the wrong form": {func(w *offlineWorld) { w.ui.OnPIN(catalog.KindPIN, types("1234", "123456789", "1234a", "", testPIN)) }, "", 1,
			"pin" + formErrors},
		"blocked": {func(w *offlineWorld) { w.card.failures = []error{blocked} }, crs.ErrPINBlocked, 1,
			"pin " + report(blocked)},
		"uncertain, then right": {func(w *offlineWorld) { w.card.failures = []error{uncertain} }, "", 2,
			"pin " + pinAfter(uncertain)},
		"torn out in the middle": {func(w *offlineWorld) { w.card.failures = []error{torn} }, "", 2,
			"pin " + report(torn) + " pin"},
		"removed before": {func(w *offlineWorld) { w.card.failures = []error{crs.ErrCardRemoved} }, "", 2,
			"pin pin"},
		"reset before": {func(w *offlineWorld) { w.card.failures = []error{crs.ErrCardReset} }, "", 2,
			"pin pin"},
		"in use": {func(w *offlineWorld) { w.card.failures = []error{crs.ErrCardInUse} }, "", 2,
			"pin " + pinAfter(crs.ErrCardInUse)},
		"reader failed": {func(w *offlineWorld) { w.card.failures = []error{crs.ErrReaderFailed} }, crs.ErrCard, 1,
			"pin " + report(crs.ErrReaderFailed)},
		"unusable": {func(w *offlineWorld) { w.card.failures = []error{crs.ErrNoCNS} }, crs.ErrCardUnusable, 1,
			"pin " + report(crs.ErrNoCNS)},
		// No second PIN into a reader that kept the first.
		"stuck in the middle": {func(w *offlineWorld) { w.card.failures = []error{stuck} }, crs.ErrCard, 1,
			"pin " + report(stuck)},
		"stuck before": {func(w *offlineWorld) { w.card.failures = []error{crs.ErrCardStuck} }, crs.ErrCard, 1,
			"pin " + report(crs.ErrCardStuck)},
		"unknown failure": {func(w *offlineWorld) { w.card.failures = []error{errors.New("?")} }, crs.ErrInternal, 1,
			"pin " + report(errors.New("?"))},
		"tries not known": {func(w *offlineWorld) { w.card.noStatus = errors.New("not ours") }, crs.ErrInternal, 0,
			report(errors.New("not ours"))},
		"no PIN from the dialog": {func(w *offlineWorld) {
			w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) { return nil, nil })
		}, crs.ErrInternal, 0, "pin"},
		"last try, yes": {func(w *offlineWorld) { w.card.status.Retries = 1 }, "", 1, "pin last"},
		"last try, no": {func(w *offlineWorld) {
			w.card.status.Retries = 1
			w.ui.OnAsk(catalog.KindLastTry, func(context.Context, catalog.Text) (bool, error) { return false, nil })
		}, crs.ErrCancelled, 0, "pin last"},
		"last try, closed": {func(w *offlineWorld) {
			w.card.status.Retries = 1
			w.ui.OnAsk(catalog.KindLastTry, func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled })
		}, crs.ErrCancelled, 0, "pin last"},
		// It may have been unblocked elsewhere, and a blocked card compares nothing.
		"was blocked": {func(w *offlineWorld) { w.card.status = crs.PINStatus{Blocked: true} }, "", 1,
			"pin last"},
		"no user": {func(w *offlineWorld) {
			w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) { return nil, crs.ErrInternal })
		}, crs.ErrInternal, 0, "pin"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := offline(t)
				test.change(w)
				result, err := w.login(portale)
				if code := crs.CodeOf(err); code != test.code {
					t.Errorf("%q (%v), want %q", code, err, test.code)
				}
				if (err == nil) != (result.Token.Signature != nil) {
					t.Error("token and error do not fit")
				}
				if asked := w.ui.Log(); asked != test.asked {
					t.Errorf("asked %q\n want %q", asked, test.asked)
				}
				if _, signs := w.card.used(); signs != test.signs {
					t.Errorf("%d calls of Sign, want %d", signs, test.signs)
				}
				for _, pin := range w.card.pins {
					if pin.Len() != 0 {
						t.Error("a PIN was not wiped")
					}
				}
			})
		})
	}
}

// Also a PIN that never reached the card is wiped.
func TestT11PINIsWiped(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*offlineWorld, context.CancelFunc){
		"used":        func(*offlineWorld, context.CancelFunc) {},
		"wrong form":  func(w *offlineWorld, _ context.CancelFunc) { w.card.info.PINFormat = crs.PINFormat{Min: 8, Max: 8} },
		"status gone": func(w *offlineWorld, _ context.CancelFunc) { w.card.failures = []error{errors.New("?")} },
		"last try": func(w *offlineWorld, _ context.CancelFunc) {
			w.card.status.Retries = 1
			w.ui.OnAsk(catalog.KindLastTry, func(context.Context, catalog.Text) (bool, error) { return false, nil })
		},
		"page gone": func(w *offlineWorld, gone context.CancelFunc) {
			w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) {
				gone()
				return crs.NewPIN([]byte(testPIN)), nil
			})
		},
		"with an error": func(w *offlineWorld, _ context.CancelFunc) {
			w.ui.OnPIN(catalog.KindPIN, answers(testPIN, crs.ErrCancelled))
		},
		"PUK, no": func(w *offlineWorld, _ context.CancelFunc) {
			w.ui.Types(testPUK)
			w.ui.OnAsk(catalog.KindPINOrPUK, func(context.Context, catalog.Text) (bool, error) { return false, nil })
		},
		"PUK, closed": func(w *offlineWorld, _ context.CancelFunc) {
			w.ui.Types(testPUK)
			w.ui.OnAsk(catalog.KindPINOrPUK, func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled })
		},
		"panic": func(w *offlineWorld, _ context.CancelFunc) { w.card.entered = func() { panic("driver") } },
	} {
		t.Run(name, func(t *testing.T) {
			w := offline(t)
			w.ui.Types(testPIN)
			ctx, cancel := context.WithCancel(w.ctx)
			defer cancel()
			w.ctx = ctx
			change(w, cancel)
			func() {
				defer func() { recover() }()
				w.login(portale)
			}()
			if typed := w.ui.Typed(); len(typed) != 1 || typed[0].Len() != 0 {
				t.Errorf("%d PINs, not wiped", len(typed))
			}
		})
	}
}

// A signature that does not fit leaves neither as a token nor as anything else.
func TestForgedSignature(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(crs.Signature) crs.Signature{
		"flipped bit":        func(s crs.Signature) crs.Signature { s.Bytes[10] ^= 1; return s },
		"empty":              func(crs.Signature) crs.Signature { return crs.Signature{} },
		"another algorithm":  func(s crs.Signature) crs.Signature { s.Algorithm = crs.ES256; return s },
		"without a key name": func(s crs.Signature) crs.Signature { s.Certificate = nil; return s },
	} {
		w := offline(t)
		w.sites.states = map[string]crs.SiteState{}
		w.cards.set(crs.Reader{Card: forger{w.card, forge}})
		result, err := w.login(portale)
		if crs.CodeOf(err) != crs.ErrCard || result.Token.Signature != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w.sites.states[portale] != crs.SiteUnknown {
			t.Errorf("%s: the site is allowed", name)
		}
	}
}

type forger struct {
	crs.Card
	forge func(crs.Signature) crs.Signature
}

func (f forger) Sign(ctx context.Context, pin *crs.PIN, s crs.Statement) (crs.Signature, error) {
	signature, err := f.Card.Sign(ctx, pin, s)
	return f.forge(signature), err
}

// The bridge waits for the result of a PIN that is on its way, and shows it to the user even if the
// page is gone.
func TestPageClosedDuringVerify(t *testing.T) {
	t.Parallel()
	wrong := &crs.PINError{Retries: 1, SW: 0x63c1}
	blocked := &crs.PINError{Blocked: true, SW: 0x6983}
	unclear := &crs.PINError{Uncertain: true, Retries: -1, SW: 0x6f00}
	for name, test := range map[string]struct {
		failure error
		asked   string
	}{
		"right":   {nil, "pin"},
		"wrong":   {wrong, "pin " + report(wrong)},
		"blocked": {blocked, "pin " + report(blocked)},
		"unclear": {unclear, "pin " + report(unclear)},
		"pulled":  {crs.ErrCardRemoved, "pin"},
	} {
		w := newWorld(t)
		inside, answer := make(chan struct{}), make(chan struct{})
		w.card.entered = func() { close(inside); <-answer }
		w.card.failures = []error{test.failure}
		w.sites.states = map[string]crs.SiteState{}
		w.ui.OnShow(catalog.KindReport, func(ctx context.Context, _ catalog.Text) error {
			if ctx.Err() != nil {
				t.Errorf("%s: the report closes at once", name)
			}
			if _, bounded := ctx.Deadline(); !bounded {
				t.Errorf("%s: the report may stay open for ever", name)
			}
			return nil
		})
		c := w.dial(portale)
		c.authenticate(1, "")
		<-inside
		c.ws.Close()
		await.That(t, "the bridge noticed", func() bool {
			w.seats.mu.Lock()
			defer w.seats.mu.Unlock()
			return w.seats.all == 0
		})
		// The card is still at work: nobody else gets it.
		if m, _ := w.dial("https://other.example").login(""); m.code() != crs.ErrBusy {
			t.Errorf("%s: another login: %s", name, m.code())
		}
		close(answer)
		await.That(t, "the login ended", func() bool { return strings.Contains(w.logs.String(), "code=gone") })
		if asked := strings.TrimPrefix(w.ui.Log(), "allow:portale.example "); asked != test.asked {
			t.Errorf("%s: asked %q", name, asked)
		}
		if w.sites.states[portale] != crs.SiteUnknown {
			t.Errorf("%s: the site is allowed by a login that nobody got", name)
		}
		w.stop()
	}
}

// Cancelled while the card works: the page gets no token.
func TestCancelDuringVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inside, answer := make(chan struct{}), make(chan struct{})
	w.card.entered = func() { close(inside); <-answer }
	c := w.dial(portale)
	c.authenticate(1, "")
	<-inside
	c.send(`{"jsonrpc":"2.0","id":2,"method":"cancel","params":{"id":1}}`)
	for string(c.read().ID) != "2" {
	}
	close(answer)
	if m := c.read(); m.code() != crs.ErrCancelled {
		t.Errorf("%+v", m)
	}
}

// Cards come and go while the user is asked.
func TestInsertAndPick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		card := crs.Reader{Name: "a", Card: w.card}
		other := newCard()
		other.info.Reader, other.info.ID, other.info.Holder = "b", "another", "BICE ESEMPIO"
		w.cards.set()
		done := make(chan error)
		go func() { _, err := w.login(portale); done <- err }()
		step := func(readers ...crs.Reader) {
			synctest.Wait()
			time.Sleep(time.Second)
			w.cards.set(readers...)
		}
		var offered []string
		w.ui.OnChoose(func(ctx context.Context, _ catalog.Text, rows []string) (int, error) {
			offered = rows
			select {
			case <-time.After(10 * time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		step(crs.Reader{Name: "a"}) // an empty reader changes nothing
		step(crs.Reader{Name: "a", Err: crs.ErrCardMute})
		step(crs.Reader{Name: "a", Err: crs.ErrCardMute}, crs.Reader{Name: "b"})
		// Found again, the problem is the same, and its window stays open; another is another.
		step(crs.Reader{Name: "a", Err: fmt.Errorf("once: %w", crs.ErrCardInUse)})
		step(crs.Reader{Name: "a", Err: fmt.Errorf("twice: %w", crs.ErrCardInUse)})
		step(crs.Reader{Name: "a", Err: fmt.Errorf("third: %w", crs.ErrCard)})
		step(crs.Reader{Name: "a", Err: crs.ErrCard})
		step(crs.Reader{Name: "a", Reading: true})
		step(crs.Reader{Name: "a", Reading: true}, crs.Reader{Name: "b"})
		step()
		step(card, crs.Reader{Name: "b", Reading: true})
		step(card, crs.Reader{Name: "b", Card: other})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := strings.Join([]string{"insert", insertAfter(crs.ErrCardMute), screen.Note(catalog.InsertCard(site, []crs.Reader{{Name: "a", Err: crs.ErrCardMute}, {Name: "b"}})), insertAfter(crs.ErrCardInUse), insertAfter(crs.ErrCard), "insert pick pin"}, " ")
		if asked := w.ui.Log(); asked != want {
			t.Errorf("asked %q\n want %q", asked, want)
		}
		if len(offered) != 2 || !strings.Contains(offered[0], testHolder) || !strings.Contains(offered[1], "BICE ESEMPIO") {
			t.Errorf("offered %v", offered)
		}
		if _, signs := other.used(); signs != 1 {
			t.Error("not the picked card signed")
		}
	})
}

// If one person has two cards, the valid one comes first, and each says when it expires.
func TestValidCardFirst(t *testing.T) {
	t.Parallel()
	w := offline(t)
	valid := newCard()
	w.card.info.NotAfter, w.card.info.ID = time.Now().AddDate(-1, 0, 0), "expired"
	valid.info.NotAfter = time.Now().AddDate(5, 0, 0)
	w.cards.set(crs.Reader{Name: "a", Card: w.card}, crs.Reader{Name: "b", Card: valid})
	var offered []string
	w.ui.OnChoose(func(_ context.Context, _ catalog.Text, rows []string) (int, error) {
		offered = rows
		return 0, nil
	})
	if _, err := w.login(portale); err != nil {
		t.Fatal(err)
	}
	if _, signs := valid.used(); signs != 1 || len(offered) != 2 || !strings.Contains(offered[0], catalog.Validity(valid.info)) || !strings.Contains(offered[1], catalog.Validity(w.card.info)) {
		t.Errorf("offered %q, the valid one signed %d times", offered, signs)
	}
}

func TestPickedCardLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		second := newCard()
		second.info.ID = "another"
		w.cards.set(crs.Reader{Card: w.card}, crs.Reader{Card: second})
		w.ui.OnChoose(func(context.Context, catalog.Text, []string) (int, error) {
			w.cards.set(crs.Reader{Card: second})
			synctest.Wait()
			return 0, nil // at the same moment
		})
		if _, err := w.login(portale); err != nil {
			t.Fatal(err)
		}
		if _, signs := w.card.used(); signs != 0 {
			t.Error("a card that had left was used")
		}

		w.cards.set(crs.Reader{Card: w.card}, crs.Reader{Card: second})
		w.ui.OnChoose(func(context.Context, catalog.Text, []string) (int, error) { return 2, nil })
		if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrInternal {
			t.Errorf("a card that was not offered: %v", err)
		}
	})
}

// What keeps the user from being asked, and the program from knowing, is in the log; the user
// hears of the latter as well.
func TestFailuresAreHeardOf(t *testing.T) {
	t.Parallel()
	noDisplay := errors.New("there is no display")
	for name, test := range map[string]struct {
		change func(*world)
		logged string
		asked  string
	}{
		"no dialog": {func(w *world) {
			w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) { return nil, noDisplay })
		}, "there is no display", "pin"},
		"no dialog, no card": {func(w *world) {
			w.cards.set()
			w.ui.OnShow(catalog.KindInsert, func(context.Context, catalog.Text) error { return noDisplay })
		}, "there is no display", "insert"},
		"a PIN out of nowhere": {func(w *world) {
			w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) { return nil, nil })
		}, "dialog without a PIN", "pin"},
		"no report": {func(w *world) {
			w.card.failures = []error{crs.ErrReaderFailed}
			w.ui.OnShow(catalog.KindReport, func(context.Context, catalog.Text) error { return noDisplay })
		}, "there is no display", "pin " + report(crs.ErrReaderFailed)},
		"tries": {func(w *world) { w.card.noStatus = errors.New("tries.json of another") }, "tries.json of another",
			report(errors.New("tries.json of another"))},
		"sites": {func(w *world) { w.sites.broken = errors.New("sites.json of another") }, "sites.json of another", ""},
		"sites, in the end": {func(w *world) {
			w.card.entered = func() {
				w.sites.mu.Lock()
				defer w.sites.mu.Unlock()
				w.sites.broken = errors.New("sites.json of another")
			}
		}, "sites.json of another", "pin " + report(errors.New("list of sites: sites.json of another"))},
	} {
		w := newWorld(t)
		c := w.dial(portale)
		test.change(w)
		m, _ := c.login("")
		if want := crs.ErrInternal; m.code() != want && name != "no report" {
			t.Errorf("%s: %q, want %q", name, m.code(), want)
		}
		if asked := w.ui.Log(); asked != test.asked {
			t.Errorf("%s: asked %q, want %q", name, asked, test.asked)
		}
		if !strings.Contains(w.logs.String(), test.logged) {
			t.Errorf("%s: the log lacks %q:\n%s", name, test.logged, w.logs)
		}
	}
}

// A user who gives up with an unusable card in the reader did not lack a card.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		readers []crs.Reader
		want    crs.Code
	}{
		"nothing":            {[]crs.Reader{{Name: "a"}}, crs.ErrCancelled},
		"useless":            {[]crs.Reader{{Name: "a", Err: crs.ErrNoCNS}}, crs.ErrCardUnusable},
		"two useless":        {[]crs.Reader{{Name: "a", Err: crs.ErrCardMute}, {Name: "b", Err: crs.ErrCardStuck}}, crs.ErrCardUnusable},
		"mute beside free":   {[]crs.Reader{{Name: "a", Err: crs.ErrCardMute}, {Name: "b"}}, crs.ErrCancelled},
		"free beside stuck":  {[]crs.Reader{{Name: "a"}, {Name: "b", Err: crs.ErrCardStuck}}, crs.ErrCancelled},
		"in use beside free": {[]crs.Reader{{Name: "a", Err: crs.ErrCardInUse}, {Name: "b"}}, crs.ErrCardUnusable},
	} {
		w := newWorld(t)
		w.cards.set(test.readers...)
		w.ui.OnShow(catalog.KindInsert, func(context.Context, catalog.Text) error { return crs.ErrCancelled })
		if m, states := w.dial(portale).login(""); m.code() != test.want || states != "card" {
			t.Errorf("%s: %s after %s", name, m.code(), states)
		}
		if len(w.mutes.dismissals["portale.example"]) != 1 {
			t.Errorf("%s: not counted as dismissed", name)
		}
	}
}

// A card that is pulled at the PIN dialog is asked for again; the personal data are those of
// the card that signs.
func TestCardPulledAtPIN(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		second := newCard()
		second.data = []byte("second")
		w.card.failures = []error{crs.ErrCardRemoved}
		w.card.entered = func() {
			w.cards.set()
			go func() {
				time.Sleep(10 * time.Second)
				w.cards.set(crs.Reader{Card: second})
			}()
		}
		o, _ := crs.ParseOrigin(portale)
		var states []string
		result, err := w.Server.login(w.ctx, loginRequest{
			origin: o, challenge: challenge(), personalData: true, service: w.ctx,
			program: aBrowser, progress: func(s state) { states = append(states, s.String()) },
		})
		if err != nil || string(result.PersonalData) != "second" {
			t.Errorf("%q, %v", result.PersonalData, err)
		}
		if got := strings.Join(states, " "); got != "card pin signing" {
			t.Errorf("the page can tell: %s", got)
		}
		if asked := w.ui.Log(); asked != "personal pin insert personal pin" {
			t.Errorf("asked %q", asked)
		}
	})
}

// A card that is always "just removed" does not make the bridge spin.
func TestNoSpinning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		w.cards.set(crs.Reader{Card: gone{w.card}})
		if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrTimeout {
			t.Error(err)
		}
		if n := w.cards.looked(); n > 310 {
			t.Errorf("looked %d times in 5 minutes", n)
		}
	})
}

type gone struct{ crs.Card }

func (gone) PINStatus(context.Context) (crs.PINStatus, error) {
	return crs.PINStatus{}, crs.ErrCardRemoved
}

// Whole logins at debug level, of every outcome, leave nothing of the person, the card, the
// secrets or the token in the log.
func TestT24Canaries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	canaries := []string{testPIN, testHolder, "ADA", "ESEMPIO", testCardID, testFile, "27182"}
	c := w.dial(portale)
	run := func(more string) {
		canaries = append(canaries, c.authenticate(1, more))
		m, _ := c.reply()
		var result struct{ Token crs.Token }
		if m.Result != nil {
			if err := json.Unmarshal(m.Result, &result); err != nil {
				t.Fatal(err)
			}
			text := string(m.Result)
			for _, field := range []string{`"signature":"`, `"unverifiedCertificate":"`, `"personalData":"`} {
				if _, value, ok := strings.Cut(text, field); ok {
					canaries = append(canaries, value[:20])
				}
			}
		}
	}
	run(`,"personalData":true`)
	w.ui.OnPIN(catalog.KindPIN, types("27182", testPIN))
	run("")
	w.ui.OnPIN(catalog.KindPIN, nil)
	for _, err := range []error{
		&crs.PINError{Blocked: true, SW: 0x6983, Err: errors.New("of " + testHolder)},
		fmt.Errorf("card %s of %s: %w", testCardID, testHolder, crs.ErrCard),
		fmt.Errorf("%w: %s", crs.ErrCardInUse, testHolder),
		errors.New(testCardID + " " + testHolder),
	} {
		w.card.failures = []error{err}
		run("")
	}
	c.send(`{"jsonrpc":"2.0","id":1,"method":"` + testHolder + `","params":{}}`)
	c.read()
	c.send(testHolder)
	c.read()
	w.stop()
	text := w.logs.String()
	for _, canary := range canaries {
		if strings.Contains(text, canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
	if len(canaries) < 18 || !strings.Contains(text, "level=DEBUG") {
		t.Errorf("%d canaries", len(canaries))
	}
	for _, line := range []string{"code=ok", "code=pin_blocked", "code=card_error", "code=internal", "duration=", "origin=" + portale, "SW 6983", "kind=authenticate", "kind=unknown", "kind=malformed"} {
		if !strings.Contains(text, line) {
			t.Errorf("the log lacks %q:\n%s", line, text)
		}
	}
}
