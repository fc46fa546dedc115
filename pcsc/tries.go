package pcsc

import "github.com/crs-bridge/crs"

// Tries keeps an upper bound of the tries that a PIN has left, beyond the life of a process
// and of an insertion, because a card tells it only after a wrong PIN (docs/card-safety.md, rule 4).
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

// pinStatus returns what is known of a PIN. What cannot be read is taken for the worst that
// still allows a login.
func (d *Driver) pinStatus(cardID string) crs.PINStatus {
	kept := crs.UnknownPINStatus
	if d.Tries != nil {
		var err error
		if kept, err = d.Tries.Load(cardID); err != nil {
			d.log().Warn("retry counter not read", "error", err)
			kept = crs.PINStatus{Retries: 1, Doubtful: true}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if unsaved, ok := d.unsaved[cardID]; ok && (kept.Retries < 0 || unsaved.Retries <= kept.Retries) {
		return unsaved
	}
	return kept
}

// keepPINStatus stores what is known of a PIN. A full disk must not cost the user a login, nor
// hide the last try: what cannot be stored is kept for the life of the process.
func (d *Driver) keepPINStatus(cardID string, status crs.PINStatus) {
	stored := false
	if d.Tries != nil {
		err := d.Tries.Store(cardID, status)
		if err != nil {
			d.log().Warn("retry counter not kept", "error", err)
		}
		stored = err == nil
	}
	if d.TriesChanged != nil {
		defer d.TriesChanged()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if stored || status == crs.UnknownPINStatus {
		delete(d.unsaved, cardID)
		return
	}
	if d.unsaved == nil {
		d.unsaved = make(map[string]crs.PINStatus)
	}
	d.unsaved[cardID] = status
}
