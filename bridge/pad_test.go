package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// withKeys is an offline world whose reader has keys, on which the user types the right PIN.
func withKeys(t *testing.T) *offlineWorld {
	w := offline(t)
	w.card.info.PINPad = true
	return w
}

// padFailed is what a driver makes of keys that answered 9000 and sent nothing.
var padFailed = &crs.PINError{Retries: -1, Uncertain: true, SW: 0x6982, Err: crs.ErrPINPad}

// A login with a PIN that is typed on the reader: what the user is asked, in order, and how often
// the card is.
func TestRule9TypedOnReader(t *testing.T) {
	t.Parallel()
	const once = "reader type done"
	no := func(context.Context, catalog.Text) (bool, error) { return false, nil }
	closed := func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled }
	lost := &crs.PINError{Retries: -1, Uncertain: true, Err: crs.ErrCardRemoved}
	for name, test := range map[string]struct {
		change    func(*offlineWorld)
		failures  []error
		code      crs.Code
		asked     string
		signs     int
		dismissed bool
	}{
		"right":   {code: "", asked: once, signs: 1},
		"not now": {change: func(w *offlineWorld) { w.ui.OnAsk(catalog.KindReader, no) }, code: crs.ErrCancelled, asked: "reader", dismissed: true},
		"closed":  {change: func(w *offlineWorld) { w.ui.OnAsk(catalog.KindReader, closed) }, code: crs.ErrCancelled, asked: "reader", dismissed: true},
		"nobody can be asked": {change: func(w *offlineWorld) {
			w.ui.OnAsk(catalog.KindReader, func(context.Context, catalog.Text) (bool, error) { return true, errors.New("no display") })
		}, code: crs.ErrInternal, asked: "reader"},
		"last try": {change: func(w *offlineWorld) { w.card.status.Retries = 1 }, asked: "reader last type done", signs: 1},
		"last try, no": {change: func(w *offlineWorld) {
			w.card.status.Retries = 1
			w.ui.OnAsk(catalog.KindLastTry, no)
		}, code: crs.ErrCancelled, asked: "reader last", dismissed: true},
		"wrong": {failures: []error{&crs.PINError{Retries: 2, SW: 0x63C2}},
			asked: once + " " + readerAfter(&crs.PINError{Retries: 2}) + " type done", signs: 2},
		"too short":       {failures: []error{crs.ErrPINFormat}, asked: once + " " + readerAfter(crs.ErrPINFormat) + " type done", signs: 2},
		"other reference": {failures: []error{crs.ErrPINAgain}, asked: once + " " + readerAfter(crs.ErrPINAgain) + " type done", signs: 2},
		"time is up":      {failures: []error{crs.ErrPadTimeout}, code: crs.ErrTimeout, asked: once, signs: 1},
		"red key":         {failures: []error{crs.ErrPadCancelled}, code: crs.ErrCancelled, asked: once, signs: 1, dismissed: true},
		"window closed": {change: func(w *offlineWorld) {
			w.ui.OnShow(catalog.KindType, func(context.Context, catalog.Text) error { return crs.ErrCancelled })
		}, asked: once, signs: 1},
		"no window": {change: func(w *offlineWorld) {
			w.ui.OnShow(catalog.KindType, func(context.Context, catalog.Text) error { return errors.New("no display") })
		}, asked: once, signs: 1},
		"pulled": {failures: []error{lost}, asked: once + " " + report(lost) + " " + once, signs: 2},
		"blocked": {failures: []error{&crs.PINError{Blocked: true, SW: 0x6983}}, code: crs.ErrPINBlocked,
			asked: once + " " + report(&crs.PINError{Blocked: true}), signs: 1},
		"never answers": {failures: []error{crs.ErrCardStuck}, code: crs.ErrCard, asked: once + " " + report(crs.ErrCardStuck), signs: 1},
		"keys gone":     {failures: []error{crs.ErrPINPad}, code: crs.ErrCard, asked: once + " " + keyboardAfter(crs.ErrPINPad), signs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := withKeys(t)
				w.card.failures = test.failures
				if test.change != nil {
					test.change(w)
				}
				result, err := w.login(portale)
				if crs.CodeOf(err) != test.code || (err == nil) != (result.Token.Signature != nil) {
					t.Errorf("%q: %v", crs.CodeOf(err), err)
				}
				if w.ui.Log() != test.asked {
					t.Errorf("asked %q\n want %q", w.ui.Log(), test.asked)
				}
				if _, signs := w.card.used(); signs != test.signs || len(w.card.pins) != 0 {
					t.Errorf("%d calls of Sign, %d PINs", signs, len(w.card.pins))
				}
				if dismissed := len(w.mutes.dismissals) != 0; dismissed != test.dismissed {
					t.Errorf("counted as dismissed: %v", dismissed)
				}
			})
		})
	}
}

// T20: after keys that failed there is no second VERIFY in the login, and no keyboard that the user
// did not choose; the choice is that reader's, from the next login on.
func TestT20NoSecondVERIFYInALogin(t *testing.T) {
	t.Parallel()
	failed := "reader type done " + keyboardAfter(padFailed)
	for name, test := range map[string]struct {
		keys func(context.Context, catalog.Text) (bool, error)
		next string
	}{
		"no":     {nil, "reader type done"},
		"closed": {func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled }, "reader type done"},
		"nobody": {func(context.Context, catalog.Text) (bool, error) { return true, errors.New("no display") }, "reader type done"},
		"yes":    {yes, "pin"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			w := withKeys(t)
			w.Log = slog.New(slog.NewTextHandler(&log, nil))
			w.ui.OnAsk(catalog.KindKeyboard, test.keys)
			w.card.failures = []error{padFailed}
			result, err := w.login(portale)
			if crs.CodeOf(err) != crs.ErrCard || result.Token.Signature != nil || w.ui.Log() != failed {
				t.Errorf("%v, asked %q", err, w.ui.Log())
			}
			if _, signs := w.card.used(); signs != 1 {
				t.Errorf("%d calls of Sign", signs)
			}
			if len(w.mutes.dismissals) != 0 {
				t.Error("counted as a dismissal of the site")
			}
			if !strings.Contains(log.String(), "SW 6982: pin_pad") {
				t.Errorf("log %s", &log)
			}
			if _, err := w.login(portale); err != nil || w.ui.Log() != failed+" "+test.next {
				t.Errorf("%s, the next login: %v, asked %q", name, err, w.ui.Log())
			}
			other := newCard()
			other.info.PINPad, other.info.Reader = true, "another reader"
			w.cards.set(crs.Reader{Card: other})
			if _, err := w.login(portale); err != nil || !strings.HasSuffix(w.ui.Log(), "reader type done") {
				t.Errorf("%s, another reader: %v, asked %q", name, err, w.ui.Log())
			}
		})
	}
}

// Rule 7: the page that goes, and the service that stops, close the window no earlier than the
// reader is done; the result of keys that failed is still shown.
func TestRule7WindowStaysAsLongAsTheReaderAsks(t *testing.T) {
	t.Parallel()
	for _, failures := range [][]error{nil, {padFailed}, {&crs.PINError{Retries: 1}}} {
		synctest.Test(t, func(t *testing.T) {
			w := withKeys(t)
			w.card.failures = failures
			page, leave := context.WithCancelCause(context.Background())
			w.ctx = page
			var until time.Duration
			w.ui.OnShow(catalog.KindType, func(ctx context.Context, _ catalog.Text) error {
				began := time.Now()
				never(ctx)
				until = time.Since(began)
				return ctx.Err()
			})
			w.ui.OnAsk(catalog.KindKeyboard, func(ctx context.Context, _ catalog.Text) (bool, error) {
				if ctx.Err() != nil {
					t.Error("the question closes at once")
				}
				return false, nil
			})
			w.card.entered = func() {
				time.Sleep(10 * time.Second)
				leave(errGone)
				time.Sleep(40 * time.Second)
			}
			if _, err := w.login(portale); !errors.Is(err, errGone) {
				t.Errorf("the login: %v", err)
			}
			if until != 50*time.Second {
				t.Errorf("the window closed after %v", until)
			}
			want := "reader type done"
			if failures != nil {
				want += " " + report(failures[0])
			}
			if failures != nil && errors.Is(failures[0], crs.ErrPINPad) {
				want = "reader type done " + keyboardAfter(failures[0])
			}
			if w.ui.Log() != want {
				t.Errorf("asked %q", w.ui.Log())
			}
		})
	}
}

// A page that asks lights no keys up: it is the user who does, and who has two minutes for it.
func TestReaderWaitsForTheUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withKeys(t)
		w.ui.OnAsk(catalog.KindReader, func(ctx context.Context, _ catalog.Text) (bool, error) { return true, never(ctx) })
		began := time.Now()
		if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrTimeout || time.Since(began) != 2*time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, signs := w.card.used(); signs != 0 {
			t.Error("the reader asked")
		}
	})
}

// The page hears of the signature after the PIN was typed, not while the reader asks.
func TestStatesWithKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.card.info.PINPad = true
	var before string
	w.card.entered = func() { before = w.ui.Log() }
	m, states := w.dial(portale).login("")
	if m.code() != "" || states != "card pin signing" || !strings.HasPrefix(before, "reader") {
		t.Errorf("%s after %s, asked %q", m.code(), states, before)
	}
}

// A change at the owner's wish, in a reader with keys: each time that it asks is a yes of the user,
// or the proof of what they just typed.
func TestRule9ChangeOnReader(t *testing.T) {
	t.Parallel()
	no := func(context.Context, catalog.Text) (bool, error) { return false, nil }
	wrong := &crs.PINError{Retries: 2, SW: 0x63C2}
	blocked := &crs.PINError{Blocked: true, SW: 0x63C0}
	const once, prove = "reader change done", " prove done"
	again := func(err error) string { return once + " " + ownReaderAfter(err) + " change done" }
	unproved := once + prove + " " + outcome(false, crs.ErrPINUnproved)
	for name, test := range map[string]struct {
		change  func(*offlineWorld, *pinCard)
		answers []error
		asked   string
	}{
		"changed": {nil, []error{nil}, once + prove + " " + outcome(false, nil)},
		"not now": {func(w *offlineWorld, _ *pinCard) { w.ui.OnAsk(catalog.KindReader, no) }, nil, "reader"},
		"closed": {func(w *offlineWorld, _ *pinCard) {
			w.ui.OnAsk(catalog.KindReader, func(context.Context, catalog.Text) (bool, error) { return true, crs.ErrCancelled })
		}, nil, "reader"},
		"last try": {func(w *offlineWorld, _ *pinCard) { w.card.status.Retries = 1 }, []error{nil},
			"reader last change done" + prove + " " + outcome(false, nil)},
		"last, no": {func(w *offlineWorld, _ *pinCard) {
			w.card.status.Retries = 1
			w.ui.OnAsk(catalog.KindLastTry, no)
		}, nil, "reader last"},
		"wrong":         {nil, []error{wrong, nil}, again(wrong) + prove + " " + outcome(false, nil)},
		"too short":     {nil, []error{crs.ErrPINFormat, nil}, again(crs.ErrPINFormat) + prove + " " + outcome(false, nil)},
		"not the same":  {nil, []error{crs.ErrPadMismatch, nil}, again(crs.ErrPadMismatch) + prove + " " + outcome(false, nil)},
		"red key":       {nil, []error{crs.ErrPadCancelled}, once},
		"wrong, red":    {nil, []error{wrong, crs.ErrPadCancelled}, again(wrong)},
		"time is up":    {nil, []error{crs.ErrPadTimeout}, once + " " + outcome(false, crs.ErrPadTimeout)},
		"keys fail":     {nil, []error{padFailed}, once + " " + outcome(false, padFailed)},
		"keys cannot":   {nil, []error{crs.ErrPINPad}, once + " " + ownKeyboardAfter(crs.ErrPINPad) + " " + outcome(false, crs.ErrPINPad)},
		"keyboard":      {func(w *offlineWorld, _ *pinCard) { w.ui.OnAsk(catalog.KindKeyboard, yes) }, []error{crs.ErrPINPad, nil}, once + " " + ownKeyboardAfter(crs.ErrPINPad) + " old new again " + outcome(false, nil)},
		"proof, wrong":  {func(_ *offlineWorld, c *pinCard) { c.proof = wrong }, []error{nil}, unproved},
		"proof, red":    {func(_ *offlineWorld, c *pinCard) { c.proof = crs.ErrPadCancelled }, []error{nil}, unproved},
		"proof, keys":   {func(_ *offlineWorld, c *pinCard) { c.proof = padFailed }, []error{nil}, unproved},
		"proof, blocks": {func(_ *offlineWorld, c *pinCard) { c.proof = blocked }, []error{nil}, once + prove + " " + outcome(false, blocked)},
	} {
		t.Run(name, func(t *testing.T) {
			w := withKeys(t)
			card := &pinCard{testCard: w.card, unblocked: test.answers}
			w.cards.set(crs.Reader{Name: "reader", Card: card})
			if test.change != nil {
				test.change(w, card)
			}
			if err := w.ChangePIN(t.Context(), "reader"); err != nil || w.ui.Log() != test.asked {
				t.Errorf("%v, asked\n%s, want\n%s", err, w.ui.Log(), test.asked)
			}
			if len(card.unblocked) != 0 {
				t.Errorf("%d answers of the card are left", len(card.unblocked))
			}
		})
	}

	// Even if the requester is gone, the user sees that nothing is proved.
	w := withKeys(t)
	ctx, leave := context.WithCancel(t.Context())
	card := &pinCard{testCard: w.card, unblocked: []error{nil}, entered: leave, proof: context.Canceled}
	w.cards.set(crs.Reader{Name: "reader", Card: card})
	if err := w.ChangePIN(ctx, "reader"); err != nil || w.ui.Log() != unproved {
		t.Errorf("%v, asked %s", err, w.ui.Log())
	}
}
