package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// register makes a module known to all programs until the test ends.
func register(t testing.TB, name, path string) {
	t.Helper()
	file := filepath.Join(ns.Registrations, name+".module")
	if err := os.WriteFile(file, []byte("module: "+path+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
}

// workers returns the processes of modules that a program started.
func workers(p *citizen.Program) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid))
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for _, child := range strings.Fields(string(children)) {
			args, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if strings.HasPrefix(string(args), "crs\x00worker\x00pkcs11\x00") {
				pid, _ := strconv.Atoi(child)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// somebodyElse is not the person of cards that a test inserts.
func somebodyElse(t testing.TB) *virtualcard.Person {
	t.Helper()
	p, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "BRUNO", Surname: "PROVA"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tokenOf(p *virtualcard.Person) tokentest.Token {
	return tokentest.Token{Label: "TOKEN", Serial: "1", PIN: citizen.PIN, Objects: tokentest.Person(p)}
}

// TestTokenBesideCard: a token and a card in a reader are listed beside each other; one card that
// a module sees too is listed once, with its own driver.
func TestTokenBesideCard(t *testing.T) {
	h := citizen.NewHome(t)
	register(t, "softhsm", tokentest.SoftHSMModule)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	tokentest.NewSoftHSM(t, string(h), tokenOf(somebodyElse(t)))
	list := h.Command(t, "card", "list")
	if strings.Count(list, "\n") != 2 || !strings.Contains(list, card.Reader+": CNS  ADA ESEMPIO") || !strings.Contains(list, "BRUNO PROVA") {
		t.Errorf("a token and a card:\n%s", list)
	}
	if card.Secrets() != 0 {
		t.Errorf("%d PINs were sent", card.Secrets())
	}

	twice := citizen.NewHome(t)
	tokentest.NewSoftHSM(t, string(twice), tokenOf(card.Person()))
	list = twice.Command(t, "card", "list")
	if strings.Count(list, "\n") != 1 || !strings.Contains(list, card.Reader+": CNS  ADA ESEMPIO") {
		t.Errorf("a card that a module sees too:\n%s", list)
	}
}

// TestTokenLogin: a login with a token, whose module's process may be killed between two logins.
func TestTokenLogin(t *testing.T) {
	h := citizen.NewHome(t)
	person := somebodyElse(t)
	register(t, "softhsm", tokentest.SoftHSMModule)
	tokentest.NewSoftHSM(t, string(h), tokenOf(person))
	serve := h.Serve(t)
	site := open(t, citizen.Portale)
	for i, answers := range [][]string{{"s", citizen.PIN}, {citizen.PIN}, {citizen.PIN}} {
		serve.Answer(answers...)
		l := site.mustLogIn()
		openssl(t, l)
		if id, err := verify(l, person.CA); err != nil || id.FullName() != "BRUNO PROVA" {
			t.Errorf("login %d: the portal takes it for %q: %v", i, id.FullName(), err)
		}
		workers := workers(serve)
		if len(workers) != 1 {
			t.Fatalf("login %d: %d workers", i, len(workers))
		}
		if i == 1 {
			syscall.Kill(workers[0], syscall.SIGKILL)
		}
	}
	workers := workers(serve)
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service ends with %d", code)
	}
	await.That(t, "the workers end with the service", func() bool {
		return !slices.ContainsFunc(workers, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	})
	if strings.Contains(serve.Stderr.String(), citizen.PIN) || strings.Contains(serve.Stderr.String(), "PROVA,") {
		t.Errorf("written:\n%s", serve.Stderr)
	}
}

// TestNoWorkerWithoutNeed: where the native driver does all, no module's process runs, not even of
// a module that is installed.
func TestNoWorkerWithoutNeed(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	serve.Answer("s", citizen.PIN)
	site.mustLogIn()
	if workers := workers(serve); len(workers) > 0 {
		t.Errorf("%d workers", len(workers))
	}
}

// TestBadConfiguration: a configuration that cannot be read is said, and keeps nobody from logging in.
func TestBadConfiguration(t *testing.T) {
	h := citizen.NewHome(t)
	configure(t, h, `{"cards":{"x":"nobody"}}`)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	serve.Answer("s", citizen.PIN)
	site.mustLogIn()
	if !strings.Contains(serve.Stderr.String(), "configuration not read") {
		t.Error("the service does not say that it cannot read its configuration")
	}
	if list := h.Command(t, "card", "list"); !strings.Contains(list, card.Reader) {
		t.Errorf("cards:\n%s", list)
	}
}

// TestTokenWithKeys: a login whose PIN is typed on the token itself.
func TestTokenWithKeys(t *testing.T) {
	h := citizen.NewHome(t)
	person := somebodyElse(t)
	token := tokenOf(person)
	token.Flags = 0x100 // CKF_PROTECTED_AUTHENTICATION_PATH
	f := tokentest.NewFake(t, "")
	f.Insert(token)
	f.Type(citizen.PIN)
	register(t, "fake", f.Path)
	serve := h.Serve(t)
	serve.Answer("s", "s")
	if _, err := verify(open(t, citizen.Portale).mustLogIn(), person.CA); err != nil {
		t.Error(err)
	}
	if n := f.Secrets(); n != 1 {
		t.Errorf("%d PINs came to the token", n)
	}
	if strings.Contains(serve.Stderr.String(), citizen.PinAsked) {
		t.Error("the PIN was asked for on the keyboard")
	}
}
