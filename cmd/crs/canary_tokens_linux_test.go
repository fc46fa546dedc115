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
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestT24AModuleThatPrints runs logins of every outcome, and changes the PIN, with a module that
// prints each PIN that it gets, and searches what was written, and the memory of the service, for
// what must be nowhere.
func TestT24AModuleThatPrints(t *testing.T) {
	const freshPIN = "5829463"
	h := newHome(t)
	person, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "ADA", Surname: "CANARINIZZI"})
	if err != nil {
		t.Fatal(err)
	}
	f := tokentest.NewFake(t, "")
	f.Insert(tokenOf(person))
	register(t, "fake", f.Path)
	serve := h.serve(t, "--log", "debug")
	site := open(t, portale)
	f.Fault("C_Login", "print")
	serve.answer("s", wrongPIN, testPIN)
	first := site.mustLogIn()
	serve.answer(testPIN)
	second := site.mustLogIn()
	serve.answer("")
	site.refused(crs.ErrCancelled)
	for _, fault := range []string{"crash", "exit", "5"} {
		f.Fault("C_Sign", fault)
		serve.answer(testPIN)
		site.refused(crs.ErrCard)
	}
	f.Fault("C_SetPIN", "print")
	shown := h.told(t, 1, []string{wrongPIN, freshPIN, freshPIN}, "pin", "change") +
		h.told(t, 0, []string{testPIN, freshPIN, freshPIN}, "pin", "change")
	f.Fault("C_Login", "print")
	serve.answer(freshPIN)
	site.mustLogIn()
	shown += h.told(t, 1, nil, "doctor") + h.told(t, 1, nil, "doctor", "--json") +
		h.told(t, 0, nil, "card", "list", "--all") + h.told(t, 0, nil, "card", "list", "--all", "--json")
	const seen = "login:wrong login:right logout login:right logout login:right login:right login:right logout set:wrong set:right login:right logout"
	if got := strings.Join(f.Log(), " "); got != seen {
		t.Errorf("the module saw %s", got)
	}

	pins := map[string]string{"the PIN": testPIN, "the wrong PIN": wrongPIN, "the new PIN": freshPIN}
	// The last one is what the search must find.
	found := remembers(t, serve.process.Pid, testPIN, wrongPIN, freshPIN, person.Data.Surname)
	if strings.Join(found, " ") != person.Data.Surname {
		t.Errorf("the service remembers %v", found)
	}
	if code := serve.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}

	written := map[string][]byte{
		"the service's stdout": []byte(serve.stdout.String()), "the service's stderr": []byte(serve.stderr.String()),
		"the commands": []byte(shown),
	}
	kept := map[string][]byte{"the log": []byte(serve.log())}
	maps.Copy(kept, h.files(t))
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
		if !strings.Contains(serve.log(), spy) {
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
	h := newHome(t)
	register(t, "softhsm", tokentest.SoftHSMModule)
	tokentest.NewSoftHSM(t, string(h), tokenOf(somebodyElse(t)))
	serve := h.serve(t)
	serve.answer("s", wrongPIN, testPIN)
	open(t, portale).mustLogIn()
	for _, pid := range append(serve.workers(), serve.process.Pid) {
		if found := remembers(t, pid, testPIN, wrongPIN, "BRUNO"); strings.Join(found, " ") != "BRUNO" {
			t.Errorf("process %d of %v remembers %v", pid, serve.workers(), found)
		}
	}
}

// told runs a command to its end, which has this exit code, and returns what it wrote and what its
// arguments were.
func (h home) told(t *testing.T, code int, answers []string, args ...string) string {
	t.Helper()
	p := h.start(t, "crs", args...)
	arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.process.Pid))
	p.answer(answers...)
	p.stdin.Close()
	if <-p.ended; p.code != code {
		t.Errorf("crs %v: exit code %d", args, p.code)
	}
	return string(arguments) + p.stdout.String() + p.stderr.String()
}
