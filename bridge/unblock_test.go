package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// T13: the dialogs of an unblock carry the language and the mode of the login, and no site. The
// PUK's tries are shown as they are known.
func TestT13UnblockNamesNoSite(t *testing.T) {
	t.Parallel()
	w := offline(t)
	w.Developer = 8080
	card := w.blockedCard(nil)
	card.puk = crs.PINStatus{Retries: 2}
	o, err := crs.ParseOrigin(portale)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Server.login(w.ctx, loginRequest{
		origin: o, challenge: challenge(), lang: "de", service: context.Background(), progress: func(state) {},
	})
	if err != nil {
		t.Error(err)
	}
	dialogs := catalog.PINFlow{Card: card.info, Unblock: true, Lang: "de", Developer: true}
	p := catalog.PUKPrompt{Prompt: catalog.Prompt{Lang: "de", Developer: true}, Card: card.info, Status: card.puk}
	want := []catalog.Text{dialogs.Offer(), dialogs.PUK(p), dialogs.NewPIN(false, nil), dialogs.NewPIN(true, nil)}
	if got := w.ui.Texts(); len(got) != 6 || !slices.Equal(got[1:5], want) {
		t.Errorf("%+v", got)
	}
	for _, text := range want {
		if text.Site != "" {
			t.Errorf("%s names a site", text.Kind)
		}
	}
}

// T12: a page that starts logins by the thousand never has a PUK sent: each takes the user's PIN,
// the user's yes to the unblock and the user's PUK.
func TestT12NoPUKWithoutTheUser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*offlineWorld){
		"closes the PIN": func(w *offlineWorld) { w.ui.OnPIN(catalog.KindPIN, types()) },
		"declines":       func(w *offlineWorld) { w.ui.OnAsk(catalog.KindOffer, nil) },
		"cannot be asked": func(w *offlineWorld) {
			w.ui.OnAsk(catalog.KindOffer, func(context.Context, catalog.Text) (bool, error) { return true, errors.New("no screen") })
		},
		"closes the PUK":     func(w *offlineWorld) { w.ui.OnPIN(catalog.KindPUK, closes) },
		"closes the new PIN": func(w *offlineWorld) { w.ui.OnPIN(catalog.KindNewPIN, closes) },
	} {
		t.Run(name, func(t *testing.T) {
			w := offline(t)
			card := w.blockedCard()
			change(w)
			for range 1000 {
				w.card.failures = []error{&crs.PINError{Blocked: true, SW: 0x6983}}
				w.login(portale)
				w.mutes = mutes{} // that a mute ends the dialogs after three is tested elsewhere
			}
			if len(card.typed) != 0 {
				t.Errorf("%d PUKs were sent", len(card.typed)/2)
			}
			if _, signs := w.card.used(); signs > 1000 {
				t.Errorf("%d PINs were sent", signs)
			}
		})
	}
}

// T11: no dialog that fails, or answers with nothing, leaves anything behind.
func TestT11HalfAnUnblockIsWiped(t *testing.T) {
	t.Parallel()
	for name, failed := range halves {
		for _, kind := range []catalog.Kind{catalog.KindPUK, catalog.KindNewPIN, catalog.KindNewAgain} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				w := offline(t)
				card := w.blockedCard()
				w.ui.OnPIN(kind, failed.typed)
				if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrPINBlocked || len(card.typed) != 0 {
					t.Errorf("%v, %d sent", err, len(card.typed))
				}
				w.checkHalf(t, failed.told, true)
			})
		}
	}
}

// T11: the same of a change at the owner's wish, also when the last try is not risked.
func TestT11HalfAChangeIsWiped(t *testing.T) {
	t.Parallel()
	for name, failed := range halves {
		for _, kind := range []catalog.Kind{catalog.KindOldPIN, catalog.KindNewPIN, catalog.KindNewAgain, catalog.KindLastTry} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				w := offline(t)
				card := w.blockedCard()
				w.card.status.Retries = 1
				w.ui.OnPIN(kind, failed.typed)
				told := failed.told
				if kind == catalog.KindLastTry {
					_, err := failed.typed(t.Context(), catalog.Text{})
					w.ui.OnAsk(kind, func(context.Context, catalog.Text) (bool, error) { return err != nil, err })
					if err == nil { // a no
						told = nil
					}
				}
				if err := w.ChangePIN(t.Context(), "reader"); err != nil || len(card.typed) != 0 {
					t.Errorf("%v, %d sent", err, len(card.typed))
				}
				w.checkHalf(t, told, false)
			})
		}
	}
}

// halves are dialogs that do not answer as they should, and what the user is told about them, nil
// for nothing.
var halves = map[string]struct {
	typed func(context.Context, catalog.Text) (*crs.PIN, error)
	told  error
}{
	"closed":  {answers(testPUK, crs.ErrCancelled), nil},
	"fails":   {answers(testPUK, errNoScreen), errNoScreen},
	"pulled":  {answers(testPUK, crs.ErrCardRemoved), crs.ErrCardRemoved},
	"nothing": {answers("", nil), errors.New("dialog without a PIN")},
}

var errNoScreen = errors.New("no screen")

// answers is a window that fails after anything was typed; "" is no PIN.
func answers(typed string, err error) func(context.Context, catalog.Text) (*crs.PIN, error) {
	return func(context.Context, catalog.Text) (*crs.PIN, error) {
		if typed == "" {
			return nil, err
		}
		return crs.NewPIN([]byte(typed)), err
	}
}

// checkHalf checks that what was typed is wiped, and what was told.
func (w *offlineWorld) checkHalf(t *testing.T, told error, unblock bool) {
	t.Helper()
	for i, pin := range w.ui.Typed() {
		if pin.Len() != 0 {
			t.Errorf("typing %d was not wiped", i)
		}
	}
	asked := w.ui.Log()
	if strings.Contains(asked, "outcome") != (told != nil) || told != nil && !strings.HasSuffix(asked, " "+outcome(unblock, told)) {
		t.Errorf("asked %s", asked)
	}
}

// What the owner asks for is done to the card in the reader that was named, says the mode of the
// service, and leaves the turn to the next.
func TestPINOfTheNamedReader(t *testing.T) {
	t.Parallel()
	w := offline(t)
	w.Developer = 8080
	card := w.blockedCard(nil, nil)
	w.card.failures = nil
	another := &pinCard{testCard: newCard()}
	w.cards.set(crs.Reader{Name: "another", Card: another}, crs.Reader{Name: "reader", Card: card})
	for _, do := range []func(context.Context, string) error{w.ChangePIN, w.UnblockPIN} {
		if err := do(t.Context(), "reader"); err != nil {
			t.Error(err)
		}
	}
	if len(card.typed) != 4 || len(another.typed) != 0 {
		t.Errorf("%d PINs to the card, %d to another", len(card.typed), len(another.typed))
	}
	for _, text := range w.ui.Texts() {
		if !strings.HasPrefix(text.Before, catalog.Say("developer")) {
			t.Errorf("%+v", text)
		}
	}
	if _, err := w.login(portale); err != nil {
		t.Errorf("a login afterwards: %v", err)
	}
}

// An unblock that nobody continues ends on its own, silently.
func TestUnblockTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*offlineWorld)
		after  time.Duration
		code   crs.Code
	}{
		"offer": {func(w *offlineWorld) {
			w.ui.OnAsk(catalog.KindOffer, func(ctx context.Context, _ catalog.Text) (bool, error) { return true, never(ctx) })
		}, 5*time.Minute + time.Second, crs.ErrTimeout},
		"PUK": {func(w *offlineWorld) {
			w.ui.OnPIN(catalog.KindPUK, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
		}, 2*time.Minute + time.Second, crs.ErrPINBlocked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := offline(t)
				w.blockedCard()
				w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) {
					time.Sleep(time.Second) // the unblock has its own time
					return crs.NewPIN([]byte(testPIN)), nil
				})
				test.change(w)
				began := time.Now()
				_, err := w.login(portale)
				if took := time.Since(began); crs.CodeOf(err) != test.code || took != test.after || strings.Contains(w.ui.Log(), "outcome") {
					t.Errorf("%v after %v, asked %s", err, took, w.ui.Log())
				}
			})
		})
	}
}

// If the PUK's tries cannot be read the user is told so, and no PUK is asked for.
func TestUnblockWithoutAStatus(t *testing.T) {
	t.Parallel()
	w := offline(t)
	w.blockedCard().noPUK = crs.ErrCardRemoved
	if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrPINBlocked || w.ui.Log() != "pin offer "+outcome(true, crs.ErrCardRemoved) {
		t.Errorf("%v, asked %s", err, w.ui.Log())
	}
}

// A service that stops within an unblock reports nothing to nobody.
func TestServiceStopsWithinAnUnblock(t *testing.T) {
	t.Parallel()
	w := offline(t)
	service, stop := context.WithCancel(context.Background())
	w.blockedCard(context.Canceled)
	w.ui.OnPIN(catalog.KindPUK, func(context.Context, catalog.Text) (*crs.PIN, error) {
		stop()
		return crs.NewPIN([]byte(testPUK)), nil
	})
	o, err := crs.ParseOrigin(portale)
	if err != nil {
		t.Fatal(err)
	}
	w.Server.login(w.ctx, loginRequest{origin: o, challenge: challenge(), service: service, progress: func(state) {}})
	if strings.Contains(w.ui.Log(), "outcome") {
		t.Errorf("asked %s", w.ui.Log())
	}
}

// T24: the log says whether a PIN was unblocked, and why not, and reveals nothing about PUK, PIN
// and person.
func TestT24UnblockCanaries(t *testing.T) {
	t.Parallel()
	of := fmt.Errorf("%s, %s, %s", testHolder, testCardID, testPUK)
	for _, test := range []struct {
		answers []error
		want    string
	}{
		{[]error{&crs.PINError{PUK: true, Retries: 2, SW: 0x63C2, Err: of}, nil}, `msg="PIN unblocked" reader="reader 0"`},
		{[]error{&crs.PINError{PUK: true, Blocked: true, SW: 0x63C0, Err: of}}, "SW 63C0"},
		{[]error{fmt.Errorf("%w: %w", crs.ErrPINUnsupported, of)}, `msg="PIN not unblocked"`},
		{[]error{of}, `msg="PIN not unblocked"`},
	} {
		var log bytes.Buffer
		w := offline(t)
		w.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		w.blockedCard(test.answers...)
		w.login(portale)
		if !strings.Contains(log.String(), test.want) {
			t.Errorf("%v: the log lacks %q:\n%s", test.answers, test.want, log.String())
		}
		for _, canary := range []string{testPUK, freshPIN, testPIN, testHolder, testCardID} {
			if strings.Contains(log.String(), canary) {
				t.Errorf("%v: the log holds %q", test.answers, canary)
			}
		}
	}
}
