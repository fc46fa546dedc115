// Package dialog holds what is asked in a login, whatever it is asked on: UI implements
// bridge.UI over a Screen, which is windows or the terminal.
package dialog

import (
	"context"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// A Screen shows one  Its methods return crs.ErrCancelled when the user closes it and the
// context's error, at once, when the context ends. Any other error means that nobody was asked.
type Screen interface {
	// Ask puts a question whose default is no.
	Ask(ctx context.Context, t catalog.Text) (bool, error)
	// Choose returns the index of one of the rows.
	Choose(ctx context.Context, t catalog.Text, rows []string) (int, error)
	// AskPIN returns what was typed, of whatever form.
	AskPIN(ctx context.Context, t catalog.Text) (*crs.PIN, error)
	// Tell returns when the text was read.
	Tell(ctx context.Context, t catalog.Text) error
	// Wait shows the text until the context ends.
	Wait(ctx context.Context, t catalog.Text) error
}

// UI asks the user of a login.
type UI struct {
	// Screen returns where the next dialog is shown, or why there is nowhere.
	Screen func() (Screen, error)
}

// AllowSite asks the first-time question.
func (u UI) AllowSite(ctx context.Context, p catalog.Prompt) (bool, error) {
	return u.ask(ctx, catalog.AllowSite(p))
}

// SharePersonalData asks whether the site may have the personal data on the card.
func (u UI) SharePersonalData(ctx context.Context, p catalog.Prompt, card crs.Info) (bool, error) {
	return u.ask(ctx, catalog.SharePersonalData(p, card))
}

// ConfirmLastTry asks whether to risk what may be the last try.
func (u UI) ConfirmLastTry(ctx context.Context, p catalog.PINPrompt) (bool, error) {
	return u.ask(ctx, catalog.LastTry(p))
}

func (u UI) ask(ctx context.Context, t catalog.Text) (bool, error) {
	s, err := u.Screen()
	if err != nil {
		return false, err
	}
	return s.Ask(ctx, t)
}

// InsertCard asks for a card until the context ends.
func (u UI) InsertCard(ctx context.Context, p catalog.Prompt, problem error) error {
	return u.wait(ctx, catalog.InsertCard(p, problem))
}

func (u UI) wait(ctx context.Context, t catalog.Text) error {
	s, err := u.Screen()
	if err != nil {
		return err
	}
	return s.Wait(ctx, t)
}

// PickCard asks for one of several cards.
func (u UI) PickCard(ctx context.Context, p catalog.Prompt, cards []crs.Info) (int, error) {
	s, err := u.Screen()
	if err != nil {
		return 0, err
	}
	t, rows := catalog.PickCard(p, cards)
	return s.Choose(ctx, t, rows)
}

// Report says what went wrong and what to do.
func (u UI) Report(ctx context.Context, p catalog.Prompt, problem error) error {
	s, err := u.Screen()
	if err != nil {
		return err
	}
	return s.Tell(ctx, catalog.Report(p, problem))
}

// ConfirmReader asks whether to go on to the PIN, which is typed on the reader.
func (u UI) ConfirmReader(ctx context.Context, p catalog.PINPrompt) (bool, error) {
	return u.ask(ctx, catalog.ReaderPIN(p))
}

// TypeOnReader says that the PIN is to be typed on the reader now, until the context ends.
func (u UI) TypeOnReader(ctx context.Context, p catalog.PINPrompt) error {
	return u.wait(ctx, catalog.TypePIN(p))
}

// OfferKeyboard says how the keys of the reader failed, and offers the keyboard.
func (u UI) OfferKeyboard(ctx context.Context, p catalog.Prompt, card crs.Info, failed error) (bool, error) {
	return u.ask(ctx, catalog.Keyboard(p, card, failed))
}

// AskPIN asks until the PIN has a form that the card can hold: another one would cost a try for
// nothing. Eight digits are what a PUK looks like, and a PUK sent as a PIN costs a try too; but
// a PIN may have eight, so the user is asked which it is.
func (u UI) AskPIN(ctx context.Context, p catalog.PINPrompt) (*crs.PIN, error) {
	return u.askPIN(ctx, p, catalog.PIN)
}

func (u UI) askPIN(ctx context.Context, p catalog.PINPrompt, text func(catalog.PINPrompt) catalog.Text) (*crs.PIN, error) {
	p.Status.Retries = catalog.Tries(p) // what p.Last says of them is not to be lost with it
	for {
		format := p.Card.PINFormat
		pin, err := u.typed(ctx, text(p), format)
		if err != nil {
			return nil, err
		}
		if err := catalog.CheckPIN(pin, format); err != nil {
			pin.Wipe()
			p.Last = err
			continue
		}
		if pin.Len() != catalog.PUKLength || format.Min == catalog.PUKLength || !format.DigitsOnly {
			return pin, nil
		}
		isPIN, err := u.ask(ctx, catalog.PINOrPUK(p))
		if err != nil {
			pin.Wipe()
			return nil, err
		}
		if isPIN {
			return pin, nil
		}
		pin.Wipe()
		p.Last = nil // it was about an earlier typing
	}
}
