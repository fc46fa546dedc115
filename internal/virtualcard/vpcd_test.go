//go:build linux

package virtualcard

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/ns"
)

func TestServeVPCDOutlivesPcscd(t *testing.T) {
	c := New(Config{})
	insert(t, c)
	for _, end := range []func() error{ns.Pcscd.Stop, ns.Pcscd.Kill} {
		transmit(t, c, "0020001008"+right)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := ns.Pcscd.Start(); err != nil {
			t.Fatal(err)
		}
		if atr := awaitSlot(t, scard.StatePresent); !bytes.Equal(atr, c.ATR()) {
			t.Errorf("answer to reset % X, want % X", atr, c.ATR())
		}
		if got := transmit(t, c, "00200010"); got != "63C3" {
			t.Errorf("the PIN is still verified after pcscd was restarted: %s", got)
		}
	}
}

func TestServeVPCDPullsTheCard(t *testing.T) {
	ns.NeedPcscd(t)
	c := New(Config{})
	ctx, pull := context.WithCancel(t.Context())
	served := make(chan error, 1)
	serve := func() { served <- c.ServeVPCD(ctx, ns.FirstSlot) }

	// By a fault, in the middle of a command.
	go serve()
	awaitSlot(t, scard.StatePresent)
	c.Inject(Fault{INS: 0xB0, Remove: true})
	pc, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Release()
	card, err := pc.Connect(ns.FirstReader, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := card.Transmit(selectMF); err != nil || !bytes.Equal(r, []byte{0x90, 0x00}) {
		t.Errorf("SELECT: % X, %v", r, err)
	}
	if r, err := card.Transmit([]byte{0x00, 0xB0, 0x00, 0x00, 0x00}); err == nil && len(r) > 0 {
		t.Errorf("a card that was pulled answered % X", r)
	}
	if err := <-served; !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("ServeVPCD: %v", err)
	}
	awaitSlot(t, scard.StateEmpty)

	// By its context, while it waits for a command.
	c.Inject()
	go serve()
	awaitSlot(t, scard.StatePresent)
	transmit(t, c, "0020001008"+right)
	pull()
	if err := <-served; err != nil {
		t.Errorf("ServeVPCD: %v", err)
	}
	if got := transmit(t, c, "00200010"); got != "63C3" {
		t.Errorf("the PIN is still verified after the card was pulled: %s", got)
	}
	awaitSlot(t, scard.StateEmpty)
}
