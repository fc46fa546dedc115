package main

import (
	"syscall"
	"testing"

	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestNobodyToAskAtStart: a service that could ask nobody says so when it starts.
func TestNobodyToAskAtStart(t *testing.T) {
	h := newHome(t)
	for mode, want := range map[string]string{
		"auto":   `level=WARN msg="nobody can be asked at the moment" reason="there is no display to open a window on: set DISPLAY or WAYLAND_DISPLAY, or add --ui terminal"`,
		"window": `level=WARN msg="nobody can be asked at the moment"`,
		"none":   `level=INFO msg="nobody is asked, because of --ui none"`,
	} {
		serve := h.start(t, "crs", "serve", "--ui", mode)
		serve.next("msg=listening")
		serve.next(want)
		serve.stop(syscall.SIGTERM)
	}
}

// TestDeveloper: the pages of a developer are known as long as the program runs, and leave
// nothing behind.
func TestDeveloper(t *testing.T) {
	const page = "http://localhost:8080"
	h := newHome(t)
	insert(t, virtualcard.Config{PIN: testPIN})
	for range 2 {
		serve := h.serve(t, "--developer", "8080")
		serve.next(cardReady)
		serve.answer("s", testPIN)
		site := open(t, page)
		site.mustLogIn()
		serve.next("MODALITÀ PER SVILUPPATORI")
		serve.answer(testPIN)
		site.mustLogIn()
		if code := serve.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("the service returns %d", code)
		}
	}
	if out := h.run(t, "sites", "list", "--json"); out != "[]\n" {
		t.Errorf("the list of sites afterwards: %s", out)
	}

	h.serve(t)
	if _, err := tryOpen(t, page); err == nil {
		t.Errorf("%s is accepted without --developer", page)
	}
}
