package pcsc

import (
	"sync"

	"github.com/crs-bridge/crs"
)

// Tries keeps an upper bound of the tries that a PIN has left, beyond the life of a process
// and of an insertion, because a card tells it only after a wrong PIN (card-safety rule 4).
// Only the holder of the card's PC/SC transaction writes the status of that card.
type Tries interface {
	// Load returns crs.UnknownPINStatus when nothing is known.
	Load(cardID string) (crs.PINStatus, error)
	// Store keeps the status; crs.UnknownPINStatus forgets the card.
	Store(cardID string, s crs.PINStatus) error
}

// A CNS blocks its PIN after three wrong ones; from here the bound counts down on cards that
// do not tell.
const fullTries = 3

// spend returns the status while a VERIFY is on its way: the try counts as spent until the
// card says otherwise, so that a crash between command and answer cannot hide it.
func spend(s crs.PINStatus) crs.PINStatus {
	left := s.Retries
	if left < 0 {
		left = fullTries
	}
	return crs.PINStatus{Retries: max(left-1, 0), Doubtful: true, Blocked: s.Blocked}
}

// memoryTries keeps the bounds for the life of the process, when the Driver has no Tries.
type memoryTries struct {
	mu sync.Mutex
	m  map[string]crs.PINStatus
}

func (t *memoryTries) Load(cardID string) (crs.PINStatus, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.m[cardID]; ok {
		return s, nil
	}
	return crs.UnknownPINStatus, nil
}

func (t *memoryTries) Store(cardID string, s crs.PINStatus) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[string]crs.PINStatus)
	}
	t.m[cardID] = s
	return nil
}
