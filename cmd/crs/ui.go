package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/crs-bridge/crs/internal/dialog"
)

// newScreen returns where the dialogs of --ui auto, window, terminal or none are shown; attached
// returns the screen of an attached tray, nil without one. Call it once: what it returns owns
// stdin.
func newScreen(mode string, attached func() dialog.Screen) (dialog.Chosen, error) {
	switch mode {
	case "auto", "window", "terminal", "none":
	default:
		return nil, errors.New("--ui " + mode + ": auto, window, terminal, none")
	}
	stdin := dialog.NewTerminal(os.Stdin, os.Stderr)
	return func() (dialog.Screen, error) {
		var windows dialog.Windows
		return chooseScreen(mode, attached(), windows, windows.Usable(), stdin, stdin.Interactive())
	}, nil
}

// noTray is for programs to which no tray attaches.
func noTray() dialog.Screen { return nil }

// logScreen logs at start that nobody can be asked, rather than at the first login.
func logScreen(log *slog.Logger, screen dialog.Chosen) {
	switch _, err := screen(); {
	case errors.Is(err, errNobody):
		log.Info(err.Error())
	case err != nil:
		log.Warn("nobody can be asked at the moment", "reason", err)
	}
}

var errNobody = errors.New("nobody is asked, because of --ui none")

// chooseScreen says where the next dialog is shown. It is called for each: a tray or a display may
// start after the service, or end before it.
func chooseScreen(mode string, attached, windows dialog.Screen, noWindows error, stdin dialog.Screen, isTerminal bool) (dialog.Screen, error) {
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
	case attached != nil:
		return attached, nil
	case noWindows == nil:
		return windows, nil
	case isTerminal:
		return stdin, nil
	}
	return nil, noWindows
}
