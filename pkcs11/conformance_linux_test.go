package pkcs11

import (
	"context"
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/test/ns"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

func TestConformanceSoftHSM(t *testing.T) {
	cardtest.Run(t, func(t *testing.T) cardtest.Subject {
		home := t.TempDir()
		t.Setenv("HOME", home)
		tokentest.NewSoftHSM(t, home, oneToken())
		tokens := tokensOf(t, Module{Name: "SoftHSM", Path: tokentest.SoftHSMModule})
		sent := &counting{kept: map[string]crs.PINStatus{}}
		tokens.Tries = &tries.Book{Store: sent}
		c := theCard(t, tokens)
		return cardtest.Subject{
			Card: c, PIN: rightPIN, WrongPIN: wrongPIN, Certificate: person().Certificate.Raw,
			Secrets: func() int { return int(sent.spent.Load()) }, NeverBlocks: true, IsToken: true,
		}
	})
}

// openscPath is OpenSC's module.
const openscPath = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"

// OpenSC's module on the virtual card in pcscd.
func TestConformanceOpenSC(t *testing.T) {
	ns.NeedProgram(t, openscPath)
	cardtest.Run(t, func(t *testing.T) cardtest.Subject {
		v := insert(t, virtualcard.Config{Profile: "v1", PIN: rightPIN})
		c := theCard(t, tokensOf(t, Module{Name: "OpenSC", Path: openscPath, readers: true, falseLocked: true}))
		v.Forget()
		return cardtest.Subject{
			Card: c, PIN: rightPIN, WrongPIN: wrongPIN, Certificate: v.Person().Certificate.Raw,
			Tries:   func() int { tries, _ := v.Tries(); return tries },
			Secrets: v.Secrets, IsToken: true,
		}
	})
}

// insert puts a card into the first slot of pcscd until the test ends.
func insert(t testing.TB, config virtualcard.Config) *virtualcard.Card {
	t.Helper()
	ns.NeedPcscd(t)
	card := virtualcard.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- card.ServeVPCD(ctx, ns.FirstSlot) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, crs.ErrCardRemoved) {
			t.Error(err)
		}
		if err := ns.AwaitSlot(ns.FirstReader, scard.StateEmpty); err != nil {
			t.Error(err)
		}
	})
	if err := ns.AwaitSlot(ns.FirstReader, scard.StatePresent); err != nil {
		t.Fatal(err)
	}
	return card
}
