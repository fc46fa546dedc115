package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/dialog"
)

// TestRoute: where a dialog is shown.
func TestRoute(t *testing.T) {
	t.Parallel()
	windows, stdin := &struct{ dialog.Screen }{}, &struct{ dialog.Screen }{}
	noWindows := errors.New("no windows")
	for _, test := range []struct {
		mode       string
		noWindows  error
		isTerminal bool
		want       dialog.Screen
		err        error
	}{
		{"auto", nil, true, windows, nil},
		{"auto", nil, false, windows, nil},
		{"auto", noWindows, true, stdin, nil},
		{"auto", noWindows, false, nil, noWindows},
		{"window", nil, true, windows, nil},
		{"window", noWindows, true, nil, noWindows},
		{"terminal", nil, false, stdin, nil},
		{"terminal", noWindows, true, stdin, nil},
		{"none", nil, true, nil, errNobody},
		{"none", noWindows, false, nil, errNobody},
	} {
		got, err := chooseScreen(test.mode, windows, test.noWindows, stdin, test.isTerminal)
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
		ui, err := newUI(mode)
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		_, err1 := ui.AllowSite(ctx, portal)
		err2 := ui.InsertCard(ctx, portal, nil)
		_, err3 := ui.PickCard(ctx, portal, []crs.Info{rossi, bianca})
		_, err4 := ui.SharePersonalData(ctx, portal, rossi)
		_, err5 := ui.AskPIN(ctx, pinPrompt())
		_, err6 := ui.ConfirmLastTry(ctx, pinPrompt())
		err7 := ui.Report(ctx, portal, crs.ErrPINBlocked)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
			if crs.CodeOf(err) != crs.ErrInternal || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
				t.Errorf("--ui %s, dialog %d: %v", mode, i+1, err)
			}
		}
	}
	if _, err := newUI("qt"); err == nil {
		t.Error(`newUI("qt") succeeds`)
	}
}
