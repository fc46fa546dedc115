package dialog

import (
	"context"
	"errors"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// ChangePIN asks for the PIN that holds now and for a new one, twice.
func (u UI) ChangePIN(ctx context.Context, p catalog.PINPrompt) (old, fresh *crs.PIN, err error) {
	c := catalog.PINFlow{Card: p.Card, Lang: p.Lang, Developer: p.Developer}
	old, err = u.askPIN(ctx, p, c.OldPIN)
	if err != nil {
		return nil, nil, err
	}
	if fresh, err = u.newPIN(ctx, c, old); err != nil {
		old.Wipe()
		return nil, nil, err
	}
	return old, fresh, nil
}

// ChangeOnReader says that both PINs are to be typed on the reader now, until the context ends.
func (u UI) ChangeOnReader(ctx context.Context, p catalog.PINPrompt) error {
	return u.wait(ctx, catalog.ChangeOnReader(p))
}

// ProveOnReader says that the new PIN is to be typed on the reader once more, until the context ends.
func (u UI) ProveOnReader(ctx context.Context, p catalog.PINPrompt) error {
	return u.wait(ctx, catalog.ProveOnReader(p))
}

// OfferUnblock asks whether to unblock the PIN now.
func (u UI) OfferUnblock(ctx context.Context, p catalog.Prompt, card crs.Info) (bool, error) {
	return u.ask(ctx, catalog.PINFlow{Card: card, Unblock: true, Lang: p.Lang, Developer: p.Developer}.Offer())
}

// AskUnblock asks for the PUK and for a new PIN, twice. Nothing but eight digits is taken for a
// PUK: what a card does with a shorter one is not known. Before what may be the last try of the
// PUK it asks once more.
func (u UI) AskUnblock(ctx context.Context, p catalog.PUKPrompt) (puk, fresh *crs.PIN, err error) {
	c := catalog.PINFlow{Card: p.Card, Unblock: true, Lang: p.Lang, Developer: p.Developer}
	for puk == nil {
		typed, err := u.typed(ctx, c.PUK(p), p.Card.PUKFormat)
		if err != nil {
			return nil, nil, err
		}
		if p.Last = typed.Check(p.Card.PUKFormat); p.Last != nil {
			typed.Wipe()
			continue
		}
		puk = typed
	}
	if fresh, err = u.newPIN(ctx, c, nil); err != nil {
		puk.Wipe()
		return nil, nil, err
	}
	if p.Status.LastTry() {
		yes, err := u.ask(ctx, c.LastPUK())
		if err == nil && !yes {
			err = crs.ErrCancelled
		}
		if err != nil {
			puk.Wipe()
			fresh.Wipe()
			return nil, nil, err
		}
	}
	return puk, fresh, nil
}

// ReportCare tells what became of a change or an unblock.
func (u UI) ReportCare(ctx context.Context, p catalog.Prompt, card crs.Info, unblock bool, problem error) error {
	s, err := u.Screen()
	if err != nil {
		return err
	}
	return s.Tell(ctx, catalog.PINFlow{Card: card, Unblock: unblock, Lang: p.Lang, Developer: p.Developer}.Report(problem))
}

// newPIN asks for a new PIN until it has the form that the card needs, is not the old one, and
// was typed twice.
func (u UI) newPIN(ctx context.Context, c catalog.PINFlow, old *crs.PIN) (*crs.PIN, error) {
	var last error
	for {
		fresh, err := u.typed(ctx, c.NewPIN(false, last), c.Card.PINFormat)
		if err != nil {
			return nil, err
		}
		last = catalog.CheckPIN(fresh, c.Card.PINFormat)
		if last == nil && old != nil && fresh.Equal(old) {
			last = catalog.ErrSame
		}
		if last != nil {
			fresh.Wipe()
			continue
		}
		again, err := u.typed(ctx, c.NewPIN(true, nil), c.Card.PINFormat)
		if err != nil {
			fresh.Wipe()
			return nil, err
		}
		same := again.Equal(fresh)
		again.Wipe()
		if same {
			return fresh, nil
		}
		fresh.Wipe()
		last = catalog.ErrDiffer
	}
}

// typed returns what was typed for a PIN or PUK of format f. What a paste brings along with it is
// dropped here, the same on every screen.
func (u UI) typed(ctx context.Context, t catalog.Text, f crs.PINFormat) (*crs.PIN, error) {
	s, err := u.Screen()
	if err != nil {
		return nil, err
	}
	pin, err := s.AskPIN(ctx, t)
	if err == nil && pin == nil {
		err = errors.New("dialog without a PIN")
	}
	if err != nil {
		return nil, err
	}
	pin.Trim(f)
	return pin, nil
}
