package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// onReader reports whether the PIN of a card is typed on its reader: where that has keys, and the
// user has not chosen the keyboard.
func (f PINFlow) onReader(card crs.Info) bool {
	return card.PINPad && !f.keyboards.has(card.Reader)
}

// onceOnReader is once with a PIN that is typed on the keys of the reader.
func (f PINFlow) onceOnReader(ctx context.Context, p catalog.PINPrompt, use func(*crs.PIN) error) error {
	if err := f.lightUp(ctx, p); err != nil {
		return err
	}
	return f.whileShown(ctx, catalog.TypePIN(p), func() error { return use(nil) })
}

// lightUp asks whether the reader may ask for the PIN.
//
// The user says go first. Otherwise any site that was ever allowed could light up the keys, and
// hold the card in a transaction, while the window that says for whom lies behind others; a user
// who then types because the reader asks has logged in to a site that they did not look at.
func (f PINFlow) lightUp(ctx context.Context, p catalog.PINPrompt) error {
	if !f.Script {
		if err := mustAgree(ctx, f.Screen, catalog.ReaderPIN(p)); err != nil {
			return err
		}
	}
	return f.riskLastTry(ctx, p)
}

// whileShown shows what to type on the reader for as long as the reader may ask for it. It can be
// cancelled on the reader alone, neither by the page nor by closing the window
// (docs/card-safety.md, rule 7).
func (f PINFlow) whileShown(ctx context.Context, t catalog.Text, ask func() error) error {
	shown, hide := context.WithCancel(context.WithoutCancel(ctx))
	var window sync.WaitGroup
	window.Go(func() {
		if err := f.Screen.Wait(shown, t); crs.CodeOf(err) == crs.ErrInternal {
			f.log().Warn("the user is not told to type on the reader", "reason", err)
		}
	})
	defer window.Wait()
	defer hide()
	return ask()
}

// chooseKeyboard tells the user that the keys of the reader failed, and reports whether they chose
// the keyboard in their place, from now on.
func (f PINFlow) chooseKeyboard(ctx context.Context, failed error) bool {
	card := f.Card.Info()
	yes, err := f.Screen.Ask(ctx, catalog.Keyboard(f.Prompt, card, failed))
	if crs.CodeOf(err) == crs.ErrInternal {
		f.log().Warn("keyboard not offered", "reader", card.Reader, "reason", err)
	}
	if err != nil || !yes {
		return false
	}
	f.keyboards.add(card.Reader)
	return true
}

// changeOnReader is change with both PINs typed on the keys of the reader. Until the user has typed
// the new PIN once more, the change is only the reader's claim.
func (f PINFlow) changeOnReader(ctx context.Context, p catalog.PINPrompt) error {
	if err := f.lightUp(ctx, p); err != nil {
		return err
	}
	manager := f.Card.(crs.PINManager)
	err := f.whileShown(ctx, catalog.ChangeOnReader(p), func() error { return manager.ChangePIN(ctx, nil, nil) })
	if errors.Is(err, crs.ErrPINPad) && !sent(err) && f.chooseKeyboard(ctx, err) {
		return f.change(ctx, nil)
	}
	if err != nil {
		return err
	}
	err = f.whileShown(ctx, catalog.ProveOnReader(p), func() error { return manager.VerifyPIN(ctx, nil) })
	var refused *crs.PINError
	if err == nil || errors.As(err, &refused) && refused.Blocked {
		return err
	}
	return fmt.Errorf("%w: %v", crs.ErrPINUnproved, err) // not cancelled, though the proof may be
}

// offerKeyboard lets the user choose the keyboard for the logins that follow. This one is over: there
// is no second VERIFY in it (docs/card-safety.md, rule 9). The page cannot close the question.
func (l *login) offerKeyboard(card crs.Card, failed error) error {
	ctx, cancel := context.WithTimeout(l.service, l.limits().Input)
	defer cancel()
	l.pinFlow(card, l.prompt).chooseKeyboard(ctx, failed)
	return explained{failed}
}

// keyboards are the readers whose keys failed, and whose users chose the keyboard instead. They are
// forgotten with the service: a reader may have been replaced, or its driver.
type keyboards struct {
	mu      sync.Mutex
	readers map[string]bool
}

func (k *keyboards) has(reader string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.readers[reader]
}

func (k *keyboards) add(reader string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.readers == nil {
		k.readers = make(map[string]bool)
	}
	k.readers[reader] = true
}
