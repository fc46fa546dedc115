// Package dialog is where the user is asked: a Screen is windows or the terminal.
package dialog

import (
	"context"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// A Screen shows one dialog at a time. Its methods return crs.ErrCancelled when the user closes it and
// the context's error, at once, when the context ends. Any other error means that nobody was asked;
// it is logged, and must not reveal anything about user or card.
type Screen interface {
	// Ask puts a question whose default is no.
	Ask(ctx context.Context, t catalog.Text) (bool, error)
	// Choose returns the index of one of the rows.
	Choose(ctx context.Context, t catalog.Text, rows []string) (int, error)
	// AskPIN returns what was typed, without checking its form.
	AskPIN(ctx context.Context, t catalog.Text) (*crs.PIN, error)
	// Tell returns when the user has read the text.
	Tell(ctx context.Context, t catalog.Text) error
	// Wait shows the text until the context ends.
	Wait(ctx context.Context, t catalog.Text) error
}

// Chosen is a Screen that is chosen anew for each dialog: it returns where to show it, or why that
// is nowhere.
type Chosen func() (Screen, error)

// Ask implements Screen.
func (c Chosen) Ask(ctx context.Context, t catalog.Text) (bool, error) {
	s, err := c()
	if err != nil {
		return false, err
	}
	return s.Ask(ctx, t)
}

// Choose implements Screen.
func (c Chosen) Choose(ctx context.Context, t catalog.Text, rows []string) (int, error) {
	s, err := c()
	if err != nil {
		return 0, err
	}
	return s.Choose(ctx, t, rows)
}

// AskPIN implements Screen.
func (c Chosen) AskPIN(ctx context.Context, t catalog.Text) (*crs.PIN, error) {
	s, err := c()
	if err != nil {
		return nil, err
	}
	return s.AskPIN(ctx, t)
}

// Tell implements Screen.
func (c Chosen) Tell(ctx context.Context, t catalog.Text) error {
	s, err := c()
	if err != nil {
		return err
	}
	return s.Tell(ctx, t)
}

// Wait implements Screen.
func (c Chosen) Wait(ctx context.Context, t catalog.Text) error {
	s, err := c()
	if err != nil {
		return err
	}
	return s.Wait(ctx, t)
}
