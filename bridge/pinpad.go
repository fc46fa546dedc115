package bridge

import (
	"context"
	"errors"
	"sync"

	"github.com/crs-bridge/crs"
)

// signOnReader is the rest of signOnce with a PIN that is typed on the keys of the reader.
//
// The user says go first. Else any site that was ever allowed could light the keys up, and hold the
// card in a transaction, while the window that says for whom lies behind others; whoever then
// types because a reader asks has logged in to a site that they did not look at.
func (l *login) signOnReader(ctx context.Context, card crs.Card, prompt crs.PINPrompt) (crs.Signature, error) {
	if err := l.confirm(ctx, prompt, l.UI.ConfirmReader); err != nil {
		return crs.Signature{}, err
	}
	if prompt.Status.LastTry() {
		if err := l.confirm(ctx, prompt, l.UI.ConfirmLastTry); err != nil {
			return crs.Signature{}, err
		}
	}
	// The window is open for as long as the keys may be: what the reader asks can be cancelled on
	// the reader alone, neither by the page nor by closing the window (docs/card-safety.md, rule 7).
	shown, hide := context.WithCancel(context.WithoutCancel(l.service))
	var window sync.WaitGroup
	window.Go(func() {
		if err := l.UI.TypeOnReader(shown, prompt); crs.CodeOf(err) == crs.ErrInternal {
			l.log().Warn("the user is not told to type on the reader", "origin", l.origin.String(), "reason", err)
		}
	})
	defer window.Wait()
	defer hide()
	signature, err := card.Sign(ctx, nil, l.statement)
	if errors.Is(err, crs.ErrPadCancelled) {
		return crs.Signature{}, dismissal{crs.ErrCancelled}
	}
	if err == nil {
		l.tell(stateSigning)
	}
	return signature, err
}

// offerKeyboard tells the user that the keys of a reader failed, and lets them choose the keyboard
// for the logins that follow. This one is over: there is no second VERIFY in it (docs/card-safety.md,
// rule 9). The page cannot close the question.
func (l *login) offerKeyboard(card crs.Info, failed error) error {
	ctx, cancel := context.WithTimeout(l.service, l.limits().Input)
	defer cancel()
	yes, err := l.UI.OfferKeyboard(ctx, l.prompt, card, failed)
	switch {
	case err == nil && yes:
		l.keyboards.add(card.Reader)
	case crs.CodeOf(err) == crs.ErrInternal:
		l.log().Warn("keyboard not offered", "origin", l.origin.String(), "reason", err)
	}
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
