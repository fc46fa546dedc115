package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/tray"
)

// newUI returns the dialogs of --ui auto, window, terminal or none. To be called once: what it
// returns owns stdin.
func newUI(mode string) (bridge.UI, error) {
	switch mode {
	case "auto", "window", "terminal", "none":
	default:
		return nil, fmt.Errorf("--ui %q is none of auto, window, terminal, none", mode)
	}
	stdin := newTerminal(os.Stdin, os.Stderr)
	return dialog.UI{Screen: func() (dialog.Screen, error) {
		var windows tray.Windows
		return chooseScreen(mode, windows, windows.Usable(), stdin, stdin.isTerminal())
	}}, nil
}

var errNobody = errors.New("nobody is asked, because of --ui none")

// chooseScreen says where the next dialog is shown. It is asked for each: a display may come
// after the service, or go before it.
func chooseScreen(mode string, windows dialog.Screen, noWindows error, stdin dialog.Screen, isTerminal bool) (dialog.Screen, error) {
	switch mode {
	case "none":
		return nil, errNobody
	case "terminal":
		return stdin, nil
	case "window":
		if noWindows != nil {
			return nil, noWindows
		}
		return windows, nil
	}
	switch {
	case noWindows == nil:
		return windows, nil
	case isTerminal:
		return stdin, nil
	}
	return nil, noWindows
}
