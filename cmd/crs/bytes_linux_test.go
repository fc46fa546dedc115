package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestReaderNameThatIsNoUTF8: a reader whose driver names it in Latin-1 can be used for everything,
// and is called the same everywhere.
func TestReaderNameThatIsNoUTF8(t *testing.T) {
	const name, freshPIN = "Lettore carità 00 00", "8264513"
	ns.PcscdWith(t, "Lettore carit\xe0", 1)
	h := citizen.NewHome(t)
	h.Command(t, "sites", "allow", citizen.Portale)
	configure(t, h, `{"cards":{"CARITÀ 00 00":"native"}}`)
	serve := h.Serve(t)
	card := virtualcard.New(virtualcard.Config{PIN: citizen.PIN})
	ctx, pull := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- card.ServeVPCD(ctx, ns.FirstSlot) }()
	t.Cleanup(func() { pull(); <-served })
	serve.Next(citizen.CardReady)

	if s := status(t, h); len(s.Readers) != 2 || s.Readers[0].Name != name || s.Readers[0].Card == nil {
		t.Errorf("the service tells %+v", s)
	}
	if said := runDoctor(t, h); !strings.Contains(said, "✓ Servizio CRS") || !strings.Contains(said, "✓ Lettore: "+name) {
		t.Errorf("crs doctor says\n%s", said)
	}
	for _, word := range []string{"carità", "CARITÀ 00", "carit\xe0"} {
		if out := h.Command(t, "card", "list", "--reader", word); !strings.Contains(out, name+": CNS") {
			t.Errorf("crs card list --reader %q: %s", word, out)
		}
	}
	serve.Answer(citizen.PIN)
	open(t, citizen.Portale).mustLogIn()

	// To change a card's PIN the tray names the card by its reader.
	t.Setenv("HOME", string(h))
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(string(h), "run"))
	link := &ipc.Link{Log: slog.New(slog.DiscardHandler)}
	done := make(chan error, 1)
	go func() { done <- link.Run(ctx) }()
	t.Cleanup(func() { pull(); <-done })
	serve.Next("tray attached")
	for {
		s, ok, changed := link.Status()
		if ok && len(s.Readers) == 2 && s.Readers[0].Card != nil {
			break
		}
		<-changed
	}
	serve.Answer(citizen.PIN, freshPIN, freshPIN)
	if err := link.ChangePIN(t.Context(), name); err != nil {
		t.Error(err)
	}
	serve.Next("PIN changed by its owner")
	serve.Answer(freshPIN)
	open(t, citizen.Portale).mustLogIn()
}
