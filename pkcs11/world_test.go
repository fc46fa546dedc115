package pkcs11

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

const (
	rightPIN = "58293"
	wrongPIN = "41806"
)

// person is whose tokens these are. The workers, which are this program too, do without.
func person() *virtualcard.Person { return virtualcard.Shared(2048) }

// tokensOf returns the tokens that these modules show.
func tokensOf(t testing.TB, modules ...Module) *Tokens {
	t.Helper()
	tokens := &Tokens{
		Command:  workerCommand,
		Timeouts: Timeouts{Call: 10 * time.Second, PIN: 10 * time.Second},
		Find:     func() []Module { return modules },
	}
	t.Cleanup(tokens.Close)
	return tokens
}

// faked returns a fake module with these tokens, and what it shows.
func faked(t testing.TB, inserted ...tokentest.Token) (*tokentest.Fake, *Tokens) {
	t.Helper()
	f := tokentest.NewFake(t, "")
	f.Insert(inserted...)
	return f, tokensOf(t, Module{Name: "fake", Path: f.Path})
}

func oneToken() tokentest.Token {
	return tokentest.Token{Label: "ONE", Serial: "1", PIN: rightPIN, Objects: tokentest.Person(person())}
}

// theCard returns the one card that tokens show.
func theCard(t testing.TB, tokens *Tokens) *card {
	t.Helper()
	var found []*card
	readers := tokens.List(context.Background(), true)
	for _, r := range readers {
		if c, ok := r.Card.(*card); ok {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d cards in %+v, modules %+v", len(found), readers, tokens.Modules())
	}
	return found[0]
}

// login types a PIN and returns what became of it.
func login(t testing.TB, c crs.Card, pin string) error {
	t.Helper()
	statement := cardtest.NewStatement(t)
	sig, err := c.Sign(context.Background(), cardtest.PIN(pin), statement)
	if err == nil {
		err = sig.Verify(statement)
	}
	return err
}

// refused returns the error as one about the PIN.
func refused(t testing.TB, err error) *crs.PINError {
	t.Helper()
	var e *crs.PINError
	if !errors.As(err, &e) {
		t.Fatalf("%v is not about the PIN", err)
	}
	return e
}
