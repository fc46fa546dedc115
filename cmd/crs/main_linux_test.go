package main

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// TestMain runs the tests in a world of their own, with a pcscd and with every port free. In it
// the command crs is this test binary, so that it is tested with the race detector too.
func TestMain(m *testing.M) {
	// Otherwise a program that is built with the race detector waits for a second at its end.
	os.Setenv("GORACE", cmp.Or(os.Getenv("GORACE"), "atexit_sleep_ms=10"))
	testscript.Main(ns.World{Tests: m}, map[string]func(){
		"crs": main,
		hurried: func() {
			moduleTimeouts.PIN = 3 * time.Second
			main()
		},
		impatient: func() {
			portRetry = 20 * time.Millisecond
			main()
		},
		instant: serveInstantly,
	})
}

// hurried is a crs that does not wait as long for modules.
const hurried = "crs-hurried"

// impatient is a crs that looks for a free port all the time.
const impatient = "crs-impatient"
