package bridge

import (
	"context"
	"errors"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// typePIN asks until the PIN has a form that the card can hold: another one would cost a try for
// nothing. Eight digits are what a PUK looks like, and a PUK sent as a PIN costs a try too; but
// a PIN may have eight, so the user is asked which it is (docs/card-safety.md, rule 10).
func typePIN(ctx context.Context, s dialog.Screen, p catalog.PINPrompt, text func(catalog.PINPrompt) catalog.Text) (*crs.PIN, error) {
	p.Status.Retries = catalog.Tries(p) // keeps what p.Last says of them: p.Last changes below
	format := p.Card.PINFormat
	for {
		pin, err := typed(ctx, s, text(p), format)
		if err != nil {
			return nil, err
		}
		if p.Last = catalog.CheckPIN(pin, format); p.Last != nil {
			pin.Wipe()
			continue
		}
		if pin.Len() != catalog.PUKLength || format.Min == catalog.PUKLength || !format.DigitsOnly {
			return pin, nil
		}
		isPIN, err := s.Ask(ctx, catalog.PINOrPUK(p))
		if err == nil && isPIN {
			return pin, nil
		}
		pin.Wipe()
		if err != nil {
			return nil, err
		}
	}
}

// typePUK asks until a PUK of the card's form was typed: what a card does with a shorter one is not
// known.
func typePUK(ctx context.Context, s dialog.Screen, dialogs catalog.PINFlow, p catalog.PUKPrompt) (*crs.PIN, error) {
	for {
		puk, err := typed(ctx, s, dialogs.PUK(p), p.Card.PUKFormat)
		if err != nil {
			return nil, err
		}
		if p.Last = puk.Check(p.Card.PUKFormat); p.Last == nil {
			return puk, nil
		}
		puk.Wipe()
	}
}

// typeNewPIN asks for a new PIN until it has the form that the card needs, is not the old one, if
// that is known, and was typed twice.
func typeNewPIN(ctx context.Context, s dialog.Screen, dialogs catalog.PINFlow, old *crs.PIN) (*crs.PIN, error) {
	var last error
	for {
		fresh, err := typed(ctx, s, dialogs.NewPIN(false, last), dialogs.Card.PINFormat)
		if err != nil {
			return nil, err
		}
		last = catalog.CheckPIN(fresh, dialogs.Card.PINFormat)
		if last == nil && old != nil && fresh.Equal(old) {
			last = catalog.ErrSame
		}
		if last != nil {
			fresh.Wipe()
			continue
		}
		again, err := typed(ctx, s, dialogs.NewPIN(true, nil), dialogs.Card.PINFormat)
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
func typed(ctx context.Context, s dialog.Screen, t catalog.Text, f crs.PINFormat) (*crs.PIN, error) {
	pin, err := s.AskPIN(ctx, t)
	if err != nil {
		return nil, err
	}
	pin.Trim(f)
	return pin, nil
}

// mustAgree asks a question that needs a yes to go on.
func mustAgree(ctx context.Context, s dialog.Screen, t catalog.Text) error {
	yes, err := s.Ask(ctx, t)
	if err == nil && !yes {
		err = crs.ErrCancelled
	}
	return err
}

// bounded is a Screen that asks its questions through ask, which limits their time and decides what
// a missing answer means. What is only shown stays as long as its context.
type bounded struct {
	dialog.Screen
	ask func(ctx context.Context, question func(context.Context) error) error
}

func (b bounded) Ask(ctx context.Context, t catalog.Text) (yes bool, err error) {
	err = b.ask(ctx, func(ctx context.Context) (err error) {
		yes, err = b.Screen.Ask(ctx, t)
		return err
	})
	return yes && err == nil, err
}

func (b bounded) Choose(ctx context.Context, t catalog.Text, rows []string) (index int, err error) {
	err = b.ask(ctx, func(ctx context.Context) (err error) {
		index, err = b.Screen.Choose(ctx, t, rows)
		if err == nil && (index < 0 || index >= len(rows)) {
			err = errors.New("a row was chosen that was not offered")
		}
		return err
	})
	return index, err
}

// AskPIN returns a PIN or an error: to a card, no PIN means that it is typed on the reader. A PIN that
// is not returned is wiped.
func (b bounded) AskPIN(ctx context.Context, t catalog.Text) (pin *crs.PIN, err error) {
	err = b.ask(ctx, func(ctx context.Context) (err error) {
		pin, err = b.Screen.AskPIN(ctx, t)
		if err == nil && pin == nil {
			err = errors.New("dialog without a PIN")
		}
		return err
	})
	if err != nil {
		pin.Wipe()
		return nil, err
	}
	return pin, nil
}
