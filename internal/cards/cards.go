// Package cards joins the cards that the native driver finds in readers with the tokens that
// modules show. A card that both see appears once.
package cards

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/changes"
)

// A Source knows readers, as bridge.Cards does.
type Source interface {
	Readers() (readers []crs.Reader, changed <-chan struct{})
}

// Tokens are the modules' tokens. Seen is Readers without asking the modules. Refresh says that
// something changed in a reader, and whether there is a card that the modules are needed for.
type Tokens interface {
	Source
	Seen() (readers []crs.Reader, changed <-chan struct{})
	Refresh(needed bool)
}

// Driver is who drives a card.
type Driver string

// Drivers, as the configuration names them.
const (
	Native Driver = "native"
	Module Driver = "module"
)

// Choice says which driver comes first, for readers whose name contains a word, in upper or lower
// case. By default it is the native driver, of which we know what it sends.
type Choice map[string]Driver

// For returns the choice for a reader, "" for none.
func (c Choice) For(reader string) Driver {
	for _, word := range slices.Sorted(maps.Keys(c)) {
		if strings.Contains(strings.ToLower(reader), strings.ToLower(word)) {
			return c[word]
		}
	}
	return ""
}

// Cards implements bridge.Cards over the native driver and the modules. It holds nothing on a card.
type Cards struct {
	Native Source
	Tokens Tokens
	Choice Choice

	mu      sync.Mutex
	changed changes.Signal
	failed  map[string]bool // id of cards that the native driver cannot sign with
}

// Readers returns each card once. It is for callers that need a card: it has the modules asked
// soon.
func (c *Cards) Readers() ([]crs.Reader, <-chan struct{}) { return c.join(c.Tokens.Readers) }

// Seen is Readers without asking the modules, for callers that only show what is there.
func (c *Cards) Seen() ([]crs.Reader, <-chan struct{}) { return c.join(c.Tokens.Seen) }

func (c *Cards) join(look func() ([]crs.Reader, <-chan struct{})) ([]crs.Reader, <-chan struct{}) {
	changed := c.changed.Next() // before looking, so that a change meanwhile closes it
	c.mu.Lock()
	failed := c.failed
	c.mu.Unlock()
	native, _ := c.Native.Readers()
	tokens, _ := look()
	return Join(native, tokens, c.Choice, failed), changed
}

// Run passes changes on until the context ends. It announces once it has begun to watch, so that
// callers who looked before miss no change.
func (c *Cards) Run(ctx context.Context) {
	for {
		native, nativeChanged := c.Native.Readers()
		_, tokensChanged := c.Tokens.Seen()
		c.Tokens.Refresh(c.needed(native))
		c.Announce()
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return
			case <-nativeChanged:
				again = true
			case <-tokensChanged:
				_, tokensChanged = c.Tokens.Seen()
				c.Announce()
			}
		}
	}
}

// Announce wakes those who wait for a change.
func (c *Cards) Announce() { c.changed.Announce() }

// CannotSign notes that the native driver cannot sign with a card: if a module can, it is used from
// now on.
func (c *Cards) CannotSign(card crs.Info) {
	c.mu.Lock()
	failed := maps.Clone(c.failed) // Readers looks at the old one without the lock
	if failed == nil {
		failed = map[string]bool{}
	}
	failed[card.ID] = true
	c.failed = failed
	c.mu.Unlock()
	native, _ := c.Native.Readers()
	c.Tokens.Refresh(c.needed(native))
	c.Announce()
}

func (c *Cards) needed(native []crs.Reader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Needed(native, c.Choice, c.failed)
}

// Needed reports whether a reader holds a card that only a module may be able to use. Otherwise the
// modules are left alone, because asking them disturbs all cards.
func Needed(native []crs.Reader, choice Choice, failed map[string]bool) bool {
	return slices.ContainsFunc(native, func(r crs.Reader) bool {
		switch {
		case r.Card != nil:
			return choice.For(r.Name) == Module || failed[r.Card.Info().ID]
		case r.Err == nil || choice.For(r.Name) == Native:
			return false
		}
		return crs.CodeOf(r.Err) == crs.ErrCardUnusable
	})
}

// Join returns the readers of both, and each card once: the native driver's, unless the choice or
// a failure before says otherwise. Two cards are one if they have the same identity. A reader in
// which only a module finds something shows that, and not the native driver's error.
func Join(native, tokens []crs.Reader, choice Choice, failed map[string]bool) []crs.Reader {
	var all []crs.Reader
	for _, t := range tokens {
		if t.Card == nil || !slices.ContainsFunc(native, func(n crs.Reader) bool { return nativeWins(n, t, choice, failed) }) {
			all = append(all, t)
		}
	}
	// Only a card that a module can use replaces what the native driver says, not the module's error.
	usable := func(name string, id string) bool {
		return slices.ContainsFunc(all, func(r crs.Reader) bool {
			return r.Card != nil && (r.Name == name || id != "" && r.Card.Info().ID == id)
		})
	}
	var joined []crs.Reader
	for _, n := range native {
		id := ""
		if n.Card != nil {
			id = n.Card.Info().ID
		}
		if n.Card == nil && !usable(n.Name, "") || n.Card != nil && !usable("", id) {
			joined = append(joined, n)
		}
	}
	for _, t := range all {
		seen := func(r crs.Reader) bool { return r.Card != nil && r.Card.Info().ID == t.Card.Info().ID } // by another module
		if t.Card != nil && !slices.ContainsFunc(joined, seen) {
			joined = append(joined, t)
		}
	}
	for _, t := range all {
		if t.Card == nil && !slices.ContainsFunc(joined, func(r crs.Reader) bool { return r.Name == t.Name }) {
			joined = append(joined, t)
		}
	}
	slices.SortStableFunc(joined, func(a, b crs.Reader) int { return cmp.Compare(a.Name, b.Name) })
	return joined
}

// nativeWins reports whether the native driver's card stands for the token, because they are the same.
func nativeWins(native, token crs.Reader, choice Choice, failed map[string]bool) bool {
	if native.Card == nil || native.Card.Info().ID != token.Card.Info().ID {
		return false
	}
	return choice.For(native.Name) != Module && !failed[native.Card.Info().ID]
}
