// Package pcsc drives the cards that this software knows, over PC/SC and without middleware. It
// promises no compatibility to those who import it.
//
// A Monitor watches the readers; a Driver identifies the card in a reader and returns it as a
// crs.Card. Everything that reaches a card passes through session.go.
package pcsc

// A Reader holds at most one card: a reader of PC/SC, or a card in memory.
type Reader interface {
	// Name is the name of the reader.
	Name() string
	// Connect powers the card up and shares it with other programs. It returns
	// crs.ErrCardRemoved when it is empty, crs.ErrCardMute when no chip answers and
	// crs.ErrCardInUse when another program holds the card for itself.
	Connect() (Conn, error)
}

// Conn is one connection to a card. Its calls block until the card answers, which may be
// never: see withDeadline. They are not safe for concurrent use.
type Conn interface {
	// ATR returns the answer to reset.
	ATR() []byte
	// Protocol returns 0 or 1, for T=0 or T=1.
	Protocol() int
	// MaxAPDU returns the largest data field that the reader takes in one command, 0 if the reader
	// does not say.
	MaxAPDU() int
	// Begin starts a transaction: until End, no other program reaches the card. It returns
	// crs.ErrCardReset when the card was reset since Connect or the last End: what was learned
	// about it no longer holds.
	Begin() error
	// Transmit sends a command APDU and returns the response APDU, at least two bytes. Its
	// errors include crs.ErrCardRemoved and crs.ErrCardReset.
	Transmit(command []byte) ([]byte, error)
	// End ends the transaction, and resets the card if reset is true.
	End(reset bool) error
	// Close gives the card back as it is. It ends a transaction that is still open, with a reset.
	Close() error
}
