package pcsc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// A reader that fails is reported once, and its state in PC/SC is kept: asking again with an older
// state would return at once, endlessly.
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

// The state that PC/SC reports for a reader decides whether the card in it is still the one that
// was read.
func TestUpdate(t *testing.T) {
	const in = scard.StatePresent | 3<<16 // the third insertion or removal
	for name, test := range map[string]struct {
		now  scard.StateFlag
		same bool
		err  error
	}{
		"nothing":                 {in, true, nil},
		"another program came":    {in | scard.StateInuse, true, nil},
		"pulled":                  {scard.StateEmpty | 4<<16, false, nil},
		"swapped in a moment":     {scard.StatePresent | 5<<16, false, nil},
		"stopped answering":       {in | scard.StateMute, false, crs.ErrCardMute},
		"pulled, and not counted": {scard.StateEmpty | 3<<16, false, nil},
	} {
		card := &cns{}
		m := &Monitor{Driver: &Driver{}}
		m.slots = map[string]*slot{"r": {state: crs.Reader{Name: "r", Card: card}, event: in}}
		_, changed := m.Readers()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		m.update(ctx, scard.ReaderState{Reader: "r", EventState: test.now | scard.StateChanged})
		readers, _ := m.Readers()
		if (readers[0].Card != nil) != test.same || card.removed.Load() == test.same || !errors.Is(readers[0].Err, test.err) {
			t.Errorf("%s: %+v, removed %v", name, readers[0], card.removed.Load())
		}
		select {
		case <-changed:
			if test.same {
				t.Errorf("%s: is told", name)
			}
		default:
			if !test.same {
				t.Errorf("%s: is not told", name)
			}
		}
	}
}

// The result of reading a card that is no longer in comes too late.
func TestLateReading(t *testing.T) {
	card := &cns{}
	s := &slot{state: crs.Reader{Name: "no such reader", Card: card}, reading: 2}
	m := &Monitor{Driver: &Driver{}, slots: map[string]*slot{s.state.Name: s}}
	m.read(context.Background(), pcscReader(s.state.Name), s, 1)
	if s.state.Card != card {
		t.Errorf("%+v", s.state)
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
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardInUse) {
		t.Fatalf("login: %v", err)
	}
	if err := other.End(false); err != nil {
		t.Fatal(err)
	}
	for errors.Is(v.login(t, card, rightPIN), crs.ErrCardInUse) {
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
	if _, err := v.driver.Open(context.Background(), v.reader); !errors.Is(err, crs.ErrCardInUse) {
		t.Fatalf("open: %v", err)
	}
	if err := other.End(false); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := v.driver.Open(context.Background(), v.reader); !errors.Is(err, crs.ErrCardInUse) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := other.Begin(); err != nil {
		t.Errorf("the other program: %v", err)
	}
}
