package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/crs-bridge/crs/pkcs11"
)

// TestWithoutModules: on a computer without any module the native driver does what it does, and the
// list says that there is none.
func TestWithoutModules(t *testing.T) {
	ns.NeedPcscd(t)
	hideModules(t)
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	serve.Answer("s", citizen.PIN)
	if _, err := verify(open(t, citizen.Portale).mustLogIn(), card.Person().CA); err != nil {
		t.Error(err)
	}
	if list := h.Command(t, "card", "list"); !strings.HasPrefix(list, card.Reader+": CNS  ADA ESEMPIO  "+card.Person().CardID+" (") {
		t.Errorf("crs card list:\n%s", list)
	}
	if list := h.Command(t, "card", "list", "--all"); !strings.Contains(list, "ADA ESEMPIO") || !strings.Contains(list, "non ci sono moduli per i token") {
		t.Errorf("crs card list --all:\n%s", list)
	}
	if rows, _ := tellCards(t, h, "--all"); len(rows) != 1 {
		t.Errorf("crs card list --all --json: %+v", rows)
	}
	if strings.Contains(serve.Stderr.String(), "level=WARN") {
		t.Errorf("the service warns:\n%s", logLines(serve))
	}
}

// hideModules takes the modules that are installed out of the test's world until it ends: where they
// are it mounts the same directory without them.
func hideModules(t *testing.T) {
	t.Helper()
	for _, m := range pkcs11.Find() {
		dir := filepath.Dir(m.Path)
		changes, err := os.MkdirTemp(ns.Modules, "hidden")
		if err != nil {
			t.Fatal(err)
		}
		upper, work := filepath.Join(changes, "upper"), filepath.Join(changes, "work")
		for _, d := range []string{upper, work} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
			t.Fatalf("mounting over %s: %v", dir, err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
			os.RemoveAll(changes)
		})
		if err := os.Remove(m.Path); err != nil {
			t.Fatal(err)
		}
	}
	if found := pkcs11.Find(); len(found) > 0 {
		t.Fatalf("modules are left: %+v", found)
	}
}
