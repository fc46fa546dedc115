//go:build !linux

package dialog

import (
	"context"
	"errors"
	"slices"

	"github.com/ncruces/zenity"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// Usable returns nil: these systems always have a display, or fail when it is needed.
func (w Windows) Usable() error { return nil }

// question cannot distinguish no from a closed window here: both are no.
func (w Windows) question(ctx context.Context, t catalog.Text) (bool, error) {
	err := zenity.Question(t.String(), zenity.Context(ctx), zenity.Title(t.Title),
		zenity.OKLabel(t.Yes), zenity.CancelLabel(t.No), zenity.DefaultCancel(), zenity.NoWrap())
	if errors.Is(err, zenity.ErrCanceled) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, result(ctx, err)
}

func (w Windows) message(ctx context.Context, t catalog.Text, button string, problem bool) error {
	show := zenity.Info
	if problem {
		show = zenity.Warning
	}
	return result(ctx, show(t.String(), zenity.Context(ctx), zenity.Title(t.Title),
		zenity.OKLabel(button), zenity.NoWrap()))
}

func (w Windows) list(ctx context.Context, t catalog.Text, rows []string) (int, error) {
	row, err := zenity.List(t.String(), rows, zenity.Context(ctx), zenity.Title(t.Title),
		zenity.OKLabel(t.Yes), zenity.CancelLabel(t.No), zenity.DisallowEmpty())
	if err != nil {
		return 0, result(ctx, err)
	}
	if i := slices.Index(rows, row); i >= 0 {
		return i, nil
	}
	return 0, errors.New("the list returned none of its rows")
}

// entry returns a PIN that was a Go string for a moment, which cannot be wiped: a known limit of
// these systems.
func (w Windows) entry(ctx context.Context, t catalog.Text) (*crs.PIN, error) {
	typed, err := zenity.Entry(t.String(), zenity.Context(ctx), zenity.Title(t.Title), zenity.HideText(),
		zenity.OKLabel(t.Yes), zenity.CancelLabel(t.No))
	if err != nil {
		return nil, result(ctx, err)
	}
	return crs.NewPIN([]byte(typed)), nil
}

func result(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, zenity.ErrCanceled):
		return crs.ErrCancelled
	}
	return err
}
