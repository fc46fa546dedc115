package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	w.ui.unblock = func(ctx context.Context, p catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
		if p.Status != card.puk || p.Card.ID != testCardID {
			t.Errorf("%+v", p)
		}
		return typesPUK(ctx, p)
	}
	o, err := crs.ParseOrigin(portale)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Server.login(w.ctx, loginRequest{
		origin: o, challenge: challenge(), lang: "de", service: context.Background(), progress: func(state) {},
	})
	if want := (catalog.Prompt{Lang: "de", Developer: true}); err != nil || len(w.ui.care) != 2 || w.ui.care[0] != want || w.ui.care[1] != want {
		t.Errorf("%v, %+v", err, w.ui.care)
	}
}

// T12: a page that starts logins by the thousand never has a PUK sent: each takes the user's PIN,
// the user's yes to the unblock and the user's PUK.
func TestT12NoPUKWithoutTheUser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*offlineWorld){
		"closes the PIN": func(w *offlineWorld) { w.ui.pin = types() },
		"declines":       func(w *offlineWorld) { w.ui.offer = nil },
		"cannot be asked": func(w *offlineWorld) {
			w.ui.offer = func(context.Context) (bool, error) { return true, errors.New("no screen") }
		},
		"closes the PUK": func(w *offlineWorld) {
			w.ui.unblock = func(context.Context, catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
				return nil, nil, crs.ErrCancelled
			}
		},
	} {
		w := offline(t)
		card := w.blockedCard()
		change(w)
		for range 1000 {
			w.card.failures = []error{&crs.PINError{Blocked: true, SW: 0x6983}}
			w.login(portale)
			w.mutes = mutes{} // that a mute ends the dialogs after three is tested elsewhere
		}
		if len(card.typed) != 0 {
			t.Errorf("%s: %d PUKs were sent", name, len(card.typed)/2)
		}
		if _, signs := w.card.used(); signs > 1000 {
			t.Errorf("%s: %d PINs were sent", name, signs)
		}
	}
}

// T11: a dialog that fails, or answers with half of what was asked, leaves nothing behind.
func TestT11HalfAnUnblockIsWiped(t *testing.T) {
	t.Parallel()
	closed := errors.New("closed")
	for _, test := range []struct {
		puk, fresh bool
		err        error
		reported   string
	}{
		{true, true, crs.ErrCancelled, ""}, {true, true, closed, "care:true,closed"}, {true, true, crs.ErrCardRemoved, "care:true,the card was removed"},
		{true, false, nil, "care:true,dialog without"}, {false, true, nil, "care:true,dialog without"}, {false, false, nil, "care:true,dialog without"},
	} {
		w := offline(t)
		card := w.blockedCard()
		var typed []*crs.PIN
		w.ui.unblock = func(ctx context.Context, p catalog.PUKPrompt) (puk, fresh *crs.PIN, err error) {
			if puk, fresh, _ = typesPUK(ctx, p); !test.puk {
				puk = nil
			}
			if !test.fresh {
				fresh = nil
			}
			typed = append(typed, puk, fresh)
			return puk, fresh, test.err
		}
		if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrPINBlocked || len(card.typed) != 0 {
			t.Errorf("%+v: %v, %d sent", test, err, len(card.typed))
		}
		for _, pin := range typed {
			if pin != nil && pin.Len() != 0 {
				t.Errorf("%+v: not wiped", test)
			}
		}
		if asked := w.ui.log(); strings.Contains(asked, "care:") != (test.reported != "") || !strings.Contains(asked, test.reported) {
			t.Errorf("%+v: asked %s", test, asked)
		}
	}
}

// T11: the same of a change at the owner's wish, also when the last try is not risked.
func TestT11HalfAChangeIsWiped(t *testing.T) {
	t.Parallel()
	closed := errors.New("closed")
	for _, test := range []struct {
		old, fresh bool
		err        error // of the dialog
		confirm    error // of the question before the last try
		told       string
	}{
		{true, true, crs.ErrCancelled, nil, ""}, {true, true, closed, nil, "care:false,closed"},
		{true, false, nil, nil, "care:false,dialog without"}, {false, true, nil, nil, "care:false,dialog without"},
		{true, true, nil, crs.ErrCancelled, ""}, {true, true, nil, closed, "care:false,closed"},
	} {
		w := offline(t)
		card := w.blockedCard()
		w.card.status.Retries = 1
		w.ui.confirm = func(context.Context) (bool, error) { return true, test.confirm }
		var typed []*crs.PIN
		w.ui.change = func(ctx context.Context, p catalog.PINPrompt) (old, fresh *crs.PIN, err error) {
			if old, fresh, _ = typesChange(ctx, p); !test.old {
				old = nil
			}
			if !test.fresh {
				fresh = nil
			}
			typed = append(typed, old, fresh)
			return old, fresh, test.err
		}
		if err := w.ChangePIN(t.Context(), "reader"); err != nil || len(card.typed) != 0 {
			t.Errorf("%+v: %v, %d sent", test, err, len(card.typed))
		}
		for _, pin := range typed {
			if pin != nil && pin.Len() != 0 {
				t.Errorf("%+v: not wiped", test)
			}
		}
		if asked := w.ui.log(); strings.Contains(asked, "care:") != (test.told != "") || !strings.Contains(asked, test.told) {
			t.Errorf("%+v: asked %s", test, asked)
		}
	}
}

// Care at the owner's wish is of the card in the reader that was named, says the mode of the
// service, and leaves the turn to the next.
func TestCareOfTheNamedReader(t *testing.T) {
	t.Parallel()
	w := offline(t)
	w.Developer = 8080
	card := w.blockedCard(nil, nil)
	w.card.failures = nil
	another := &careCard{testCard: newCard()}
	w.cards.set(crs.Reader{Name: "another", Card: another}, crs.Reader{Name: "reader", Card: card})
	for _, do := range []func(context.Context, string) error{w.ChangePIN, w.UnblockPIN} {
		if err := do(t.Context(), "reader"); err != nil {
			t.Error(err)
		}
	}
	if len(card.typed) != 4 || len(another.typed) != 0 {
		t.Errorf("%d PINs to the card, %d to another", len(card.typed), len(another.typed))
	}
	for _, p := range w.ui.care {
		if p != (catalog.Prompt{Developer: true}) {
			t.Errorf("%+v", p)
		}
	}
	if _, err := w.login(portale); err != nil {
		t.Errorf("a login afterwards: %v", err)
	}
}

// An unblock that nobody goes on with ends by itself, silently.
func TestUnblockTimeouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*offlineWorld)
		after  time.Duration
		code   crs.Code
	}{
		"offer": {func(w *offlineWorld) {
			w.ui.offer = func(ctx context.Context) (bool, error) { return true, never(ctx) }
		}, 5*time.Minute + time.Second, crs.ErrTimeout},
		"PUK": {func(w *offlineWorld) {
			w.ui.unblock = func(ctx context.Context, _ catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
				return nil, nil, never(ctx)
			}
		}, 2*time.Minute + time.Second, crs.ErrPINBlocked},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := offline(t)
			w.blockedCard()
			w.ui.pin = func(context.Context, catalog.PINPrompt) (*crs.PIN, error) {
				time.Sleep(time.Second) // the unblock has its own time
				return crs.NewPIN([]byte(testPIN)), nil
			}
			test.change(w)
			began := time.Now()
			_, err := w.login(portale)
			if took := time.Since(began); crs.CodeOf(err) != test.code || took != test.after || strings.Contains(w.ui.log(), "care:") {
				t.Errorf("%s: %v after %v, asked %s", name, err, took, w.ui.log())
			}
		})
	}
}

// Tries of the PUK that cannot be read are told, and no PUK is asked for.
func TestUnblockWithoutAStatus(t *testing.T) {
	t.Parallel()
	w := offline(t)
	w.blockedCard().noPUK = crs.ErrCardRemoved
	if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrPINBlocked || w.ui.log() != "pin:<nil> offer: care:true,the card was removed" {
		t.Errorf("%v, asked %s", err, w.ui.log())
	}
}

// A service that stops within an unblock reports nothing to nobody.
func TestServiceStopsWithinAnUnblock(t *testing.T) {
	t.Parallel()
	w := offline(t)
	service, stop := context.WithCancel(context.Background())
	w.blockedCard(context.Canceled)
	w.ui.unblock = func(ctx context.Context, p catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
		stop()
		return typesPUK(ctx, p)
	}
	o, err := crs.ParseOrigin(portale)
	if err != nil {
		t.Fatal(err)
	}
	w.Server.login(w.ctx, loginRequest{origin: o, challenge: challenge(), service: service, progress: func(state) {}})
	if strings.Contains(w.ui.log(), "care:") {
		t.Errorf("asked %s", w.ui.log())
	}
}

// T24: the log tells that a PIN was unblocked or not, and why, and nothing of PUK, PIN and person.
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
