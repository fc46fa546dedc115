package bridge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

const testPUK, freshPIN = "87654321", "24680"

// pinCard is a card whose PIN can be changed and unblocked.
type pinCard struct {
	*testCard
	unblocked []error // what the next calls of ChangePIN and UnblockPIN return
	typed     []*crs.PIN
	entered   func() // called within them
	proof     error  // of VerifyPIN
	puk       crs.PINStatus
	noPUK     error // of PUKStatus
}

// blockedCard puts in a card whose PIN the next login finds blocked.
func (w *offlineWorld) blockedCard(unblocked ...error) *pinCard {
	card := &pinCard{testCard: w.card, unblocked: unblocked, puk: crs.UnknownPINStatus}
	w.card.failures = []error{&crs.PINError{Blocked: true, SW: 0x6983}}
	w.cards.set(crs.Reader{Name: "reader", Card: card})
	w.ui.OnAsk(catalog.KindOffer, yes)
	return card
}

func (c *pinCard) VerifyPIN(context.Context, *crs.PIN) error { return c.proof }
func (c *pinCard) ChangePIN(ctx context.Context, old, fresh *crs.PIN) error {
	return c.UnblockPIN(ctx, old, fresh)
}
func (c *pinCard) PUKStatus(context.Context) (crs.PINStatus, error) { return c.puk, c.noPUK }
func (c *pinCard) UnblockPIN(_ context.Context, puk, fresh *crs.PIN) error {
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

func yes(context.Context, catalog.Text) (bool, error) { return true, nil }

// closes is a user who closes a window for a PIN or PUK.
func closes(context.Context, catalog.Text) (*crs.PIN, error) { return nil, crs.ErrCancelled }

// A PIN that a login finds blocked is unblocked in it, and the login goes on; the dialogs name no
// site, and in any case the page hears only of the block, and the user hears of it once.
func TestUnblockInALogin(t *testing.T) {
	t.Parallel()
	wrong := &crs.PINError{PUK: true, Retries: 2, SW: 0x63C2}
	used := &crs.PINError{PUK: true, Blocked: true, SW: 0x63C0}
	torn := &crs.PINError{PUK: true, Retries: -1, Uncertain: true, Err: crs.ErrCardRemoved}
	const offered = "pin offer "
	const typing = "puk new again"
	again := " " + pinAfter(crs.ErrPINUnblocked)
	for name, test := range map[string]struct {
		change    func(*offlineWorld)
		unblocked []error
		code      crs.Code
		asked     string
	}{
		"unblocked": {func(*offlineWorld) {}, []error{nil}, "", offered + typing + again},
		"wrong PUK, then right": {func(*offlineWorld) {}, []error{wrong, nil}, "",
			offered + typing + " " + pukAfter(wrong) + " new again" + again},
		"wrong PUK, then closed": {func(w *offlineWorld) {
			w.ui.OnPIN(catalog.KindPUK, func(context.Context, catalog.Text) (*crs.PIN, error) {
				w.ui.OnPIN(catalog.KindPUK, closes)
				return crs.NewPIN([]byte(testPUK)), nil
			})
		}, []error{wrong}, crs.ErrPINBlocked, offered + typing + " " + pukAfter(wrong)},
		"PUK used up": {func(*offlineWorld) {}, []error{used}, crs.ErrPINBlocked,
			offered + typing + " " + outcome(true, used)},
		"interrupted": {func(*offlineWorld) {}, []error{torn}, crs.ErrPINBlocked,
			offered + typing + " " + outcome(true, torn)},
		"pulled before": {func(*offlineWorld) {}, []error{crs.ErrCardRemoved}, crs.ErrPINBlocked,
			offered + typing + " " + outcome(true, crs.ErrCardRemoved)},
		"not this model": {func(*offlineWorld) {}, []error{crs.ErrPINUnsupported}, crs.ErrPINBlocked,
			offered + typing + " " + outcome(true, crs.ErrPINUnsupported)},
		"contactless": {func(w *offlineWorld) { w.card.info.Contactless = true }, nil, crs.ErrPINBlocked,
			"pin " + report(fmt.Errorf("%w: %w", &crs.PINError{Blocked: true}, crs.ErrContactless))},
		"declined": {func(w *offlineWorld) { w.ui.OnAsk(catalog.KindOffer, nil) }, nil, crs.ErrPINBlocked, "pin offer"},
		"closed":   {func(w *offlineWorld) { w.ui.OnPIN(catalog.KindPUK, closes) }, nil, crs.ErrPINBlocked, offered + "puk"},
		"a card that cannot": {func(w *offlineWorld) { w.cards.set(crs.Reader{Card: w.card}) }, nil,
			crs.ErrPINBlocked, "pin " + report(&crs.PINError{Blocked: true})},
	} {
		t.Run(name, func(t *testing.T) {
			w := offline(t)
			card := w.blockedCard(test.unblocked...)
			test.change(w)
			_, err := w.login(portale)
			if crs.CodeOf(err) != test.code || w.ui.Log() != test.asked {
				t.Errorf("%v, asked\n%s, want\n%s", err, w.ui.Log(), test.asked)
			}
			if len(card.unblocked) != 0 {
				t.Errorf("%d answers of the card are left", len(card.unblocked))
			}
			for i, pin := range w.ui.Typed() {
				if pin.Len() != 0 {
					t.Errorf("typing %d was not wiped", i)
				}
			}
			if len(w.mutes.dismissals) != 0 {
				t.Error("counted as a dismissal of the site")
			}
		})
	}
}

// A token's PIN can be changed but not unblocked: neither the menu nor a login asks for a PUK that
// nobody has, and the user is told so.
func TestNoUnblockWithoutAPUK(t *testing.T) {
	t.Parallel()
	told := outcome(true, crs.ErrPINUnsupported)
	w := offline(t)
	card := w.blockedCard(nil)
	w.card.info.PUKFormat = crs.PINFormat{}
	if err := w.UnblockPIN(t.Context(), "reader"); err != nil || w.ui.Log() != told || len(card.typed) != 0 {
		t.Errorf("from the menu: %v, asked %s", err, w.ui.Log())
	}
	if err := w.ChangePIN(t.Context(), "reader"); err != nil || len(card.typed) != 2 {
		t.Errorf("the change: %v, asked %s", err, w.ui.Log())
	}
	w = offline(t)
	card = w.blockedCard()
	w.card.info.PUKFormat = crs.PINFormat{}
	_, err := w.login(portale)
	if crs.CodeOf(err) != crs.ErrPINBlocked || w.ui.Log() != "pin "+report(&crs.PINError{Blocked: true}) || len(card.typed) != 0 {
		t.Errorf("in a login: %v, asked %s", err, w.ui.Log())
	}
}

// The PIN of a card on a contactless reader is neither changed nor unblocked: the user is told so
// before they type.
func TestNoChangeOverTheAir(t *testing.T) {
	t.Parallel()
	for unblock, do := range map[bool]func(*offlineWorld) error{
		false: func(w *offlineWorld) error { return w.ChangePIN(t.Context(), "reader") },
		true:  func(w *offlineWorld) error { return w.UnblockPIN(t.Context(), "reader") },
	} {
		w := offline(t)
		card := w.blockedCard()
		w.card.info.Contactless = true
		if err := do(w); err != nil || w.ui.Log() != outcome(unblock, crs.ErrContactless) || len(card.typed) != 0 {
			t.Errorf("unblock %v: %v, asked %s", unblock, err, w.ui.Log())
		}
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
		w.ui.OnPIN(catalog.KindPUK, func(ctx context.Context, text catalog.Text) (*crs.PIN, error) {
			leave(errGone)
			time.Sleep(time.Minute)
			if ctx.Err() != nil || text.Site != "" {
				t.Errorf("%v, asked for %q", ctx.Err(), text.Site)
			}
			return crs.NewPIN([]byte(testPUK)), nil
		})
		if _, err := w.login(portale); !errors.Is(err, errGone) {
			t.Errorf("the login: %v", err)
		}
		if len(card.unblocked) != 0 || w.ui.Log() != "pin offer puk new again" {
			t.Errorf("asked %s", w.ui.Log())
		}
	})
}

// What the owner asks for from the menu is done by dialogs alone: they are asked again after a
// wrong code, and is shown the outcome; after closing a window, nothing more is shown.
func TestPINAtTheOwnersWish(t *testing.T) {
	t.Parallel()
	wrong := &crs.PINError{Retries: 2, SW: 0x63C2}
	wrongPUK := &crs.PINError{PUK: true, Retries: 2, SW: 0x63C2}
	blocked := &crs.PINError{Blocked: true, SW: 0x6983}
	torn := &crs.PINError{Retries: -1, Uncertain: true, Err: crs.ErrCardRemoved}
	last := crs.PINStatus{Retries: 1}
	const change, unblock = "old new again ", "puk new again "
	for name, test := range map[string]struct {
		change  func(*offlineWorld, *pinCard)
		unblock bool
		answers []error
		asked   string
	}{
		"change":              {nil, false, []error{nil}, change + outcome(false, nil)},
		"change, wrong first": {nil, false, []error{wrong, nil}, change + ownPINAfter(wrong) + " new again " + outcome(false, nil)},
		"change, blocked":     {nil, false, []error{blocked}, change + outcome(false, blocked)},
		"change, torn":        {nil, false, []error{torn}, change + outcome(false, torn)},
		"change, last try":    {func(w *offlineWorld, c *pinCard) { w.card.status = last }, false, []error{nil}, change + "last " + outcome(false, nil)},
		"change, not the last try": {func(w *offlineWorld, c *pinCard) {
			w.card.status = last
			w.ui.OnAsk(catalog.KindLastTry, func(context.Context, catalog.Text) (bool, error) { return false, nil })
		}, false, nil, change + "last"},
		"change, closed":        {func(w *offlineWorld, c *pinCard) { w.ui.OnPIN(catalog.KindOldPIN, closes) }, false, nil, "old"},
		"change, closed later":  {func(w *offlineWorld, c *pinCard) { w.ui.OnPIN(catalog.KindNewAgain, closes) }, false, nil, "old new again"},
		"change, wrong, closed": {func(w *offlineWorld, c *pinCard) { w.ui.Types(testPIN, freshPIN, freshPIN) }, false, []error{wrong}, change + ownPINAfter(wrong)},
		"unblock":               {nil, true, []error{nil}, unblock + outcome(true, nil)},
		"unblock, wrong first":  {nil, true, []error{wrongPUK, nil}, unblock + pukAfter(wrongPUK) + " new again " + outcome(true, nil)},
		"unblock, last try":     {func(w *offlineWorld, c *pinCard) { c.puk = last }, true, []error{nil}, unblock + "last " + outcome(true, nil)},
		"unblock, closed":       {func(w *offlineWorld, c *pinCard) { w.ui.OnPIN(catalog.KindPUK, closes) }, true, nil, "puk"},
		"no card": {func(w *offlineWorld, c *pinCard) { w.cards.set(crs.Reader{Name: "reader"}) }, true, nil,
			outcome(true, crs.ErrCardRemoved)},
		"no usable card": {func(w *offlineWorld, c *pinCard) { w.cards.set(crs.Reader{Name: "reader", Err: crs.ErrCardMute}) }, true, nil,
			outcome(true, crs.ErrCardMute)},
		"a card that cannot": {func(w *offlineWorld, c *pinCard) { w.cards.set(crs.Reader{Name: "reader", Card: c.testCard}) }, true, nil,
			outcome(true, crs.ErrPINUnsupported)},
	} {
		t.Run(name, func(t *testing.T) {
			w := offline(t)
			card := &pinCard{testCard: w.card, unblocked: test.answers, puk: crs.UnknownPINStatus}
			w.cards.set(crs.Reader{Name: "another"}, crs.Reader{Name: "reader", Card: card})
			if test.change != nil {
				test.change(w, card)
			}
			do := w.ChangePIN
			if test.unblock {
				do = w.UnblockPIN
			}
			if err := do(t.Context(), "reader"); err != nil || w.ui.Log() != test.asked {
				t.Errorf("%v, asked\n%s, want\n%s", err, w.ui.Log(), test.asked)
			}
			if len(card.unblocked) != 0 {
				t.Errorf("%d answers of the card are left", len(card.unblocked))
			}
			for i, pin := range w.ui.Typed() {
				if pin.Len() != 0 {
					t.Errorf("typing %d was not wiped", i)
				}
			}
		})
	}
}

// TestT12ChangesAndLogins: one dialog at a time, no matter who asks; but a site that the user does
// not know cannot keep the owner from the PIN.
func TestT12ChangesAndLogins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		card := &pinCard{testCard: w.card, unblocked: []error{nil}}
		w.cards.set(crs.Reader{Name: "reader", Card: card})
		typing := make(chan struct{})
		w.ui.OnPIN(catalog.KindPUK, func(context.Context, catalog.Text) (*crs.PIN, error) {
			<-typing
			return crs.NewPIN([]byte(testPUK)), nil
		})
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

		w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
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

// Even if the requester is gone, the user sees what became of a PIN that was sent, and nothing
// else.
func TestChangeOutlivesItsTray(t *testing.T) {
	t.Parallel()
	uncertain := &crs.PINError{Retries: -1, Uncertain: true, SW: 0x6F00}
	for name, test := range map[string]struct {
		answer error
		asked  string
	}{
		"done":      {nil, "old new again " + outcome(false, nil)},
		"uncertain": {uncertain, "old new again " + outcome(false, uncertain)},
		"not sent":  {crs.ErrCardRemoved, "old new again"},
	} {
		t.Run(name, func(t *testing.T) {
			w := offline(t)
			ctx, leave := context.WithCancel(t.Context())
			card := &pinCard{testCard: w.card, unblocked: []error{test.answer}, entered: leave}
			w.cards.set(crs.Reader{Name: "reader", Card: card})
			if err := w.ChangePIN(ctx, "reader"); err != nil || w.ui.Log() != test.asked {
				t.Errorf("%v, asked %s", err, w.ui.Log())
			}
		})
	}
}
