package bridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

const testPUK, freshPIN = "87654321", "24680"

// careCard is a card whose PIN can be unblocked.
type careCard struct {
	*testCard
	unblocked []error // what the next calls of ChangePIN and UnblockPIN return
	typed     []*crs.PIN
	entered   func() // called within them
	proof     error  // of VerifyPIN
	puk       crs.PINStatus
	noPUK     error // of PUKStatus
}

// blockedCard puts in a card whose PIN the next login finds blocked.
func (w *offlineWorld) blockedCard(unblocked ...error) *careCard {
	card := &careCard{testCard: w.card, unblocked: unblocked, puk: crs.UnknownPINStatus}
	w.card.failures = []error{&crs.PINError{Blocked: true, SW: 0x6983}}
	w.cards.set(crs.Reader{Name: "reader", Card: card})
	w.ui.offer, w.ui.unblock, w.ui.change = yes, typesPUK, typesChange
	return card
}

func (c *careCard) VerifyPIN(context.Context, *crs.PIN) error { return c.proof }
func (c *careCard) ChangePIN(ctx context.Context, old, fresh *crs.PIN) error {
	return c.UnblockPIN(ctx, old, fresh)
}
func (c *careCard) PUKStatus(context.Context) (crs.PINStatus, error) { return c.puk, c.noPUK }
func (c *careCard) UnblockPIN(_ context.Context, puk, fresh *crs.PIN) error {
	c.typed = append(c.typed, puk, fresh)
	puk.Wipe()
	fresh.Wipe()
	if c.entered != nil {
		c.entered()
	}
	err := c.unblocked[0]
	c.unblocked = c.unblocked[1:]
	return err
}

func typesPUK(context.Context, catalog.PUKPrompt) (puk, fresh *crs.PIN, err error) {
	return crs.NewPIN([]byte(testPUK)), crs.NewPIN([]byte(freshPIN)), nil
}

func yes(context.Context) (bool, error) { return true, nil }

// A PIN that a login finds blocked is unblocked in it, and the login goes on; the dialogs name no
// site, and whatever else happens the page hears of the block alone, and the user once.
func TestUnblockInALogin(t *testing.T) {
	t.Parallel()
	wrong := &crs.PINError{PUK: true, Retries: 2, SW: 0x63C2}
	used := &crs.PINError{PUK: true, Blocked: true, SW: 0x63C0}
	torn := &crs.PINError{PUK: true, Retries: -1, Uncertain: true, Err: crs.ErrCardRemoved}
	const offered = "pin:<nil> offer: "
	again := " pin:" + crs.ErrPINUnblocked.Error()
	for name, test := range map[string]struct {
		change    func(*offlineWorld)
		unblocked []error
		code      crs.Code
		asked     string
	}{
		"unblocked": {func(*offlineWorld) {}, []error{nil}, "", offered + "unblock:<nil>" + again},
		"wrong PUK, then right": {func(*offlineWorld) {}, []error{wrong, nil}, "",
			offered + "unblock:<nil> unblock:wrong PUK, tries left: 2 (SW 63C2)" + again},
		"PUK used up": {func(*offlineWorld) {}, []error{used}, crs.ErrPINBlocked,
			offered + "unblock:<nil> care:true,the PUK is blocked (SW 63C0)"},
		"interrupted": {func(*offlineWorld) {}, []error{torn}, crs.ErrPINBlocked,
			offered + "unblock:<nil> care:true," + torn.Error()},
		"pulled before": {func(*offlineWorld) {}, []error{crs.ErrCardRemoved}, crs.ErrPINBlocked,
			offered + "unblock:<nil> care:true," + crs.ErrCardRemoved.Error()},
		"not this model": {func(*offlineWorld) {}, []error{crs.ErrPINUnsupported}, crs.ErrPINBlocked,
			offered + "unblock:<nil> care:true," + crs.ErrPINUnsupported.Error()},
		"declined": {func(w *offlineWorld) { w.ui.offer = nil }, nil, crs.ErrPINBlocked, "pin:<nil> offer:"},
		"closed": {func(w *offlineWorld) {
			w.ui.unblock = func(context.Context, catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
				return nil, nil, crs.ErrCancelled
			}
		}, nil, crs.ErrPINBlocked, offered + "unblock:<nil>"},
		"a card without the PUK's care": {func(w *offlineWorld) { w.cards.set(crs.Reader{Card: w.card}) }, nil,
			crs.ErrPINBlocked, "pin:<nil> report:the PIN is blocked (SW 6983)"},
	} {
		w := offline(t)
		card := w.blockedCard(test.unblocked...)
		test.change(w)
		_, err := w.login(portale)
		if crs.CodeOf(err) != test.code || w.ui.log() != test.asked {
			t.Errorf("%s: %v, asked %s", name, err, w.ui.log())
		}
		if len(card.unblocked) != 0 {
			t.Errorf("%s: %d answers of the card are left", name, len(card.unblocked))
		}
		for i, pin := range card.typed {
			if pin.Len() != 0 {
				t.Errorf("%s: typing %d was not wiped", name, i)
			}
		}
		if len(w.mutes.dismissals) != 0 {
			t.Errorf("%s: counted as a dismissal of the site", name)
		}
	}
}

// A token's PIN can be changed but not unblocked: neither the menu nor a login asks for a PUK that
// nobody has, and the user is told so.
func TestNoUnblockWithoutAPUK(t *testing.T) {
	t.Parallel()
	told := "care:true," + crs.ErrPINUnsupported.Error()
	w := offline(t)
	card := w.blockedCard(nil)
	w.card.info.PUKFormat = crs.PINFormat{}
	if err := w.UnblockPIN(t.Context(), "reader"); err != nil || w.ui.log() != told || len(card.typed) != 0 {
		t.Errorf("from the menu: %v, asked %s", err, w.ui.log())
	}
	if err := w.ChangePIN(t.Context(), "reader"); err != nil || len(card.typed) != 2 {
		t.Errorf("the change: %v, asked %s", err, w.ui.log())
	}
	w = offline(t)
	card = w.blockedCard()
	w.card.info.PUKFormat = crs.PINFormat{}
	_, err := w.login(portale)
	if crs.CodeOf(err) != crs.ErrPINBlocked || w.ui.log() != "pin:<nil> report:the PIN is blocked (SW 6983)" || len(card.typed) != 0 {
		t.Errorf("in a login: %v, asked %s", err, w.ui.log())
	}
}

// T13: the page that goes, cancels or waits too long closes no dialog of an unblock, and its login ends
// after it.
func TestT13PageCannotCloseAnUnblock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		ctx, leave := context.WithCancelCause(context.Background())
		w.ctx = ctx
		card := w.blockedCard(nil)
		w.ui.unblock = func(ctx context.Context, p catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
			leave(errGone)
			time.Sleep(time.Minute)
			if ctx.Err() != nil || !p.Origin.IsZero() {
				t.Errorf("%v, asked for %q", ctx.Err(), p.Origin)
			}
			return typesPUK(ctx, p)
		}
		if _, err := w.login(portale); !errors.Is(err, errGone) {
			t.Errorf("the login: %v", err)
		}
		if len(card.unblocked) != 0 || w.ui.log() != "pin:<nil> offer: unblock:<nil>" {
			t.Errorf("asked %s", w.ui.log())
		}
	})
}

// What the owner asks for from the menu is done by dialogs alone: they are asked again after a
// wrong code, and told what became of it; nobody is told who closed one.
func TestCareAtTheOwnersWish(t *testing.T) {
	t.Parallel()
	wrong := &crs.PINError{Retries: 2, SW: 0x63C2}
	wrongPUK := &crs.PINError{PUK: true, Retries: 2, SW: 0x63C2}
	blocked := &crs.PINError{Blocked: true, SW: 0x6983}
	torn := &crs.PINError{Retries: -1, Uncertain: true, Err: crs.ErrCardRemoved}
	last := crs.PINStatus{Retries: 1}
	for name, test := range map[string]struct {
		change  func(*offlineWorld, *careCard)
		unblock bool
		answers []error
		asked   string
	}{
		"change":              {nil, false, []error{nil}, "change:<nil> care:false,<nil>"},
		"change, wrong first": {nil, false, []error{wrong, nil}, "change:<nil> change:" + wrong.Error() + " care:false,<nil>"},
		"change, blocked":     {nil, false, []error{blocked}, "change:<nil> care:false," + blocked.Error()},
		"change, torn":        {nil, false, []error{torn}, "change:<nil> care:false," + torn.Error()},
		"change, last try": {func(w *offlineWorld, c *careCard) { w.card.status = last }, false, []error{nil},
			"change:<nil> confirm care:false,<nil>"},
		"change, not the last try": {func(w *offlineWorld, c *careCard) {
			w.card.status = last
			w.ui.confirm = func(context.Context) (bool, error) { return false, nil }
		}, false, nil, "change:<nil> confirm"},
		"change, closed": {func(w *offlineWorld, c *careCard) {
			w.ui.change = func(context.Context, catalog.PINPrompt) (*crs.PIN, *crs.PIN, error) {
				return nil, nil, crs.ErrCancelled
			}
		}, false, nil, "change:<nil>"},
		"unblock":              {nil, true, []error{nil}, "unblock:<nil> care:true,<nil>"},
		"unblock, wrong first": {nil, true, []error{wrongPUK, nil}, "unblock:<nil> unblock:" + wrongPUK.Error() + " care:true,<nil>"},
		"unblock, closed": {func(w *offlineWorld, c *careCard) {
			w.ui.unblock = func(context.Context, catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
				return nil, nil, crs.ErrCancelled
			}
		}, true, nil, "unblock:<nil>"},
		"no card": {func(w *offlineWorld, c *careCard) { w.cards.set(crs.Reader{Name: "reader"}) }, true, nil,
			"care:true," + crs.ErrCardRemoved.Error()},
		"no usable card": {func(w *offlineWorld, c *careCard) { w.cards.set(crs.Reader{Name: "reader", Err: crs.ErrCardMute}) }, true, nil,
			"care:true," + crs.ErrCardMute.Error()},
		"a card without care": {func(w *offlineWorld, c *careCard) { w.cards.set(crs.Reader{Name: "reader", Card: c.testCard}) }, true, nil,
			"care:true," + crs.ErrPINUnsupported.Error()},
	} {
		w := offline(t)
		card := &careCard{testCard: w.card, unblocked: test.answers}
		w.cards.set(crs.Reader{Name: "another"}, crs.Reader{Name: "reader", Card: card})
		w.ui.unblock, w.ui.change = typesPUK, typesChange
		if test.change != nil {
			test.change(w, card)
		}
		do := w.ChangePIN
		if test.unblock {
			do = w.UnblockPIN
		}
		if err := do(t.Context(), "reader"); err != nil || w.ui.log() != test.asked {
			t.Errorf("%s: %v, asked %s, want %s", name, err, w.ui.log(), test.asked)
		}
		if len(card.unblocked) != 0 {
			t.Errorf("%s: %d answers of the card are left", name, len(card.unblocked))
		}
		for i, pin := range card.typed {
			if pin.Len() != 0 {
				t.Errorf("%s: typing %d was not wiped", name, i)
			}
		}
	}
}

func typesChange(context.Context, catalog.PINPrompt) (old, fresh *crs.PIN, err error) {
	return crs.NewPIN([]byte(testPIN)), crs.NewPIN([]byte(freshPIN)), nil
}

// TestT12CareAndLogins: one dialog at a time, whoever asks; but a site that the user does not know
// cannot keep the owner from the PIN.
func TestT12CareAndLogins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		card := &careCard{testCard: w.card, unblocked: []error{nil}}
		w.cards.set(crs.Reader{Name: "reader", Card: card})
		typing := make(chan struct{})
		w.ui.unblock = func(ctx context.Context, p catalog.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
			<-typing
			return typesPUK(ctx, p)
		}
		ended := make(chan error)
		go func() { ended <- w.UnblockPIN(t.Context(), "reader") }()
		synctest.Wait()
		if _, err := w.login(portale); crs.CodeOf(err) != crs.ErrBusy {
			t.Errorf("a login beside it: %v", err)
		}
		if err := w.ChangePIN(t.Context(), "reader"); crs.CodeOf(err) != crs.ErrBusy {
			t.Errorf("a change beside it: %v", err)
		}
		close(typing)
		if err := <-ended; err != nil {
			t.Error(err)
		}

		w.ui.pin = func(ctx context.Context, _ catalog.PINPrompt) (*crs.PIN, error) { return nil, never(ctx) }
		ctx, leave := context.WithCancelCause(t.Context())
		w.ctx = ctx
		go func() { _, err := w.login(portale); ended <- err }()
		synctest.Wait()
		if err := w.UnblockPIN(t.Context(), "reader"); crs.CodeOf(err) != crs.ErrBusy {
			t.Errorf("beside a login: %v", err)
		}
		leave(errGone)
		<-ended
	})
}

// Whoever asked may go: what became of a PIN that was sent is told all the same, and nothing else.
func TestCareOutlivesItsTray(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer error
		asked  string
	}{
		"done":      {nil, "change:<nil> care:false,<nil>"},
		"uncertain": {&crs.PINError{Retries: -1, Uncertain: true, SW: 0x6F00}, "change:<nil> care:false,no clear answer to the PIN, the try is perhaps counted (SW 6F00)"},
		"not sent":  {crs.ErrCardRemoved, "change:<nil>"},
	} {
		w := offline(t)
		ctx, leave := context.WithCancel(t.Context())
		card := &careCard{testCard: w.card, unblocked: []error{test.answer}, entered: leave}
		w.cards.set(crs.Reader{Name: "reader", Card: card})
		w.ui.change = typesChange
		if err := w.ChangePIN(ctx, "reader"); err != nil || w.ui.log() != test.asked {
			t.Errorf("%s: %v, asked %s", name, err, w.ui.log())
		}
	}
}
