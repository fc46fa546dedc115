package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"unicode"

	"github.com/crs-bridge/crs/internal/test/citizen"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestNamesAreLiteral: what tokens and certificates call themselves is text, and cannot write
// anywhere, turn the direction of text round, or hide which token is which.
func TestNamesAreLiteral(t *testing.T) {
	h := citizen.NewHome(t)
	person := somebodyElse(t)
	one, two := tokenOf(person), tokenOf(person)
	one.Objects[0].Certificate = named(t, person, "<b>\x1b[2J\u202e"+strings.Repeat("LUNGO ", 40))
	one.Slot = "\x1b]0;x\x07<i>\u2066\r\n" + strings.Repeat("Lettore ", 6)
	two.Slot, two.Serial, one.Label = one.Slot, "2", "\x1b[2J\u202e<b>"
	f := tokentest.NewFake(t, "")
	f.Insert(one, two)
	register(t, "fake", f.Path)

	list := h.Command(t, "card", "list", "--all")
	harmless(t, "card list", list)
	var tokens []string
	for line := range strings.Lines(list) {
		if strings.Contains(line, "<i>") {
			tokens = append(tokens, line)
		}
	}
	if len(tokens) != 2 || !strings.Contains(tokens[0]+tokens[1], "<b>") {
		t.Errorf("%q", list)
	}
	serve := h.Serve(t)
	serve.Answer("s", "2", citizen.PIN)
	if id, err := verify(open(t, citizen.Portale).mustLogIn(), person.CA); err != nil || id.FullName() != "BRUNO PROVA" {
		t.Errorf("the portal takes the second for %q: %v", id.FullName(), err)
	}
	asked := serve.Stderr.String()
	harmless(t, "the dialogs", asked)
	if !strings.Contains(asked, "(1)") {
		t.Errorf("two tokens of one name look the same:\n%s", asked)
	}
	serve.Answer("1", citizen.PIN)
	open(t, citizen.Portale).mustLogIn()
	harmless(t, "the dialogs", serve.Stderr.String())
}

// named returns a certificate of a person's key in which they call themselves so.
func named(t *testing.T, p *virtualcard.Person, name string) *x509.Certificate {
	t.Helper()
	c := *p.Certificate
	c.RawSubject, c.Subject = nil, pkix.Name{CommonName: name}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, p.Key.Public(), p.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// harmless checks that a terminal shows a text as it is, in lines of bounded length.
func harmless(t *testing.T, what, s string) {
	t.Helper()
	for line := range strings.Lines(s) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(r) {
				t.Errorf("%s: %U in %q", what, r, line)
			}
		}
		if n := len([]rune(line)); n > 500 {
			t.Errorf("%s: a line of %d characters", what, n)
		}
	}
}

// Keys of every kind have a size.
func TestKeyBits(t *testing.T) {
	for want, key := range map[int]any{2048: virtualcard.Shared(2048).Key.Public(), 384: &ecdsa.PublicKey{Curve: elliptic.P384()}, 0: nil} {
		if got := keyBits(&x509.Certificate{PublicKey: key}); got != want {
			t.Errorf("%T: %d", key, got)
		}
	}
}
