package main

import (
	"io"
	"os"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// scripted returns a UI on a terminal that is a pipe, what to write answers to, and what it
// shows.
func scripted(t *testing.T) (ui dialog.UI, answers io.WriteCloser, shown *screen.Text) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	shown = &screen.Text{}
	stdin := dialog.NewTerminal(r, shown)
	return dialog.UI{Screen: func() (dialog.Screen, error) { return stdin, nil }}, w, shown
}

func answer(t *testing.T, to io.Writer, lines string) {
	t.Helper()
	if _, err := io.WriteString(to, lines); err != nil {
		t.Fatal(err)
	}
}

var (
	portal = func() catalog.Prompt {
		o, err := crs.ParseOrigin("https://portale.example")
		if err != nil {
			panic(err)
		}
		return catalog.Prompt{Origin: o, Lang: "it"}
	}()
	rossi  = crs.Info{Reader: "Reader 0", Kind: "CNS", Holder: "MARIO ROSSI", PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}}
	bianca = crs.Info{Reader: "Reader 1", Kind: "CNS", Holder: "BIANCA VERDI", PINFormat: rossi.PINFormat}
)

func pinPrompt() catalog.PINPrompt {
	return catalog.PINPrompt{Prompt: portal, Card: rossi, Status: crs.PINStatus{Retries: -1}}
}
