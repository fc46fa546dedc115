// Package pkcs11 drives tokens and cards through the PKCS#11 modules of their makers, each in a
// process of its own. It promises no compatibility to those who import it. modules.go says which
// are used, worker.go and host.go how they are kept from doing harm, follow.go when they are asked,
// choose.go which certificate logs in, card.go what a token does as a crs.Card.
package pkcs11

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/changes"
	"github.com/crs-bridge/crs/internal/outside"
	"github.com/crs-bridge/crs/internal/tries"
)

// Tokens are the tokens that this computer's modules show. Set its fields before the first use; all
// but Command have a useful zero value.
type Tokens struct {
	// Command starts a worker, with the path of a module behind it: the name under which this
	// program is called, and the arguments that lead to Serve.
	Command  []string
	Tries    *tries.Book
	Log      *slog.Logger
	Timeouts Timeouts
	Find     func() []Module // nil: the function Find

	// Reset resets the card in a reader of PC/SC, if set. It is called after a module sent a PIN to a
	// card: C_Logout need not tell the card, and OpenSC's does not.
	Reset func(reader string)

	mu       sync.Mutex
	modules  []*driven
	unused   []Module
	changed  changes.Signal
	needed   bool      // there is a card in a reader that no other driver can use
	looked   time.Time // when Readers was last called
	scanned  time.Time
	own      tries.Book    // if there is no other
	wake     chan struct{} // asks Run for a scan; nil while it does not run
	starting sync.Mutex
}

// driven is a module that is used.
type driven struct {
	Module
	host  *host
	stamp string        // of the file
	kick  chan struct{} // asks follow for a list
	stop  context.CancelFunc

	// Guarded by Tokens.mu.
	tokens  []token
	readers []crs.Reader
	keyless map[string]bool // DER of the certificates whose keys are missing
	reading bool            // a card was inserted, and the module has not answered yet
	err     error
}

var discard = slog.New(slog.DiscardHandler)

func (t *Tokens) log() *slog.Logger { return cmp.Or(t.Log, discard) }

func (t *Tokens) tries() *tries.Book {
	if t.Tries == nil {
		return &t.own
	}
	return t.Tries
}

// Readers implements bridge.Cards. Its readers are tokens. Its caller is looking for a card, so it
// also has the modules asked soon.
func (t *Tokens) Readers() ([]crs.Reader, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	soon := now.Sub(t.looked) > time.Second
	t.looked = now
	if soon {
		t.ask(func(m *driven) bool { return !m.Module.readers })
	}
	if now.Sub(t.scanned) > scanEvery {
		t.scanSoon()
	}
	return t.seen()
}

// Seen is Readers without asking any module: as of when they were last asked.
func (t *Tokens) Seen() ([]crs.Reader, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen()
}

// seen is Seen; t.mu must be held.
func (t *Tokens) seen() ([]crs.Reader, <-chan struct{}) {
	var all []crs.Reader
	for _, m := range t.modules {
		all = append(all, m.readers...)
		if m.reading {
			all = append(all, crs.Reader{Name: m.Name, Reading: true})
		}
	}
	slices.SortStableFunc(all, func(a, b crs.Reader) int { return cmp.Compare(a.Name, b.Name) })
	return all, t.changed.Next()
}

// Modules returns the modules on this computer, with the reasons for those that are not used.
func (t *Tokens) Modules() []Module {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.unused)
	for _, m := range t.modules {
		module := m.Module
		for _, line := range m.host.stderr.text() {
			module.Output = append(module.Output, outside.Text(line))
		}
		if m.err != nil {
			module.Unused = &Unused{Failed, m.err.Error()}
			if f := new(failure); errors.As(m.err, &f) {
				module.Unused = f.unused()
			}
		}
		all = append(all, module)
	}
	slices.SortStableFunc(all, func(a, b Module) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Refresh says that something about the readers of PC/SC changed. Modules that drive cards in
// them are asked only if such a card is needed: asking costs dozens of commands to each card.
func (t *Tokens) Refresh(needed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.needed = needed
	t.ask(func(m *driven) bool {
		if m.Module.readers && needed && m.tokens == nil && m.err == nil && !m.reading {
			m.reading = true
			t.changed.Announce()
		}
		return m.Module.readers
	})
	if needed {
		t.scanSoon()
	}
}

// ask has modules listed. t.mu must be held.
func (t *Tokens) ask(which func(*driven) bool) {
	for _, m := range t.modules {
		if which(m) {
			select {
			case m.kick <- struct{}{}:
			default:
			}
		}
	}
}

func (t *Tokens) scanSoon() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// take makes cards of the tokens of a module. A token that was already there keeps its card. t.mu
// must be held.
func (t *Tokens) take(m *driven) {
	before := m.readers
	m.readers = nil
	flagged := false
	for i, tok := range m.tokens {
		if len(tok.Certificates) == 0 {
			continue // not for a person
		}
		if tok.Reader != "" && slices.ContainsFunc(m.tokens[:i], func(other token) bool { return other.Reader == tok.Reader }) {
			tok.Reader = fmt.Sprintf("%s (%d)", tok.Reader, tok.Slot) // a reader is chosen by its name
		}
		best, err := choose(tok, func(c certificate) bool { return m.keyless[string(c.DER)] }, time.Now())
		if err != nil {
			m.readers = append(m.readers, crs.Reader{Name: cmp.Or(tok.Reader, m.Name), Err: err})
			continue
		}
		c := &card{tokens: t, host: m.host, module: m.Module, token: tok, chosen: best}
		for _, r := range before {
			if old, ok := r.Card.(*card); ok && old.token.Slot == tok.Slot && old.token.same(tok) && string(old.chosen.DER) == string(best.DER) {
				c = old
				break
			}
		}
		flagged = c.flags.Swap(uint64(tok.Flags)) != uint64(tok.Flags) || flagged
		m.readers = append(m.readers, crs.Reader{Name: c.Info().Reader, Card: c})
	}
	for _, r := range before {
		if c, ok := r.Card.(*card); ok && !slices.ContainsFunc(m.readers, func(now crs.Reader) bool { return now.Card == r.Card }) {
			c.removed.Store(true)
		}
	}
	if flagged || !slices.EqualFunc(before, m.readers, sameReader) {
		t.changed.Announce()
	}
}

func sameReader(a, b crs.Reader) bool { return a.Name == b.Name && a.Card == b.Card }

// clear drops the tokens of a module. t.mu must be held.
func (t *Tokens) clear(m *driven) {
	m.tokens = nil
	if len(m.readers) > 0 {
		t.take(m)
	}
}

// keyless notes that the key of a card's certificate is missing, so that another one is chosen
// while the token stays in.
func (t *Tokens) keyless(c *card) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.modules {
		if m.host == c.host {
			if m.keyless == nil {
				m.keyless = map[string]bool{}
			}
			m.keyless[string(c.chosen.DER)] = true
			t.take(m)
		}
	}
}

// List looks once, for short-lived programs: at all tokens, and if needed also at those in readers
// of PC/SC. Close ends the workers that it started.
func (t *Tokens) List(ctx context.Context, needed bool) []crs.Reader {
	t.mu.Lock()
	t.needed = needed
	t.mu.Unlock()
	t.scan()
	var asked sync.WaitGroup
	for _, m := range t.used() {
		if t.isAsked(m) {
			asked.Go(func() { t.list(ctx, m) })
		}
	}
	asked.Wait()
	readers, _ := t.Seen()
	return readers
}

// Check loads the modules that List did not ask, so that Modules knows whether they load. It does
// not initialise them: some then send dozens of commands to the cards in all readers.
func (t *Tokens) Check(ctx context.Context) {
	var asked sync.WaitGroup
	for _, m := range t.used() {
		if !t.isAsked(m) {
			asked.Go(func() {
				_, err := m.host.call(ctx, request{Do: doCheck}, nil, nil)
				t.mu.Lock()
				defer t.mu.Unlock()
				m.err = err
			})
		}
	}
	asked.Wait()
}

// Close ends the workers.
func (t *Tokens) Close() {
	for _, m := range t.used() {
		m.host.end()
	}
}

func (t *Tokens) used() []*driven {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.modules)
}
