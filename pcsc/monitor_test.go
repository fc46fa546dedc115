package pcsc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/ebfe/scard"
)

// A reader that fails is told once, and what PC/SC said of it is kept: to ask again with an
// older state returns at once, for ever.
func TestReaderThatFails(t *testing.T) {
	m := &Monitor{Driver: &Driver{}}
	card := &cns{}
	m.slots = map[string]*slot{"r": {state: crs.Reader{Name: "r", Card: card}, event: scard.StatePresent}}
	_, changed := m.Readers()
	m.update(context.Background(), scard.ReaderState{Reader: "r", EventState: scard.StateUnavailable | scard.StateChanged})
	readers, _ := m.Readers()
	if readers[0].Card != nil || !errors.Is(readers[0].Err, crs.ErrCardStuck) || !card.removed.Load() {
		t.Errorf("%+v", readers[0])
	}
	if got := m.lastEvent("r"); got != scard.StateUnavailable {
		t.Errorf("event %X", got)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	_, changed = m.Readers()
	m.update(context.Background(), scard.ReaderState{Reader: "r", EventState: scard.StateUnavailable | scard.StateChanged})
	select {
	case <-changed:
		t.Error("told twice")
	default:
	}
}

// Another program's transaction outlasts our patience. When it ends, our late one must not reset
// the card under it: no PIN was sent.
func TestRule8LateTransactionDoesNotReset(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.driver.Timeouts = Timeouts{Call: 50 * time.Millisecond}
	other, err := v.reader.Connect()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardStuck) {
		t.Fatalf("login: %v", err)
	}
	if err := other.End(false); err != nil {
		t.Fatal(err)
	}
	for errors.Is(v.login(t, card, rightPIN), crs.ErrCardStuck) {
		time.Sleep(10 * time.Millisecond) // until the abandoned call has returned
	}
	if v.Secrets() != 1 {
		t.Errorf("%d secrets", v.Secrets())
	}
	other.Close()
}

// The same at an insertion, as the other program sees it.
func TestRule8LateTransactionIsNotHeard(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	v.driver.Timeouts = Timeouts{Call: 50 * time.Millisecond}
	other, err := v.reader.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.driver.Open(context.Background(), v.reader); !errors.Is(err, crs.ErrCardStuck) {
		t.Fatalf("open: %v", err)
	}
	if err := other.End(false); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := v.driver.Open(context.Background(), v.reader); !errors.Is(err, crs.ErrCardStuck) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := other.Begin(); err != nil {
		t.Errorf("the other program: %v", err)
	}
}
