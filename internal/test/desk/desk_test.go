//go:build linux

package desk

import "testing"

// Only races in this project's own code are reported.
func TestRaces(t *testing.T) {
	report := func(read, write string) string {
		return "==================\nWARNING: DATA RACE\nWrite at 0x000001752e18 by goroutine 44:\n  " + write +
			"()\n      x.go:1 +0x19e\n\nPrevious read at 0x000001752e18 by main goroutine:\n  " + read + "()\n      y.go:2 +0x1d6\n==================\n"
	}
	const library, own = "fyne.io/systray.refresh", "github.com/crs-bridge/crs/tray.(*Tray).run"
	for _, test := range []struct {
		stderr string
		told   bool
	}{
		{"", false}, {"crs: no race\n", false}, {report(library, library), false},
		{report(own, library), true}, {report(library, own), true}, {report(library, library) + report(own, own), true},
	} {
		if got := Races(test.stderr); (got != "") != test.told {
			t.Errorf("Races(%s) = %s", test.stderr, got)
		}
	}
}
