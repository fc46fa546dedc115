package bridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
)

const testPUK, freshPIN = "87654321", "24680"

// careCard is a card whose PIN can be unblocked.
type careCard struct {
	*testCard
	unblocked []error // what the next calls of UnblockPIN return
	typed     []*crs.PIN
}

func (c *careCard) VerifyPIN(context.Context, *crs.PIN) error           { return nil }
func (c *careCard) ChangePIN(context.Context, *crs.PIN, *crs.PIN) error { return nil }
func (c *careCard) PUKStatus(context.Context) (crs.PINStatus, error) {
	return crs.UnknownPINStatus, nil
}
func (c *careCard) UnblockPIN(_ context.Context, puk, fresh *crs.PIN) error {
	c.typed = append(c.typed, puk, fresh)
	puk.Wipe()
	fresh.Wipe()
	err := c.unblocked[0]
	c.unblocked = c.unblocked[1:]
	return err
}

func typesPUK(context.Context, crs.PUKPrompt) (puk, fresh *crs.PIN, err error) {
	return crs.NewPIN([]byte(testPUK)), crs.NewPIN([]byte(freshPIN)), nil
}

func yes(context.Context) (bool, error) { return true, nil }

// A PIN that a login finds blocked is unblocked in it, and the login goes on; the dialogs name no
// site, and whatever else happens the page hears of the block alone, and the user once.
func TestUnblockInALogin(t *testing.T) {
	t.Parallel()
	blocked := &crs.PINError{Blocked: true, SW: 0x6983}
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
		"not this model": {func(*offlineWorld) {}, []error{crs.ErrPINUnsupported}, crs.ErrPINBlocked,
			offered + "unblock:<nil> care:true," + crs.ErrPINUnsupported.Error()},
		"declined": {func(w *offlineWorld) { w.ui.offer = nil }, nil, crs.ErrPINBlocked, "pin:<nil> offer:"},
		"closed": {func(w *offlineWorld) {
			w.ui.unblock = func(context.Context, crs.PUKPrompt) (*crs.PIN, *crs.PIN, error) { return nil, nil, crs.ErrCancelled }
		}, nil, crs.ErrPINBlocked, offered + "unblock:<nil>"},
		"a card without the PUK's care": {func(w *offlineWorld) { w.cards.set(crs.Reader{Card: w.card}) }, nil,
			crs.ErrPINBlocked, "pin:<nil> report:the PIN is blocked (SW 6983)"},
	} {
		w := offline(t)
		card := &careCard{testCard: w.card, unblocked: test.unblocked}
		w.card.failures = []error{blocked}
		w.cards.set(crs.Reader{Card: card})
		w.ui.offer, w.ui.unblock = yes, typesPUK
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

// The page that goes, cancels or waits too long closes no dialog of an unblock, and its login ends
// after it.
func TestPageCannotCloseAnUnblock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := offline(t)
		ctx, leave := context.WithCancelCause(context.Background())
		w.ctx = ctx
		card := &careCard{testCard: w.card, unblocked: []error{nil}}
		w.card.failures = []error{&crs.PINError{Blocked: true}}
		w.cards.set(crs.Reader{Card: card})
		w.ui.offer = yes
		w.ui.unblock = func(ctx context.Context, p crs.PUKPrompt) (*crs.PIN, *crs.PIN, error) {
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
