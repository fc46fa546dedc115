package virtualcard

import (
	"errors"
	"slices"
	"sync"

	"github.com/crs-bridge/crs"
)

// Reader is a card reader in memory. It behaves as a reader of PC/SC: connections share the
// card, a transaction keeps the others out, a reset is reported to the others.
type Reader struct {
	name    string
	maxAPDU int

	mu      sync.Mutex
	changed *sync.Cond
	card    *Card // nil: empty
	refusal error
	epoch   int   // counts insertions
	resets  int   // counts resets of the card
	owner   *Conn // who has the transaction
}

// NewReader returns a reader with a card in it, or an empty one if the card is nil. maxAPDU is
// the largest data field it takes in one command; 0 is any, and the reader does not say.
func NewReader(name string, maxAPDU int, card *Card) *Reader {
	r := &Reader{name: name, maxAPDU: maxAPDU}
	r.changed = sync.NewCond(&r.mu)
	if card != nil {
		r.Insert(card)
	}
	return r
}

// Name is the name of the reader.
func (r *Reader) Name() string { return r.name }

// Insert puts a card in. If there was one, it is taken out first.
func (r *Reader) Insert(card *Card) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove()
	card.insert()
	r.card = card
	r.epoch++
}

// Remove takes the card out. It does not wait for a command that is on its way: its answer is
// lost.
func (r *Reader) Remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove()
}

func (r *Reader) remove() {
	if r.card != nil {
		r.card.Reset()
	}
	r.card = nil
	r.changed.Broadcast()
}

// Card returns the card in the reader, nil if it is empty.
func (r *Reader) Card() *Card {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.card
}

// Refuse makes Connect return err, such as crs.ErrCardMute or crs.ErrCardInUse; nil ends it.
func (r *Reader) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = err
}

// Connect shares the card. It returns crs.ErrCardRemoved when the reader is empty.
func (r *Reader) Connect() (*Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal != nil {
		return nil, r.refusal
	}
	if r.card == nil {
		return nil, crs.ErrCardRemoved
	}
	return &Conn{reader: r, card: r.card, epoch: r.epoch, resets: r.resets}, nil
}

// Conn is a connection to the card in a reader.
type Conn struct {
	reader *Reader
	card   *Card
	epoch  int // insertion that it belongs to
	resets int // resets that it knows of
	closed bool
}

var errClosed = errors.New("the connection is closed")

// ATR returns the answer to reset.
func (c *Conn) ATR() []byte { return slices.Clone(c.card.ATR()) }

// Protocol returns 0 or 1, for T=0 or T=1.
func (c *Conn) Protocol() int { return c.card.Protocol() }

// MaxAPDU returns the largest data field that the reader takes in one command, 0 if it does not
// say.
func (c *Conn) MaxAPDU() int { return c.reader.maxAPDU }

// usable returns why the connection cannot be used, if so. A reset is reported once.
func (c *Conn) usable() error {
	r := c.reader
	switch {
	case c.closed:
		return errClosed
	case r.card == nil || r.epoch != c.epoch:
		return crs.ErrCardRemoved
	case r.resets != c.resets:
		c.resets = r.resets
		return crs.ErrCardReset
	}
	return nil
}

// turn waits until no other connection has a transaction. The caller holds the lock.
func (c *Conn) turn() error {
	r := c.reader
	for r.owner != nil && r.owner != c && r.card != nil && r.epoch == c.epoch {
		r.changed.Wait()
	}
	return c.usable()
}

// Begin starts a transaction, once that of another connection has ended. It returns
// crs.ErrCardReset when the card was reset since Connect or End; the next Begin succeeds.
func (c *Conn) Begin() error {
	r := c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := c.turn(); err != nil {
		return err
	}
	r.owner = c
	return nil
}

// Transmit sends a command APDU, once no other connection has a transaction.
func (c *Conn) Transmit(command []byte) ([]byte, error) {
	r := c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := c.turn(); err != nil {
		return nil, err
	}
	if cmd, ok := parseCommand(command); ok && r.maxAPDU != 0 && (len(cmd.data) > r.maxAPDU || cmd.le > r.maxAPDU+1) {
		return nil, errors.New("the command is too long for the reader")
	}
	// The lock is not held while the card works: it may hang, and it may be pulled.
	r.mu.Unlock()
	response, err := c.card.Transmit(command)
	r.mu.Lock()
	switch {
	case errors.Is(err, crs.ErrCardRemoved) && r.epoch == c.epoch:
		r.remove()
		return nil, err
	case err != nil:
		return nil, err
	case r.card == nil || r.epoch != c.epoch:
		return nil, crs.ErrCardRemoved
	}
	return response, nil
}

// End ends the transaction, and resets the card if reset is true: to other connections, their
// next call says so.
func (c *Conn) End(reset bool) error {
	r := c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.end(reset)
}

func (c *Conn) end(reset bool) error {
	r := c.reader
	if r.owner != c {
		return errors.New("no transaction to end")
	}
	r.owner = nil
	r.changed.Broadcast()
	if r.card == nil || r.epoch != c.epoch {
		return crs.ErrCardRemoved
	}
	if reset {
		r.card.Reset()
		r.resets++
		c.resets = r.resets
	}
	return nil
}

// Close gives the card back. It ends a transaction that is still open, with a reset.
func (c *Conn) Close() error {
	r := c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if r.owner == c {
		c.end(true)
	}
	c.closed = true
	return nil
}
