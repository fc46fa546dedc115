package ipc

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// dialogParams are the parameters of a dialog.
type dialogParams struct {
	Text catalog.Text `json:"text"`
	Rows []string     `json:"rows,omitzero"`
}

type (
	yesResult   struct{ Yes bool }
	indexResult struct{ Index int }
)

// remoteScreen is the screen of the attached tray, a dialog.Screen. A tray that goes away while a
// dialog is open has closed it, as its user could have.
type remoteScreen struct{ tray *conn }

func (s remoteScreen) Ask(ctx context.Context, t catalog.Text) (bool, error) {
	var r yesResult
	err := s.show(ctx, "dialog.ask", dialogParams{Text: t}, &r)
	return err == nil && r.Yes, err
}

func (s remoteScreen) Choose(ctx context.Context, t catalog.Text, rows []string) (int, error) {
	var r indexResult
	err := s.show(ctx, "dialog.choose", dialogParams{t, rows}, &r)
	if err == nil && (r.Index < 0 || r.Index >= len(rows)) {
		err = errors.New("the tray chose a row that is not there")
	}
	return r.Index, err
}

func (s remoteScreen) AskPIN(ctx context.Context, t catalog.Text) (*crs.PIN, error) {
	r, err := s.tray.call(ctx, "dialog.pin", dialogParams{Text: t})
	if err != nil {
		return nil, dialogError(err)
	}
	if r.pin == nil {
		return nil, errors.New("the tray answered without a PIN")
	}
	return r.pin, nil
}

func (s remoteScreen) Tell(ctx context.Context, t catalog.Text) error {
	return s.show(ctx, "dialog.tell", dialogParams{Text: t}, nil)
}

func (s remoteScreen) Wait(ctx context.Context, t catalog.Text) error {
	return s.show(ctx, "dialog.wait", dialogParams{Text: t}, nil)
}

func (s remoteScreen) show(ctx context.Context, method string, params dialogParams, result any) error {
	return dialogError(s.tray.ask(ctx, method, params, result))
}

// dialogError is what a failed dialog means to a login.
func dialogError(err error) error {
	if errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: the tray ended", crs.ErrCancelled)
	}
	return err
}

// showOn answers a dialog request of the service on this program's own screen.
func showOn(ctx context.Context, s dialog.Screen, method string, params jsontext.Value) (any, error) {
	var p dialogParams
	if err := unmarshal(params, &p); err != nil {
		return nil, err
	}
	switch method {
	case "dialog.ask":
		yes, err := s.Ask(ctx, p.Text)
		return yesResult{yes}, err
	case "dialog.choose":
		index, err := s.Choose(ctx, p.Text, p.Rows)
		return indexResult{index}, err
	case "dialog.pin":
		pin, err := s.AskPIN(ctx, p.Text)
		if err == nil && pin == nil {
			err = errors.New("dialog without a PIN")
		}
		return pin, err
	case "dialog.tell":
		return struct{}{}, s.Tell(ctx, p.Text)
	case "dialog.wait":
		return struct{}{}, s.Wait(ctx, p.Text)
	}
	return nil, crs.ErrInvalidRequest
}
