package dialog

import (
	"context"
	"errors"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// Windows shows each dialog as a window of its own. The zero value is ready to use. It is a
// Screen; each operating system's file adds Usable, question, list, entry and message.
type Windows struct {
	zenity string // program, for tests; "" means the system's
}

// Why no window can be shown.
var (
	ErrNoDisplay = errors.New("there is no display to open a window on: set DISPLAY or WAYLAND_DISPLAY, or add --ui terminal")
	ErrNoZenity  = errors.New("no zenity that only the administrator can change")
)

// Ask puts a question whose default is no.
func (w Windows) Ask(ctx context.Context, t catalog.Text) (yes bool, err error) {
	err = deliberate(func() error {
		yes, err = w.question(ctx, t)
		return err
	})
	return yes, err
}

// Choose returns the index of one of the rows.
func (w Windows) Choose(ctx context.Context, t catalog.Text, rows []string) (index int, err error) {
	for {
		err = deliberate(func() error {
			index, err = w.list(ctx, t, rows)
			return err
		})
		if err != nil || index >= 0 {
			return index, err
		}
	}
}

// AskPIN returns what was typed, without checking its form.
func (w Windows) AskPIN(ctx context.Context, t catalog.Text) (pin *crs.PIN, err error) {
	err = deliberate(func() error {
		pin.Wipe()
		pin, err = w.entry(ctx, t)
		return err
	})
	if err != nil {
		pin.Wipe()
		return nil, err
	}
	return pin, nil
}

// Tell returns when the user has closed the window.
func (w Windows) Tell(ctx context.Context, t catalog.Text) error {
	return deliberate(func() error {
		if err := w.message(ctx, t, t.Yes, true); !errors.Is(err, crs.ErrCancelled) {
			return err
		}
		return nil // closed means read
	})
}

// Wait keeps the window open until the context ends. Its only button cancels.
func (w Windows) Wait(ctx context.Context, t catalog.Text) error {
	return deliberate(func() error {
		if err := w.message(ctx, t, t.No, false); err != nil {
			return err
		}
		return crs.ErrCancelled
	})
}

// tooSoon is how long after its start a dialog takes no answer: 400 ms, plus 200 ms that a window
// is assumed to need to appear. An earlier answer was typed or clicked for another window, by
// accident or because a page provoked it.
//
// When the window appears is not known here: it belongs to another process, which does not say. On
// a PC where it takes longer than 200 ms the 400 ms shrink by the excess, to nothing where it takes
// 600 ms. Even there, Enter agrees to nothing, and gives no PIN that was not typed.
const tooSoon = 600 * time.Millisecond

// maxTooSoon bounds how often one dialog is shown again: a key that is held down must not keep
// opening windows.
const maxTooSoon = 8

// deliberate shows a dialog, and shows it again if its answer came too soon.
func deliberate(show func() error) error {
	for range maxTooSoon {
		start := time.Now()
		err := show()
		answered := err == nil || errors.Is(err, crs.ErrCancelled)
		if !answered || time.Since(start) >= tooSoon {
			return err
		}
	}
	return errors.New("a window was answered again and again before anybody could read it")
}
