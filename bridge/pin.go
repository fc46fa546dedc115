package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// care is the PIN of one card in the hands of its owner. Its dialogs name the card and no site,
// because no site ever needs a PUK.
type care struct {
	*Server
	card    crs.Card
	manager crs.PINManager
	prompt  catalog.Prompt
	input   time.Duration // how long a dialog may stay without an answer
}

// ChangePIN lets the owner change the PIN of the card in a reader. It is for the owner alone: no
// page reaches it. Like a login it has the user's attention to itself, or returns crs.ErrBusy.
// What became of it is told by a dialog; any other error means that it could not be.
func (s *Server) ChangePIN(ctx context.Context, reader string) error {
	return s.careFor(ctx, reader, false, care.change)
}

// UnblockPIN is ChangePIN with the PUK.
func (s *Server) UnblockPIN(ctx context.Context, reader string) error {
	return s.careFor(ctx, reader, true, care.unblock)
}

func (s *Server) careFor(ctx context.Context, reader string, unblock bool, do func(care, context.Context) error) error {
	turn, err := s.turns.take(ctx, true)
	if err != nil {
		return err
	}
	defer turn.release()
	c := care{Server: s, prompt: catalog.Prompt{Developer: s.Developer != 0}, input: s.limits().Login}
	info := crs.Info{Reader: reader}
	if c.card, err = s.cardIn(reader); err == nil {
		info = c.card.Info()
		var able bool
		if c.manager, able = c.card.(crs.PINManager); !able || unblock && !hasPUK(info) {
			err = crs.ErrPINUnsupported
		} else {
			err = do(c, turn.ctx)
		}
	}
	if errors.Is(err, crs.ErrCancelled) || turn.ctx.Err() != nil && err != nil && !sent(err) {
		return nil // whoever closed the dialog knows
	}
	outcome := "ok"
	if err != nil {
		outcome = string(crs.CodeOf(err))
	}
	s.log().Info("PIN care", "unblock", unblock, "reader", reader, "code", outcome, cause(err))
	// What became of a PIN that was sent is told even if whoever asked for it is gone by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits().Input)
	defer cancel()
	return s.UI.ReportCare(ctx, c.prompt, info, unblock, err)
}

// hasPUK reports whether this software can unblock the PIN of a card. A token has no PUK that it
// could send, though its PIN can be changed.
func hasPUK(card crs.Info) bool { return card.PUKFormat.Max > 0 }

// sent reports whether an error tells that a PIN was sent to the card.
func sent(err error) bool {
	var pin *crs.PINError
	return errors.As(err, &pin) || errors.Is(err, crs.ErrPINUnproved)
}

func (s *Server) cardIn(reader string) (crs.Card, error) {
	readers, _ := s.Cards.Readers()
	for _, r := range readers {
		switch {
		case r.Name != reader:
		case r.Card != nil:
			return r.Card, nil
		case r.Err != nil:
			return nil, r.Err
		}
	}
	return nil, crs.ErrCardRemoved
}

// change asks until the card accepted the PIN that holds now, or there is no use in asking.
func (c care) change(ctx context.Context) error { return again(ctx, c.changeOnce) }

// unblock is change with the PUK.
func (c care) unblock(ctx context.Context) error { return again(ctx, c.unblockOnce) }

// again asks once more after each answer that was wrong, telling what the card said of it.
func again(ctx context.Context, once func(ctx context.Context, last error) error) error {
	var last error
	for {
		err := once(ctx, last)
		if !askAgain(err) {
			return err
		}
		last = err
	}
}

// askAgain reports whether the card compared what was typed, found it wrong, and takes another; or
// the reader sent it nothing, because what was typed cannot be right.
func askAgain(err error) bool {
	var refused *crs.PINError
	return errors.As(err, &refused) && !refused.Blocked && !refused.Uncertain ||
		errors.Is(err, crs.ErrPINFormat) || errors.Is(err, crs.ErrPadMismatch)
}

// changeOnce is one typing of the PIN. Nothing cancels what was typed to the end.
func (c care) changeOnce(ctx context.Context, last error) error {
	status, err := c.card.PINStatus(ctx)
	if err != nil {
		return err
	}
	p := catalog.PINPrompt{Prompt: c.prompt, Card: c.card.Info(), Status: status, Last: last}
	if p.OnReader = c.typedOnReader(p.Card); p.OnReader {
		return c.changeOnReader(ctx, p)
	}
	ask, cancel := context.WithTimeout(ctx, c.input)
	defer cancel()
	old, fresh, err := c.UI.ChangePIN(ask, p)
	defer old.Wipe()
	defer fresh.Wipe()
	if err != nil {
		return closed(ask, err)
	}
	if old == nil || fresh == nil {
		return errors.New("dialog without a PIN")
	}
	if status.LastTry() {
		switch yes, err := c.UI.ConfirmLastTry(ask, p); {
		case err != nil:
			return closed(ask, err)
		case !yes:
			return crs.ErrCancelled
		}
	}
	return c.manager.ChangePIN(ctx, old, fresh)
}

// unblockOnce is one typing of the PUK.
func (c care) unblockOnce(ctx context.Context, last error) error {
	status, err := c.manager.PUKStatus(ctx)
	if err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, c.input)
	defer cancel()
	puk, fresh, err := c.UI.AskUnblock(ask, catalog.PUKPrompt{Prompt: c.prompt, Card: c.card.Info(), Status: status, Last: last})
	defer puk.Wipe()
	defer fresh.Wipe()
	switch {
	case err != nil:
		return closed(ask, err)
	case puk == nil || fresh == nil:
		return errors.New("dialog without a PUK or a PIN")
	}
	return c.manager.UnblockPIN(ctx, puk, fresh)
}

// closed is the error of a dialog that was not answered: one that nobody answered in time was
// closed, as if by its user.
func closed(ask context.Context, err error) error {
	if ask.Err() != nil {
		return crs.ErrCancelled
	}
	return err
}

// unblock lets the user unblock a PIN that this login found blocked, and returns nil if the login
// can go on. Else it returns blocked, explained. The page sees no more than that a PIN is asked
// for, and cannot close the dialogs: what is done to the card is the user's business.
func (l *login) unblock(card crs.Card, blocked error) error {
	manager, ok := card.(crs.PINManager)
	if !ok || !hasPUK(card.Info()) || errors.Is(blocked, crs.ErrPINUnsupported) {
		return blocked
	}
	ctx, cancel := context.WithTimeout(l.service, l.limits().Login)
	defer cancel()
	c := care{l.Server, card, manager, catalog.Prompt{Lang: l.lang, Developer: l.prompt.Developer}, l.limits().Input}
	yes, err := l.UI.OfferUnblock(ctx, c.prompt, card.Info())
	if err != nil || !yes {
		return explained{blocked}
	}
	err = c.unblock(ctx)
	switch {
	case err == nil:
		l.log().Info("PIN unblocked", "reader", card.Info().Reader)
		return nil
	case errors.Is(err, crs.ErrCancelled), ctx.Err() != nil:
		return explained{blocked}
	}
	l.log().Info("PIN not unblocked", "reader", card.Info().Reader, cause(err))
	if err := l.UI.ReportCare(ctx, c.prompt, card.Info(), true, err); err != nil {
		l.log().Warn("report not read", "reason", err)
	}
	return explained{blocked}
}

// explained is a failure of which the user knows all there is to know.
type explained struct{ error }

func (e explained) Unwrap() error { return e.error }
