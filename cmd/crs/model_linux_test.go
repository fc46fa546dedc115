package main

import (
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// A login with an ACe 2025 in the reader says whose card it is and that it cannot be used yet, never
// asks for its PIN, and goes on with another card.
func TestRule2LoginWithACe2025(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	ace, err := citizen.InsertCard("1", virtualcard.New(virtualcard.Config{Profile: "ace", PIN: citizen.PIN}))
	if err != nil {
		t.Fatal(err)
	}
	serve.Next(`msg="card not usable"`)
	site := open(t, citizen.Portale)
	serve.Answer("s")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := site.login(false); err != nil {
			t.Error(err)
		}
	}()
	serve.Next("Carta di ADA ESEMPIO, valida fino al")
	if err := ace.Pull(); err != nil {
		t.Fatal(err)
	}
	for _, ins := range []byte{0x20, 0x24, 0x2C} {
		if n := ace.Count(ins); n != 0 {
			t.Errorf("INS %02X was sent %d times", ins, n)
		}
	}
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.PinAsked)
	serve.Answer(citizen.PIN)
	<-done
	if card.Secrets() != 1 {
		t.Errorf("%d PINs for one typing", card.Secrets())
	}
}
