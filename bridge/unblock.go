package bridge

import (
	"context"
	"errors"

	"github.com/crs-bridge/crs"
)

// unblock lets the user unblock a PIN that this login found blocked, and returns nil if the login
// can go on. Else it returns blocked, explained.
//
// Its dialogs are windows of their own that name the card and not the site, because no site ever
// needs a PUK. The page sees no more than that a PIN is asked for, and cannot close them: what
// is done to the card is the user's business.
func (l *login) unblock(card crs.Card, blocked error) error {
	manager, ok := card.(crs.PINManager)
	if !ok {
		return blocked
	}
	ctx, cancel := context.WithTimeout(l.service, l.limits().Login)
	defer cancel()
	prompt := crs.Prompt{Lang: l.lang, Developer: l.prompt.Developer}
	yes, err := l.UI.OfferUnblock(ctx, prompt, card.Info())
	if err != nil || !yes {
		return explained{blocked}
	}
	var last error
	for {
		err := l.unblockOnce(ctx, card, manager, crs.PUKPrompt{Prompt: prompt, Card: card.Info(), Last: last})
		var refused *crs.PINError
		switch {
		case err == nil:
			l.log().Info("PIN unblocked", "reader", card.Info().Reader)
			return nil
		case errors.As(err, &refused) && !refused.Blocked && !refused.Uncertain:
			last = err // a wrong PUK: the next is typed anew
			continue
		case errors.Is(err, crs.ErrCancelled), ctx.Err() != nil:
			return explained{blocked}
		}
		l.log().Info("PIN not unblocked", "reader", card.Info().Reader, cause(err))
		if err := l.UI.Report(ctx, prompt, err); err != nil {
			l.log().Warn("report not read", "reason", err)
		}
		return explained{blocked}
	}
}

// unblockOnce is one typing of the PUK. Nothing cancels what was typed to the end.
func (l *login) unblockOnce(ctx context.Context, card crs.Card, manager crs.PINManager, p crs.PUKPrompt) error {
	status, err := manager.PUKStatus(ctx)
	if err != nil {
		return err
	}
	p.Status = status
	ask, cancel := context.WithTimeout(ctx, l.limits().Input)
	defer cancel()
	puk, fresh, err := l.UI.AskUnblock(ask, p)
	defer puk.Wipe()
	defer fresh.Wipe()
	switch {
	case err != nil && ask.Err() != nil:
		return crs.ErrCancelled
	case err != nil:
		return err
	case puk == nil || fresh == nil:
		return errors.New("dialog without a PUK or a PIN")
	}
	return manager.UnblockPIN(ctx, puk, fresh)
}

// explained is a failure of which the user knows all there is to know.
type explained struct{ error }

func (e explained) Unwrap() error { return e.error }
