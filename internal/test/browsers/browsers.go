//go:build linux

// Package browsers drives Chromium and Firefox in tests: real ones, with profiles of their own.
package browsers

import (
	"os"
	"path/filepath"
	"testing"
)

// Tab is a tab of a browser. What it cannot do ends the test.
type Tab interface {
	Open(url string)
	Back()                    // to the page before, which the browser may have kept
	Press(selector string)    // with a real click, in the middle of the element
	PressInFrame()            // the same, on the button in the one frame of the page
	Type(keys string)         // of the keyboard, where its focus is
	Run(script string) string // the body of a function, and the text that it returns
	Picture() []byte          // of the whole page, as PNG

	New(front bool) Tab // another tab of this browser, before the others or behind
	Close()             // as a citizen closes it: without asking the page
}

// Options of a browser that is started.
type Options struct {
	Env       []string
	Extension string   // the directory of one, unpacked
	Hosts     []string // names of this computer
	Public    []string // its addresses, with ports, that count as ones of the internet
	Language  string   // of the browser itself; English if it is ""
	Screen    bool     // on the display that Env names, so that a person can be asked
	Prefs     string   // of Firefox: lines of user.js
}

// Policy is one of Chromium's policies for the whole computer until the test ends, in JSON. A browser
// reads them when it starts.
func Policy(t testing.TB, policy string) {
	t.Helper()
	file := "/etc/chromium/policies/managed/test.json"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
}
