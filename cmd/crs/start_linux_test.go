package main

import (
	"syscall"
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestNobodyToAskAtStart: a service that could ask nobody says so when it starts.
func TestNobodyToAskAtStart(t *testing.T) {
	h := citizen.NewHome(t)
	for mode, want := range map[string]string{
		"auto":   `level=WARN msg="nobody can be asked at the moment" reason="there is no display to open a window on: set DISPLAY or WAYLAND_DISPLAY, or add --ui terminal"`,
		"window": `level=WARN msg="nobody can be asked at the moment"`,
		"none":   `level=INFO msg="nobody is asked, because of --ui none"`,
	} {
		serve := h.Start(t, "crs", "serve", "--ui", mode)
		serve.Next(want)
		serve.Next("msg=listening")
		serve.Stop(syscall.SIGTERM)
	}
}

// TestDeveloper: the pages of a developer are known as long as the program runs, and leave
// nothing behind.
func TestDeveloper(t *testing.T) {
	const page = "http://localhost:8080"
	h := citizen.NewHome(t)
	citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	for range 2 {
		serve := h.Serve(t, "--developer", "8080")
		serve.Next(citizen.CardReady)
		serve.Answer("s", citizen.PIN)
		site := open(t, page)
		site.mustLogIn()
		serve.Next("MODALITÀ PER SVILUPPATORI")
		serve.Answer(citizen.PIN)
		site.mustLogIn()
		if code := serve.Stop(syscall.SIGTERM); code != 0 {
			t.Errorf("the service returns %d", code)
		}
	}
	if out := h.Command(t, "sites", "list", "--json"); out != "[]\n" {
		t.Errorf("the list of sites afterwards: %s", out)
	}

	h.Serve(t)
	if _, err := tryOpen(t, page); err == nil {
		t.Errorf("%s is accepted without --developer", page)
	}
}
