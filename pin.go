package crs

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// PIN is a PIN or PUK in memory. It never prints, logs or marshals itself, and it can be sent
// to a card once: a second VERIFY needs a second typing.
//
// It is always used as a pointer. The zero value is an empty PIN that no format accepts.
type PIN struct {
	mu     sync.Mutex
	digits []byte
	spent  bool
}

// NewPIN takes a PIN over from b, which it zeroes.
func NewPIN(b []byte) *PIN {
	p := &PIN{digits: make([]byte, len(b))}
	copy(p.digits, b)
	clear(b)
	return p
}

// Len returns the number of bytes, 0 after Wipe.
func (p *PIN) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.digits)
}

// Trim drops what a paste or a trailing blank added to a PIN: white space around one that has only
// digits; one line end, and nothing else, after any other, where a blank may be part of the PIN.
// What stands between the digits stays, for Check to refuse.
func (p *PIN) Trim(f PINFormat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := bytes.TrimSuffix(bytes.TrimSuffix(p.digits, []byte("\n")), []byte("\r"))
	if f.DigitsOnly {
		kept = bytes.TrimSpace(p.digits)
	}
	n := copy(p.digits, kept)
	clear(p.digits[n:])
	p.digits = p.digits[:n]
}

// Check returns ErrPINFormat when no card of format f could hold this PIN. Call it
// before anything is sent: a PIN of the wrong form must not cost a try.
func (p *PIN) Check(f PINFormat) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.digits) < f.Min || len(p.digits) > f.Max || len(p.digits) == 0 {
		return ErrPINFormat
	}
	if f.DigitsOnly {
		for _, b := range p.digits {
			if b < '0' || b > '9' {
				return ErrPINFormat
			}
		}
	}
	return nil
}

// Equal reports whether two PINs that were typed are the same. Neither is spent by it.
func (p *PIN) Equal(q *PIN) bool {
	if p == q {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	return subtle.ConstantTimeCompare(p.digits, q.digits) == 1
}

// Spend returns the bytes of the PIN for the one command that may carry them. A second call
// returns ErrPINSpent. The slice is the PIN's own: do not keep it. Wipe zeroes it.
func (p *PIN) Spend() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spent || len(p.digits) == 0 {
		return nil, ErrPINSpent
	}
	p.spent = true
	return p.digits, nil
}

// Refund allows one more Spend. Call it only when the card said that it compared
// nothing, because it has no PIN under the reference that was asked (6A88, 6A86, 6B00).
func (p *PIN) Refund() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent = false
}

// Wipe zeroes the PIN. It may be called more than once, and on nil.
func (p *PIN) Wipe() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.digits)
	p.digits = nil
	p.spent = true
}

const hiddenPIN = "PIN(hidden)"

var errPINMarshal = errors.New("a PIN is never marshalled")

// String hides the PIN, as do the methods below it.
func (p *PIN) String() string { return hiddenPIN }

// GoString implements fmt.GoStringer.
func (p *PIN) GoString() string { return hiddenPIN }

// Format implements fmt.Formatter, for the verbs that ignore String.
func (p *PIN) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenPIN) }

// LogValue implements slog.LogValuer.
func (p *PIN) LogValue() slog.Value { return slog.StringValue(hiddenPIN) }

// MarshalText always fails: encoding/json and its like refuse a PIN.
func (p *PIN) MarshalText() ([]byte, error) { return nil, errPINMarshal }

// MarshalJSON always fails.
func (p *PIN) MarshalJSON() ([]byte, error) { return nil, errPINMarshal }

// GobEncode always fails.
func (p *PIN) GobEncode() ([]byte, error) { return nil, errPINMarshal }

// PINFormat is what a card accepts as a PIN; lengths in bytes.
type PINFormat struct {
	Min, Max   int
	DigitsOnly bool
}
