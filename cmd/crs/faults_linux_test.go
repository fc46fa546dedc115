package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// TestT18AModuleCannotHurtAService: whatever happens to a module while it signs, the page is told,
// the PIN was sent once, and the next login works, with the same service.
func TestT18AModuleCannotHurtAService(t *testing.T) {
	for name, test := range map[string]struct {
		program, fault string
		kill           bool
	}{
		"killed":     {program: "crs", fault: "hang", kill: true},
		"crashes":    {program: "crs", fault: "crash"},
		"exits":      {program: "crs", fault: "exit"},
		"never ends": {program: hurried, fault: "hang"},
	} {
		t.Run(name, func(t *testing.T) {
			h := citizen.NewHome(t)
			person := somebodyElse(t)
			f := tokentest.NewFake(t, "")
			f.Insert(tokenOf(person))
			register(t, "fake", f.Path)
			serve := h.Start(t, test.program, "serve", "--ui", "terminal")
			serve.Next("msg=listening")
			site := open(t, citizen.Portale)
			serve.Answer("s", citizen.PIN)
			site.mustLogIn()
			before := workers(serve)

			f.Fault("C_Sign", test.fault)
			sent := f.Secrets()
			serve.Answer(citizen.PIN)
			refused := make(chan struct{})
			go func() {
				defer close(refused)
				site.refused(crs.ErrCard)
			}()
			if test.kill {
				await.That(t, "the module signs", func() bool { return f.Secrets() > sent })
				othersAreAnswered(t, h)
				for _, pid := range before {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			<-refused
			if n := f.Secrets() - sent; n != 1 {
				t.Errorf("one PIN was typed, and %d were sent", n)
			}
			f.Fault("C_Sign", "")
			serve.Answer(citizen.PIN)
			if _, err := verify(site.mustLogIn(), person.CA); err != nil {
				t.Error(err)
			}
			if n := f.Secrets() - sent; n != 2 {
				t.Errorf("two PINs were typed, and %d were sent", n)
			}
			after := workers(serve)
			if len(before) != 1 || len(after) != 1 || before[0] == after[0] {
				t.Errorf("workers %v before and %v after", before, after)
			}
			if code := serve.Stop(syscall.SIGTERM); code != 0 {
				t.Errorf("the service ends with %d", code)
			}
			await.That(t, "no worker is left", func() bool {
				return !slices.ContainsFunc(append(before, after...), func(pid int) bool { return syscall.Kill(pid, 0) == nil })
			})
		})
	}
}

// othersAreAnswered checks that clients that need no module do not wait for the one that hangs in a
// login.
func othersAreAnswered(t *testing.T, h citizen.Home) {
	t.Helper()
	other := open(t, "https://altro.example")
	if _, err := other.call("hello", map[string]any{"client": "test", "protocol": 1}); err != nil {
		t.Errorf("hello: %v", err)
	}
	other.refused(crs.ErrBusy)
	if list := h.Command(t, "card", "list"); !strings.Contains(list, "BRUNO PROVA") {
		t.Errorf("cards:\n%s", list)
	}
	if s := status(t, h); len(s.Readers) != 3 {
		t.Errorf("status: %+v", s)
	}
}
