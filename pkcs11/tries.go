package pkcs11

import "github.com/crs-bridge/crs"

// Tries keeps an upper bound of the tries that a PIN has left, as those of the native driver:
// a card that both drive has one bound.
type Tries interface {
	// Load returns crs.UnknownPINStatus when nothing is known.
	Load(cardID string) (crs.PINStatus, error)
	// Store keeps the status; crs.UnknownPINStatus forgets the card.
	Store(cardID string, s crs.PINStatus) error
}

const fullTries = 3 // of a token whose module tells nothing; most have more

// spendTry returns the status while a PIN is on its way: the try counts as spent until the token
// says otherwise.
func spendTry(s crs.PINStatus) crs.PINStatus {
	left := s.Retries
	if left < 0 {
		left = fullTries
	}
	return crs.PINStatus{Retries: max(left-1, 0), Doubtful: true, Blocked: s.Blocked}
}

// pinStatus returns what is known of a PIN. What cannot be read is taken for the worst that still
// allows a login.
func (t *Tokens) pinStatus(id string) crs.PINStatus {
	kept := crs.UnknownPINStatus
	if t.Tries != nil {
		var err error
		if kept, err = t.Tries.Load(id); err != nil {
			t.log().Warn("retry counter not read", "error", err)
			kept = crs.PINStatus{Retries: 1, Doubtful: true}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if unsaved, ok := t.unsaved[id]; ok && (kept.Retries < 0 || unsaved.Retries <= kept.Retries) {
		return unsaved
	}
	return kept
}

// keepPINStatus stores what is known of a PIN; what cannot be stored is kept for the life of the
// process.
func (t *Tokens) keepPINStatus(id string, status crs.PINStatus) {
	stored := false
	if t.Tries != nil {
		err := t.Tries.Store(id, status)
		if err != nil {
			t.log().Warn("retry counter not kept", "error", err)
		}
		stored = err == nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if stored || status == crs.UnknownPINStatus {
		delete(t.unsaved, id)
		return
	}
	if t.unsaved == nil {
		t.unsaved = make(map[string]crs.PINStatus)
	}
	t.unsaved[id] = status
}
