package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// signOnReader is the rest of signOnce with a PIN that is typed on the keys of the reader.
//
// The user says go first. Else any site that was ever allowed could light the keys up, and hold the
// card in a transaction, while the window that says for whom lies behind others; whoever then
// types because a reader asks has logged in to a site that they did not look at.
func (l *login) signOnReader(ctx context.Context, card crs.Card, prompt catalog.PINPrompt) (crs.Signature, error) {
	if err := l.confirm(ctx, prompt, l.UI.ConfirmReader); err != nil {
		return crs.Signature{}, err
	}
	if prompt.Status.LastTry() {
		if err := l.confirm(ctx, prompt, l.UI.ConfirmLastTry); err != nil {
			return crs.Signature{}, err
		}
	}
	var signature crs.Signature
	err := l.whileShown(ctx, prompt, l.UI.TypeOnReader, func() (err error) {
		signature, err = card.Sign(ctx, nil, l.statement)
		return err
	})
	if errors.Is(err, crs.ErrPadCancelled) {
		return crs.Signature{}, dismissal{crs.ErrCancelled}
	}
	if err == nil {
		l.tell(stateSigning)
	}
	return signature, err
}

// whileShown shows what to type on the reader for as long as that may ask for it. It can be cancelled
// on the reader alone, neither by the page nor by closing the window (docs/card-safety.md, rule 7).
func (s *Server) whileShown(ctx context.Context, prompt catalog.PINPrompt, show func(context.Context, catalog.PINPrompt) error, ask func() error) error {
	shown, hide := context.WithCancel(context.WithoutCancel(ctx))
	var window sync.WaitGroup
	window.Go(func() {
		if err := show(shown, prompt); crs.CodeOf(err) == crs.ErrInternal {
			s.log().Warn("the user is not told to type on the reader", "reason", err)
		}
	})
	defer window.Wait()
	defer hide()
	return ask()
}

// offerKeyboard tells the user that the keys of a reader failed, and lets them choose the keyboard
// for the logins that follow. This one is over: there is no second VERIFY in it (docs/card-safety.md,
// rule 9). The page cannot close the question.
func (l *login) offerKeyboard(card crs.Info, failed error) error {
	ctx, cancel := context.WithTimeout(l.service, l.limits().Input)
	defer cancel()
	l.chooseKeyboard(ctx, l.prompt, card, failed)
	return explained{failed}
}

// chooseKeyboard reports whether the user chose the keyboard in place of the keys of a reader, from
// now on.
func (s *Server) chooseKeyboard(ctx context.Context, p catalog.Prompt, card crs.Info, failed error) bool {
	yes, err := s.UI.OfferKeyboard(ctx, p, card, failed)
	if crs.CodeOf(err) == crs.ErrInternal {
		s.log().Warn("keyboard not offered", "reader", card.Reader, "reason", err)
	}
	if err != nil || !yes {
		return false
	}
	s.keyboards.add(card.Reader)
	return true
}

// typedOnReader reports whether the PIN of a card is typed on its reader: where that has keys, and
// the user has not chosen the keyboard.
func (s *Server) typedOnReader(card crs.Info) bool {
	return card.PINPad && !s.keyboards.has(card.Reader)
}

// changeOnReader is the rest of changeOnce with both PINs typed on the keys of the reader. That the
// reader changed the PIN is its word alone, until the user has typed the new one once more.
func (c care) changeOnReader(ctx context.Context, p catalog.PINPrompt) error {
	ask, cancel := context.WithTimeout(ctx, c.input)
	defer cancel()
	questions := []func(context.Context, catalog.PINPrompt) (bool, error){c.UI.ConfirmReader}
	if p.Status.LastTry() {
		questions = append(questions, c.UI.ConfirmLastTry)
	}
	for _, question := range questions {
		switch yes, err := question(ask, p); {
		case err != nil:
			return closed(ask, err)
		case !yes:
			return crs.ErrCancelled
		}
	}
	err := c.whileShown(ctx, p, c.UI.ChangeOnReader, func() error { return c.manager.ChangePIN(ctx, nil, nil) })
	if errors.Is(err, crs.ErrPINPad) && !sent(err) && c.chooseKeyboard(ctx, c.prompt, p.Card, err) {
		return c.changeOnce(ctx, nil)
	}
	if err != nil {
		return err
	}
	err = c.whileShown(ctx, p, c.UI.ProveOnReader, func() error { return c.manager.VerifyPIN(ctx, nil) })
	var refused *crs.PINError
	if err == nil || errors.As(err, &refused) && refused.Blocked {
		return err
	}
	return fmt.Errorf("%w: %v", crs.ErrPINUnproved, err) // not cancelled, though the proof may be
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
