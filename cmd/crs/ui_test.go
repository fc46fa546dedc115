package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// TestRoute: where a dialog is shown.
func TestRoute(t *testing.T) {
	t.Parallel()
	attached, windows, stdin := &struct{ dialog.Screen }{}, &struct{ dialog.Screen }{}, &struct{ dialog.Screen }{}
	noWindows := errors.New("no windows")
	for _, test := range []struct {
		mode       string
		attached   dialog.Screen
		noWindows  error
		isTerminal bool
		want       dialog.Screen
		err        error
	}{
		{"auto", nil, nil, true, windows, nil},
		{"auto", nil, nil, false, windows, nil},
		{"auto", nil, noWindows, true, stdin, nil},
		{"auto", nil, noWindows, false, nil, noWindows},
		{"auto", attached, nil, true, attached, nil},
		{"auto", attached, noWindows, false, attached, nil},
		{"window", attached, nil, true, windows, nil},
		{"terminal", attached, nil, true, stdin, nil},
		{"none", attached, nil, true, nil, errNobody},
		{"window", nil, nil, true, windows, nil},
		{"window", nil, noWindows, true, nil, noWindows},
		{"terminal", nil, nil, false, stdin, nil},
		{"terminal", nil, noWindows, true, stdin, nil},
		{"none", nil, nil, true, nil, errNobody},
		{"none", nil, noWindows, false, nil, errNobody},
	} {
		got, err := chooseScreen(test.mode, test.attached, windows, test.noWindows, stdin, test.isTerminal)
		if got != test.want || err != test.err {
			t.Errorf("%+v: %v, %v", test, got, err)
		}
		if err != nil && crs.CodeOf(err) != crs.ErrInternal {
			t.Errorf("%+v: code %s", test, crs.CodeOf(err))
		}
	}
}

// TestNobodyToAsk: with --ui none, and without a display, every dialog fails at once, with an
// error that is no cancellation and names what helps.
func TestNobodyToAsk(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	for mode, want := range map[string]string{"none": "--ui none", "window": "--ui terminal"} {
		on, err := newScreen(mode, noTray)
		if err != nil {
			t.Fatal(err)
		}
		ctx, text := t.Context(), catalog.Text{}
		_, err1 := on.Ask(ctx, text)
		_, err2 := on.Choose(ctx, text, nil)
		_, err3 := on.AskPIN(ctx, text)
		for i, err := range []error{err1, err2, err3, on.Tell(ctx, text), on.Wait(ctx, text)} {
			if crs.CodeOf(err) != crs.ErrInternal || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
				t.Errorf("--ui %s, dialog %d: %v", mode, i+1, err)
			}
		}
	}
	if _, err := newScreen("qt", noTray); err == nil {
		t.Error(`newScreen("qt") succeeds`)
	}
}
