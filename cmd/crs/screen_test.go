package main

import (
	"io"
	"os"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// scripted returns a terminal that is a pipe, what to write answers to, and what it shows.
func scripted(t *testing.T) (on *dialog.Terminal, answers io.WriteCloser, shown *screen.Text) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	shown = &screen.Text{}
	return dialog.NewTerminal(r, shown), w, shown
}

func answer(t *testing.T, to io.Writer, lines string) {
	t.Helper()
	if _, err := io.WriteString(to, lines); err != nil {
		t.Fatal(err)
	}
}

var rossi = crs.Info{Reader: "Reader 0", Kind: "CNS", Holder: "MARIO ROSSI",
	PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}, PUKFormat: crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}}
