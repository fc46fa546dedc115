package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/crs-bridge/crs/portal"
)

// TestKindsOfKeys: a real module signs with keys of each kind, and a portal accepts what comes out.
func TestKindsOfKeys(t *testing.T) {
	curve := func(c elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	bits := func(n int) crypto.Signer { return virtualcard.Shared(n).Key }
	for _, test := range []struct {
		name       string
		key        crypto.Signer
		mechanisms string // of SoftHSM: what it is to have, "" all
		want       crs.Algorithm
		legacy     bool // a portal takes it only if it says so
	}{
		{name: "RSA 1024", key: bits(1024), want: crs.RS256, legacy: true},
		{name: "RSA 2048", key: bits(2048), want: crs.RS256},
		{name: "RSA 3072", key: bits(3072), want: crs.RS256},
		{name: "RSA 4096", key: bits(4096), want: crs.RS256},
		{name: "RSA with PSS alone", key: bits(2048), mechanisms: "CKM_RSA_PKCS_PSS", want: crs.PS256},
		{name: "P-256", key: curve(elliptic.P256()), want: crs.ES256},
		{name: "P-384", key: curve(elliptic.P384()), want: crs.ES384},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			token := oneToken()
			token.Objects = []tokentest.Object{{ID: []byte{1}, Certificate: issue(t, test.key.Public(), nil), Key: test.key}}
			tokentest.NewSoftHSM(t, home, token)
			if test.mechanisms != "" {
				allow(t, home, test.mechanisms)
			}
			c := theCard(t, tokensOf(t, Module{Name: "SoftHSM", Path: tokentest.SoftHSMModule}))
			origin, err := crs.ParseOrigin("https://portale.example")
			challenge, challengeErr := crs.ParseChallenge(strings.Repeat("A", 43) + "=")
			statement, statementErr := crs.NewStatement(origin, challenge)
			if err := errors.Join(err, challengeErr, statementErr); err != nil {
				t.Fatal(err)
			}
			sig, err := c.Sign(context.Background(), cardtest.PIN(rightPIN), statement)
			if err != nil || sig.Algorithm != test.want {
				t.Fatalf("%s %v", sig.Algorithm, err)
			}
			b, err := json.Marshal(crs.NewToken(sig, "https://crs.example"))
			if err != nil {
				t.Fatal(err)
			}
			issuers := x509.NewCertPool()
			ca, _ := authority()
			issuers.AddCert(ca)
			for _, legacy := range []bool{false, true} {
				verifier := &portal.Verifier{Origin: origin, Issuers: issuers, AllowLegacyRSA: legacy}
				if _, err := verifier.Verify(b, challenge); (err == nil) != (legacy || !test.legacy) {
					t.Errorf("the portal, legacy %v: %v", legacy, err)
				}
			}
		})
	}
}

// allow leaves SoftHSM these mechanisms.
func allow(t *testing.T, home, mechanisms string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(home, ".config/softhsm2/softhsm2.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, "slots.mechanisms =", mechanisms); err != nil {
		t.Fatal(err)
	}
}

// Objects that share a CKA_ID: a renewed certificate with its key, and keys of which one is for
// something else.
func TestOneIDForSeveral(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	old := issue(t, person().Key.Public(), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-6, 0, 0), c.NotBefore
	})
	one := []byte{1}
	mine, foreign := tokentest.Object{ID: one, Key: person().Key}, tokentest.Object{ID: one, Key: other}
	token := oneToken()
	token.Objects = []tokentest.Object{foreign, {ID: one, Certificate: old}, {ID: one, Certificate: person().Certificate}, mine}
	f, tokens := faked(t, token)
	c := theCard(t, tokens)
	if cert, err := c.Certificate(context.Background()); err != nil || !cert.Equal(person().Certificate) {
		t.Errorf("the old one: %v", err)
	}
	if err := login(t, c, rightPIN); err != nil {
		t.Errorf("with two keys: %v", err)
	}

	token.Serial, token.Objects = "2", []tokentest.Object{foreign, foreign, {ID: one, Certificate: person().Certificate}}
	f.Insert(token)
	if err := login(t, theCard(t, tokens), rightPIN); !errors.Is(err, crs.ErrCardUnusable) {
		t.Errorf("with keys of something else: %v", err)
	}

	token.Serial, token.Objects = "3", []tokentest.Object{foreign, {ID: one, Certificate: person().Certificate}}
	f.Insert(token)
	if _, err := theCard(t, tokens).Sign(context.Background(), cardtest.PIN(rightPIN), cardtest.NewStatement(t)); !errors.Is(err, crs.ErrModule) {
		t.Errorf("a signature of another key: %v", err)
	}
}

// What is more than a module is asked for is left out, and the rest can be used.
func TestTooMuch(t *testing.T) {
	large := issue(t, person().Key.Public(), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 76, 47}, Value: make([]byte, maxCertificate)}}
	})
	token := oneToken()
	token.Objects = append([]tokentest.Object{{ID: []byte{2}, Certificate: large}}, token.Objects...)
	f, tokens := faked(t, token)
	if err := login(t, theCard(t, tokens), rightPIN); err != nil {
		t.Errorf("beside a large certificate: %v", err)
	}
	var many []tokentest.Token
	for i := range maxTokens + 1 {
		many = append(many, tokentest.Token{Label: "ONE", Serial: fmt.Sprint(i), PIN: rightPIN, Objects: tokentest.Person(person())})
	}
	f.Insert(many...)
	if readers := tokens.List(context.Background(), true); len(readers) != maxTokens {
		t.Errorf("%d of %d tokens: %+v", len(readers), len(many), tokens.Modules()[0].Unused)
	}
}

// What tokens hold besides: keys without certificates, certificates without a CKA_ID.
func TestNothingToLogInWith(t *testing.T) {
	token := oneToken()
	token.Objects = []tokentest.Object{{ID: []byte{1}, Key: person().Key, Public: true}}
	f, tokens := faked(t, token)
	if readers := tokens.List(context.Background(), true); len(readers) != 0 {
		t.Errorf("a key without a certificate: %+v", readers)
	}
	token.Serial, token.Objects = "2", []tokentest.Object{{Certificate: person().Certificate, Key: person().Key}}
	f.Insert(token)
	if readers := tokens.List(context.Background(), true); len(readers) != 1 || !errors.Is(readers[0].Err, crs.ErrNoCNS) {
		t.Errorf("without a CKA_ID: %+v", readers)
	}
}

// Two tokens that call themselves the same, serial number and all: each has a name of its own, and
// no PIN goes to the other one.
func TestSwappedTokens(t *testing.T) {
	other, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "BRUNO", Surname: "PROVA"})
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := oneToken(), oneToken()
	theirs.Objects = tokentest.Person(other)
	mine.Slot, theirs.Slot = "USB Token", "USB Token"
	f, tokens := faked(t, mine, theirs)
	readers := tokens.List(context.Background(), true)
	if len(readers) != 2 || readers[0].Name == readers[1].Name {
		t.Fatalf("%+v", readers)
	}
	f.Insert(theirs, mine)
	for _, r := range readers {
		if r.Card.Info().Reader != r.Name {
			t.Errorf("%q is in %q", r.Card.Info().Reader, r.Name)
		}
		if err := login(t, r.Card, rightPIN); !errors.Is(err, crs.ErrCardRemoved) {
			t.Errorf("%s: %v", r.Name, err)
		}
		c := r.Card.(*card)
		if err := c.VerifyPIN(context.Background(), cardtest.PIN(rightPIN)); !errors.Is(err, crs.ErrCardRemoved) {
			t.Errorf("%s, to verify: %v", r.Name, err)
		}
		if err := c.ChangePIN(context.Background(), cardtest.PIN(rightPIN), cardtest.PIN(wrongPIN)); !errors.Is(err, crs.ErrCardRemoved) {
			t.Errorf("%s, to change: %v", r.Name, err)
		}
	}
	if n := f.Secrets(); n != 0 {
		t.Errorf("%d PINs were sent", n)
	}
	for _, r := range tokens.List(context.Background(), true) {
		if err := login(t, r.Card, rightPIN); err != nil {
			t.Errorf("%s, listed again: %v", r.Name, err)
		}
	}
}

// TestPulledInACall: the token is gone at any moment, and the module says so with any code.
func TestPulledInACall(t *testing.T) {
	f, tokens := faked(t, oneToken())
	book := &tries.Book{}
	tokens.Tries = book
	c := theCard(t, tokens)
	for _, code := range []int{ckrSlotIDInvalid, ckrDeviceRemoved, ckrSessionClosed, ckrSessionHandleInvalid, ckrTokenNotPresent, ckrTokenNotRecognized} {
		for call, sent := range map[string]bool{"C_GetTokenInfo": false, "C_OpenSession": false, "C_Login": true, "C_SignInit": false, "C_Sign": false} {
			t.Run(fmt.Sprintf("%s %X", call, code), func(t *testing.T) {
				f.Fault(call, fmt.Sprintf("%x", code))
				err := login(t, c, rightPIN)
				if !errors.Is(err, crs.ErrCardRemoved) {
					t.Errorf("%s, %X: %v", call, code, err)
				}
				var pin *crs.PINError
				if errors.As(err, &pin) != sent || sent && !pin.Uncertain {
					t.Errorf("%s, %X, of the PIN: %v", call, code, err)
				}
				if counted := book.Status(c.Info().ID) != crs.UnknownPINStatus; counted != sent {
					t.Errorf("%s, %X: a try was counted: %v", call, code, counted)
				}
				f.Fault("", "")
				if err := login(t, c, rightPIN); err != nil {
					t.Fatalf("after %s, %X: %v", call, code, err)
				}
			})
		}
	}
}

// A key that wants the PIN for each signature, and whose token takes it the first time only: that
// try is counted, however right the PIN was before.
func TestSecondLoginRefused(t *testing.T) {
	always := oneToken()
	always.Objects[0].Always = true
	f, tokens := faked(t, always)
	book := &tries.Book{}
	tokens.Tries = book
	c := theCard(t, tokens)
	f.Fault("C_Login2", fmt.Sprintf("%x", ckrPINIncorrect))
	if e := refused(t, login(t, c, rightPIN)); e.Uncertain || e.Blocked {
		t.Errorf("%+v", e)
	}
	if s := book.Status(c.Info().ID); s.Retries != tries.Full-1 {
		t.Errorf("kept %+v", s)
	}
	f.Fault("C_Login2", fmt.Sprintf("%x", ckrPINLocked))
	if e := refused(t, login(t, c, rightPIN)); !e.Blocked {
		t.Errorf("%+v", e)
	}
	f.Fault("", "")
	if err := login(t, c, rightPIN); err != nil {
		t.Error(err)
	}
}

// A token's name becomes text of bounded length, no matter what bytes it has.
func TestLongNames(t *testing.T) {
	token := oneToken()
	token.Label = strings.Repeat("\x1b[2J\u202e", 4)  // 28 bytes of 32
	token.Slot = "\x07\xff" + strings.Repeat("è", 31) // 64 bytes, and not UTF-8
	_, tokens := faked(t, token)
	c := theCard(t, tokens)
	if c.token.Label != token.Label || c.Info().Reader != "\x07ÿ"+strings.Repeat("è", 31) {
		t.Errorf("%q in %q", c.token.Label, c.Info().Reader)
	}
	if err := login(t, c, rightPIN); err != nil {
		t.Error(err)
	}
	for in, want := range map[string]string{
		"a \x00 ":                  "a",
		" a":                       " a",
		"\xc3":                     "Ã",
		"\x9f":                     "\uFFFD",
		strings.Repeat("è", 200):   strings.Repeat("è", 127),
		strings.Repeat("€", 85):    strings.Repeat("€", 85),
		strings.Repeat("x", 1<<20): strings.Repeat("x", 255),
	} {
		t.Run(fmt.Sprintf("%.20q", in), func(t *testing.T) {
			if got := text(in); got != want {
				t.Errorf("%.20q: %q", in, got)
			}
		})
	}
}

// Neither the label of a token nor the path of its module need be UTF-8. Two tokens whose labels
// differ in such a byte alone are two, and the module is still found by its path.
func TestBytesThatAreNoUTF8(t *testing.T) {
	one, other := oneToken(), oneToken()
	one.Label, other.Label = "NICCOL\xd2", "NICCOL\xd3"
	one.Slot, other.Slot = "Chiavetta di Niccol\xf2", "Chiavetta di Niccol\xf3"
	f := tokentest.NewFake(t, "")
	path := filepath.Join(filepath.Dir(f.Path), "modulo-\xe0.so")
	if err := os.Rename(f.Path, path); err != nil {
		t.Fatal(err)
	}
	f.Path = path
	f.Insert(one, other)
	tokens := tokensOf(t, Module{Name: "fake", Path: f.Path})
	readers := tokens.List(t.Context(), true)
	if len(readers) != 2 || readers[0].Name != "Chiavetta di Niccolò" || readers[1].Name != "Chiavetta di Niccoló" {
		t.Fatalf("%+v, modules %+v", readers, tokens.Modules())
	}
	a, b := readers[0].Card.(*card), readers[1].Card.(*card)
	if a.token.Label != "NICCOLÒ" || a.token.same(b.token) {
		t.Errorf("labels %q and %q", a.token.Label, b.token.Label)
	}
	if err := login(t, a, rightPIN); err != nil {
		t.Error(err)
	}
}
