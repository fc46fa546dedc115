package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/citizen"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestT24AModuleThatPrints runs logins of every outcome, and changes the PIN, with a module that
// prints each PIN that it gets, and searches what was written, and the memory of the service, for
// what must be nowhere.
func TestT24AModuleThatPrints(t *testing.T) {
	const freshPIN = "5829463"
	h := citizen.NewHome(t)
	person, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "ADA", Surname: "CANARINIZZI"})
	if err != nil {
		t.Fatal(err)
	}
	f := tokentest.NewFake(t, "")
	f.Insert(tokenOf(person))
	register(t, "fake", f.Path)
	serve := h.Serve(t, "--log", "debug")
	site := open(t, citizen.Portale)
	f.Fault("C_Login", "print")
	serve.Answer("s", citizen.WrongPIN, citizen.PIN)
	first := site.mustLogIn()
	serve.Answer(citizen.PIN)
	second := site.mustLogIn()
	serve.Answer("")
	site.refused(crs.ErrCancelled)
	for _, fault := range []string{"crash", "exit", "5"} {
		f.Fault("C_Sign", fault)
		serve.Answer(citizen.PIN)
		site.refused(crs.ErrCard)
	}
	f.Fault("C_SetPIN", "print")
	shown := finish(t, h, 1, []string{citizen.WrongPIN, freshPIN, freshPIN}, "pin", "change") +
		finish(t, h, 0, []string{citizen.PIN, freshPIN, freshPIN}, "pin", "change")
	f.Fault("C_Login", "print")
	serve.Answer(freshPIN)
	site.mustLogIn()
	shown += finish(t, h, 1, nil, "doctor") + finish(t, h, 1, nil, "doctor", "--json") +
		finish(t, h, 0, nil, "card", "list", "--all") + finish(t, h, 0, nil, "card", "list", "--all", "--json")
	const seen = "login:wrong login:right logout login:right logout login:right login:right login:right logout set:wrong set:right login:right logout"
	if got := strings.Join(f.Log(), " "); got != seen {
		t.Errorf("the module saw %s", got)
	}

	pins := map[string]string{"the PIN": citizen.PIN, "the wrong PIN": citizen.WrongPIN, "the new PIN": freshPIN}
	// The last one is what the search must find.
	found := remembers(t, serve.Process.Pid, citizen.PIN, citizen.WrongPIN, freshPIN, person.Data.Surname)
	if strings.Join(found, " ") != person.Data.Surname {
		t.Errorf("the service remembers %v", found)
	}
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}

	written := map[string][]byte{
		"the service's stdout": []byte(serve.Stdout.String()), "the service's stderr": []byte(serve.Stderr.String()),
		"the commands": []byte(shown),
	}
	kept := map[string][]byte{"the log": []byte(logLines(serve))}
	maps.Copy(kept, files(t, h))
	maps.Copy(written, kept)
	for where, text := range written {
		for what, pin := range pins {
			if form := holds(text, []byte(pin)); form != "" {
				t.Errorf("%s holds %s, as %s", where, what, form)
			}
		}
	}
	never := personal(person)
	never["the surname"] = []byte(person.Data.Surname)
	for name, l := range map[string]login{"first": first, "second": second} {
		never["the challenge of the "+name+" login"] = []byte(l.challenge.String())
		never["the signature of the "+name+" login"] = l.token.Signature
	}
	for where, text := range kept {
		for what, secret := range never {
			if form := holds(text, secret); form != "" {
				t.Errorf("%s holds %s, as %s", where, what, form)
			}
		}
	}
	for _, spy := range []string{"code=ok", "code=user_cancelled", "code=card_error", "msg=module"} {
		if !strings.Contains(logLines(serve), spy) {
			t.Errorf("the log does not tell %q", spy)
		}
	}
	if holds(kept[filepath.Join(string(h), "state/crs/tries.json")], []byte("{")) == "" || holds([]byte(shown), []byte("CANARINIZZI")) == "" {
		t.Error("the search finds nothing where something is")
	}
}

// TestT24AnIdleWorkerForgets: neither the service nor the process of a module that is careful itself
// has the PIN in its memory after a login.
func TestT24AnIdleWorkerForgets(t *testing.T) {
	h := citizen.NewHome(t)
	register(t, "softhsm", tokentest.SoftHSMModule)
	tokentest.NewSoftHSM(t, string(h), tokenOf(somebodyElse(t)))
	serve := h.Serve(t)
	serve.Answer("s", citizen.WrongPIN, citizen.PIN)
	open(t, citizen.Portale).mustLogIn()
	for _, pid := range append(workers(serve), serve.Process.Pid) {
		if found := remembers(t, pid, citizen.PIN, citizen.WrongPIN, "BRUNO"); strings.Join(found, " ") != "BRUNO" {
			t.Errorf("process %d of %v remembers %v", pid, workers(serve), found)
		}
	}
}

// finish runs a command to its end, which has this exit code, and returns what it wrote and what its
// arguments were.
func finish(t *testing.T, h citizen.Home, code int, answers []string, args ...string) string {
	t.Helper()
	p := h.Start(t, "crs", args...)
	arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Process.Pid))
	p.Answer(answers...)
	p.Stdin.Close()
	if <-p.Ended; p.Code != code {
		t.Errorf("crs %v: exit code %d", args, p.Code)
	}
	return string(arguments) + p.Stdout.String() + p.Stderr.String()
}
