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
		ui, err := newUI(mode, noTray)
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
		_, _, err8 := ui.ChangePIN(ctx, pinPrompt())
		_, _, err9 := ui.AskUnblock(ctx, catalog.PUKPrompt{Card: rossi})
		err10 := ui.ReportCare(ctx, portal, rossi, true, nil)
		_, err11 := ui.OfferUnblock(ctx, portal, rossi)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11} {
			if crs.CodeOf(err) != crs.ErrInternal || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
				t.Errorf("--ui %s, dialog %d: %v", mode, i+1, err)
			}
		}
	}
	if _, err := newUI("qt", noTray); err == nil {
		t.Error(`newUI("qt") succeeds`)
	}
}
