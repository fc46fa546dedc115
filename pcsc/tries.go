package pcsc

import "github.com/crs-bridge/crs"

// Tries keeps an upper bound of the tries that a PIN has left, beyond the life of a process
// and of an insertion, because a card tells it only after a wrong PIN. Only the holder of the
// card's PC/SC transaction writes the status of that card.
type Tries interface {
	// Load returns crs.UnknownPINStatus when nothing is known.
	Load(cardID string) (crs.PINStatus, error)
	// Store keeps the status; crs.UnknownPINStatus forgets the card.
	Store(cardID string, s crs.PINStatus) error
}
