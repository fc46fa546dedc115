package pcsc

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// Rule 9 and T20 in a real pcscd, on whose reader the keys are put here: vpcd has none. The reset
// before the VERIFY ends what another program left verified, and costs that program nothing but
// the news of it.
func TestT20InPCSCD(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	openInPCSCD(t, v.driver)
	k := &keypad{Reader: pcscReader(ns.FirstReader), t: t, verify: true}
	card, err := v.driver.Open(context.Background(), k)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pcscReader(ns.FirstReader).Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if pad, ok := other.(PINPad); !ok {
		t.Error("a PC/SC connection is no PINPad")
	} else if verify, modify := pad.PINPad(); verify || modify {
		t.Error("vpcd has keys")
	}
	verify := append([]byte{0, insVerify, 0, 0x10, 8}, pinBlocks([]byte(rightPIN))...)
	if answer, err := other.Transmit(verify); err != nil || !bytes.Equal(answer, []byte{0x90, 0x00}) {
		t.Fatalf("% X, %v", answer, err)
	}
	v.Forget()
	k.presses = []press{{sw: 0x9000}, {types: []string{rightPIN}}, {types: []string{wrongPIN}}}
	if err := signOnPad(t, card); !errors.Is(err, crs.ErrPINPad) || v.Secrets() != 0 {
		t.Errorf("keys that send nothing: %v, %d secrets", err, v.Secrets())
	}
	v.Forget()
	if err := signOnPad(t, card); err != nil || v.Secrets() != 1 || len(v.Log()) > 6 {
		t.Errorf("right PIN: %v, %d secrets, %d APDUs", err, v.Secrets(), len(v.Log()))
	}
	var refused *crs.PINError
	if err := signOnPad(t, card); !errors.As(err, &refused) || refused.Retries != 2 {
		t.Errorf("wrong PIN: %v", err)
	}
	if got := signWithoutPIN(t, pcscReader(ns.FirstReader)); got != swNotAllowed {
		t.Errorf("a second program got %v", got)
	}
}
