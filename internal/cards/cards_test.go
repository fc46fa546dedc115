package cards

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/changes"
	"github.com/crs-bridge/crs/internal/test/await"
)

// held is a card in name alone.
type held struct {
	info crs.Info
}

func (c *held) Info() crs.Info { return c.info }

func (c *held) Certificate(context.Context) (*x509.Certificate, error) {
	panic("a card is asked for its certificate")
}

func (c *held) PINStatus(context.Context) (crs.PINStatus, error) {
	panic("a card is asked for its PIN")
}

func (c *held) Sign(context.Context, *crs.PIN, crs.Statement) (crs.Signature, error) {
	panic("a card is asked to sign")
}

// with returns a reader with a card; kind tells the drivers apart.
func with(kind, reader, id string) crs.Reader {
	return crs.Reader{Name: reader, Card: &held{crs.Info{Reader: reader, Kind: kind, ID: id}}}
}

func native(reader, id string) crs.Reader { return with("native", reader, id) }
func module(reader, id string) crs.Reader { return with("module", reader, id) }

func names(readers []crs.Reader) (s []string) {
	for _, r := range readers {
		switch {
		case r.Card != nil:
			s = append(s, fmt.Sprint(r.Card.Info().Kind, " ", r.Name, " ", r.Card.Info().ID))
		case r.Err != nil:
			s = append(s, fmt.Sprint(r.Name, ": ", r.Err))
		default:
			s = append(s, r.Name)
		}
	}
	return s
}

func TestJoin(t *testing.T) {
	unusable := crs.Reader{Name: "A", Err: crs.ErrNoCNS}
	for _, test := range []struct {
		name           string
		native, tokens []crs.Reader
		choice         Choice
		failed         map[string]bool
		want           []string
	}{
		{name: "nothing"},
		{name: "no module",
			native: []crs.Reader{native("A", "1"), {Name: "B"}, {Name: "C", Err: crs.ErrCardMute}},
			want:   []string{"native A 1", "B", "C: " + crs.ErrCardMute.Error()}},
		{name: "a card and a token",
			native: []crs.Reader{native("A", "1")}, tokens: []crs.Reader{module("T", "2")},
			want: []string{"native A 1", "module T 2"}},
		{name: "a card that both see",
			native: []crs.Reader{native("A", "1")}, tokens: []crs.Reader{module("A", "1")},
			want: []string{"native A 1"}},
		{name: "a card that both see, under another name",
			native: []crs.Reader{native("A", "1")}, tokens: []crs.Reader{module("A 00 00", "1")},
			want: []string{"native A 1"}},
		{name: "a card that two modules see, and no driver",
			native: []crs.Reader{unusable}, tokens: []crs.Reader{module("A", "1"), module("A 00 00", "1")},
			want: []string{"module A 1"}},
		{name: "a card that one module sees, and another cannot use",
			tokens: []crs.Reader{{Name: "A", Err: crs.ErrNoCNS}, module("A", "1"), {Name: "B", Err: crs.ErrNoCNS}, {Name: "B", Err: crs.ErrNoCNS}},
			want:   []string{"module A 1", "B: " + crs.ErrNoCNS.Error()}},
		{name: "what is chosen",
			native: []crs.Reader{native("A", "1")}, tokens: []crs.Reader{module("A", "1")},
			choice: Choice{"a": Module},
			want:   []string{"module A 1"}},
		{name: "what is chosen for another reader",
			native: []crs.Reader{native("A", "1")}, tokens: []crs.Reader{module("A", "1")},
			choice: Choice{"b": Module},
			want:   []string{"native A 1"}},
		{name: "what is chosen, and no module sees it",
			native: []crs.Reader{native("A", "1")},
			choice: Choice{"a": Module},
			want:   []string{"native A 1"}},
		{name: "what cannot sign",
			native: []crs.Reader{native("A", "1"), native("B", "2")}, tokens: []crs.Reader{module("A", "1"), module("B", "2")},
			failed: map[string]bool{"1": true},
			want:   []string{"module A 1", "native B 2"}},
		{name: "what cannot sign, and no module sees it",
			native: []crs.Reader{native("A", "1")}, failed: map[string]bool{"1": true},
			want: []string{"native A 1"}},
		{name: "a module that cannot use it either",
			native: []crs.Reader{unusable}, tokens: []crs.Reader{{Name: "A", Err: crs.ErrCard}},
			want: []string{"A: " + crs.ErrNoCNS.Error()}},
		{name: "an empty reader, and a token that says that it is in it",
			native: []crs.Reader{{Name: "A"}}, tokens: []crs.Reader{module("A", "1")},
			want: []string{"module A 1"}},
	} {
		if got := names(Join(test.native, test.tokens, test.choice, test.failed)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, not %q", test.name, got, test.want)
		}
	}
}

// Modules are asked about readers only for a card that has no other driver: asking disturbs all.
func TestNeeded(t *testing.T) {
	for _, test := range []struct {
		reader crs.Reader
		choice Choice
		failed map[string]bool
		want   bool
	}{
		{reader: crs.Reader{Name: "A"}},
		{reader: crs.Reader{Name: "A", Reading: true}},
		{reader: native("A", "1")},
		{reader: native("A", "1"), choice: Choice{"A": Module}, want: true},
		{reader: native("A", "1"), choice: Choice{"B": Module}},
		{reader: native("A", "1"), failed: map[string]bool{"1": true}, want: true},
		{reader: native("A", "1"), failed: map[string]bool{"2": true}},
		{reader: crs.Reader{Name: "A", Err: crs.ErrNoCNS}, want: true},
		{reader: crs.Reader{Name: "A", Err: crs.ErrNoCNS}, choice: Choice{"A": Native}},
		{reader: crs.Reader{Name: "A", Err: crs.ErrCardInUse}},
		{reader: crs.Reader{Name: "A", Err: crs.ErrCardStuck}},
	} {
		if got := Needed([]crs.Reader{{Name: "other"}, test.reader}, test.choice, test.failed); got != test.want {
			t.Errorf("%v, choice %v, failed %v: %v", names([]crs.Reader{test.reader}), test.choice, test.failed, got)
		}
	}
}

// source is a Source, and Tokens, that a test changes.
type source struct {
	mu      sync.Mutex
	readers []crs.Reader
	changed changes.Signal
	asked   int // calls of Readers
	needed  []bool
}

func (s *source) Readers() ([]crs.Reader, <-chan struct{}) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	return s.Seen()
}

func (s *source) Seen() ([]crs.Reader, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readers, s.changed.Next()
}

func (s *source) Refresh(needed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needed = append(s.needed, needed)
}

func (s *source) set(readers ...crs.Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = readers
	s.changed.Announce()
}

func (s *source) lastNeeded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.needed) > 0 && s.needed[len(s.needed)-1]
}

// awaitCards waits until the cards are these.
func awaitCards(t *testing.T, c *Cards, want ...string) {
	t.Helper()
	end := time.After(await.Limit)
	for {
		readers, changed := c.Seen()
		if slices.Equal(names(readers), want) {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%q, not %q", names(readers), want)
		}
	}
}

// A card that the native driver cannot sign with is the module's from then on.
func TestCards(t *testing.T) {
	pcsc, tokens := &source{}, &source{}
	c := &Cards{Native: pcsc, Tokens: tokens}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()

	pcsc.set(native("A", "1"))
	awaitCards(t, c, "native A 1")
	tokens.set(module("A", "1"), module("T", "2"))
	awaitCards(t, c, "native A 1", "module T 2")
	if tokens.lastNeeded() {
		t.Error("modules are needed for a card with a driver")
	}
	card := pcsc.readers[0].Card.Info()
	c.CannotSign(card)
	if !tokens.lastNeeded() {
		t.Error("modules are not needed for a card that cannot sign")
	}
	awaitCards(t, c, "module A 1", "module T 2")
	tokens.set()
	awaitCards(t, c, "native A 1")

	if tokens.asked != 0 {
		t.Errorf("whoever only shows cards had the modules asked, %d times", tokens.asked)
	}
	c.Readers()
	if tokens.asked != 1 {
		t.Error("whoever looks for a card had the modules not asked")
	}
	cancel()
	<-done
}

// A change between a look and the beginning of Run is not missed.
func TestChangeBeforeRun(t *testing.T) {
	pcsc, tokens := &source{}, &source{}
	c := &Cards{Native: pcsc, Tokens: tokens}
	_, changed := c.Seen()
	pcsc.set(native("A", "1"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	select {
	case <-changed:
	case <-time.After(await.Limit):
		t.Error("a change before Run was missed")
	}
	cancel()
	<-done
}
