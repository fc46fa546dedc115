// Package tries counts the tries that PINs have left, for cards and tokens alike
// (docs/card-safety.md, rule 4): if a card does not report them, they get an upper bound.
package tries

import (
	"log/slog"
	"sync"

	"github.com/crs-bridge/crs"
)

// A Store keeps the bounds beyond the life of a process and of an insertion, because a card reports
// the number only after a wrong PIN. Only a caller with exclusive access to the card writes its
// status.
type Store interface {
	// Load returns crs.UnknownPINStatus when nothing is known.
	Load(cardID string) (crs.PINStatus, error)
	// Store keeps the status; crs.UnknownPINStatus forgets the card.
	Store(cardID string, s crs.PINStatus) error
}

// Full is where the bound starts for a card that reports no number: a CNS blocks its PIN after
// three wrong ones, most tokens later.
const Full = 3

// Spend returns the status while a PIN is on its way: the try counts as spent until the card says
// otherwise, so that a crash between command and answer cannot hide it.
func Spend(s crs.PINStatus) crs.PINStatus {
	left := s.Retries
	if left < 0 {
		left = Full
	}
	return crs.PINStatus{Retries: max(left-1, 0), Doubtful: true, Blocked: s.Blocked}
}

// Book is what is known about PINs. A card that two drivers handle has one bound if they share the
// book. The zero value keeps bounds in memory and does not log; set the fields before the first
// use.
type Book struct {
	Store   Store
	Log     *slog.Logger
	Changed func() // if set, called after each Keep

	mu      sync.Mutex
	unsaved map[string]crs.PINStatus // what Store could not keep, or all without a Store
}

// Status returns what is known about a PIN. If that cannot be read, it is the worst that still
// allows a login.
func (b *Book) Status(cardID string) crs.PINStatus {
	kept := crs.UnknownPINStatus
	if b.Store != nil {
		var err error
		if kept, err = b.Store.Load(cardID); err != nil {
			b.warn("retry counter not read", err)
			kept = crs.PINStatus{Retries: 1, Doubtful: true}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if unsaved, ok := b.unsaved[cardID]; ok && (kept.Retries < 0 || unsaved.Retries <= kept.Retries) {
		return unsaved
	}
	return kept
}

// Keep stores what is known about a PIN. A full disk must neither cost the user a login nor hide
// the last try: what cannot be stored is kept for the life of the process.
func (b *Book) Keep(cardID string, status crs.PINStatus) {
	stored := false
	if b.Store != nil {
		err := b.Store.Store(cardID, status)
		if err != nil {
			b.warn("retry counter not kept", err)
		}
		stored = err == nil
	}
	if b.Changed != nil {
		defer b.Changed()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if stored || status == crs.UnknownPINStatus {
		delete(b.unsaved, cardID)
		return
	}
	if b.unsaved == nil {
		b.unsaved = make(map[string]crs.PINStatus)
	}
	b.unsaved[cardID] = status
}

func (b *Book) warn(what string, err error) {
	if b.Log != nil {
		b.Log.Warn(what, "error", err)
	}
}
