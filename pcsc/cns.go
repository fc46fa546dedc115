package pcsc

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

// cns is the authentication key of a CNS, for one insertion of the card.
type cns struct {
	driver *Driver
	source Reader
	layout layout

	// What the card proved when it was identified.
	certificate *x509.Certificate
	keySize     int // bytes
	cardID      string
	holder      string
	contactless bool
	pinPad      bool // the reader has keys to type the PIN on

	// What was learned from the card since; only the goroutine with the reader's turn uses it.
	pinRefs  []byte       // references to try; one when it is known
	refKnown bool         // the first of them is that of the layout row, or the card confirmed a PIN under it
	methods  []signMethod // methods to try; nil: not chosen yet
	extended bool         // reader and card take extended commands

	removed atomic.Bool
}

var (
	_ card                   = (*cns)(nil)
	_ crs.PINManager         = (*cns)(nil)
	_ crs.PersonalDataReader = (*cns)(nil)
)

// cnsPIN is the PIN of every CNS (OpenSC, pkcs15-itacns.c: 5 to 8 digits, 8 stored).
var cnsPIN = crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}

const pinBlock = 8 // bytes of a PIN in a command, padded with FF

func (c *cns) Info() crs.Info {
	return crs.Info{
		Reader:      c.source.Name(),
		Kind:        crs.KindCNS,
		Model:       c.layout.name,
		Holder:      c.holder,
		ID:          c.cardID,
		NotBefore:   c.certificate.NotBefore,
		NotAfter:    c.certificate.NotAfter,
		PINFormat:   cnsPIN,
		PUKFormat:   cnsPUK,
		PINPad:      c.pinPad,
		Contactless: c.contactless,
		TwoPartPIN:  crs.IssuedInTwoParts(c.certificate),
	}
}

func (c *cns) remove() { c.removed.Store(true) }

// Certificate was read when the card was identified and is kept while the card stays in.
func (c *cns) Certificate(context.Context) (*x509.Certificate, error) {
	if c.removed.Load() {
		return nil, crs.ErrCardRemoved
	}
	return c.certificate, nil
}

// PINStatus asks the card nothing: there is no harmless question (docs/card-safety.md, rule 4).
func (c *cns) PINStatus(context.Context) (crs.PINStatus, error) {
	return c.driver.tries().Status(c.cardID), nil
}

// Sign is VERIFY and PSO in one transaction that a reset ends.
func (c *cns) Sign(ctx context.Context, pin *crs.PIN, statement crs.Statement) (crs.Signature, error) {
	defer pin.Wipe()
	digest, err := statement.Digest(crs.RS256)
	if err != nil {
		return crs.Signature{}, err
	}
	sig := crs.Signature{Algorithm: crs.RS256, Certificate: c.certificate}
	err = c.withPIN(ctx, pin, func(s *session) (err error) {
		sig.Bytes, err = c.signDigest(s, digest)
		return err
	})
	if err != nil {
		return crs.Signature{}, err
	}
	if err := sig.Verify(statement); err != nil {
		return crs.Signature{}, fmt.Errorf("%w: %w", crs.ErrCard, err)
	}
	return sig, nil
}

// PersonalData reads EF_DatiPersonali whole, with its padding. One that was never written is absent.
func (c *cns) PersonalData(ctx context.Context) ([]byte, error) {
	const usual, most = 400, 4 << 10
	var b []byte
	err := c.withCard(ctx, txn{}, func(s *session) error {
		size, err := s.selectSize(pathPersonalData)
		if errors.Is(err, swNotFound) {
			return crs.ErrNoPersonalData
		}
		if err != nil {
			return err
		}
		if size < 0 {
			size = usual
		}
		if size > most {
			return fmt.Errorf("%w: EF_DatiPersonali of %d bytes", crs.ErrCard, size)
		}
		if b, err = s.readTo(nil, size); err != nil {
			return err
		}
		return s.selectPath(nil)
	})
	if err != nil {
		return nil, err
	}
	if _, err := crs.ParsePersonalData(b); errors.Is(err, crs.ErrNoPersonalData) {
		return nil, err
	}
	return b, nil
}

// withPIN verifies the PIN and runs f while it holds, in one transaction ended by a reset. A PIN
// typed on the reader is believed once f has worked with it.
func (c *cns) withPIN(ctx context.Context, pin *crs.PIN, f func(*session) error) error {
	if pin == nil && !c.pinPad {
		return fmt.Errorf("%w: the PIN cannot be typed on this reader", crs.ErrInternal)
	}
	if pin != nil {
		if err := pin.Check(cnsPIN); err != nil {
			return err
		}
	}
	return c.withCard(ctx, txn{clean: pin == nil, reset: true}, func(s *session) error {
		// From here to the signature nothing but this is selected: whether a SELECT ends the
		// security status differs by card (rule 3).
		if c.layout.keyDF != nil {
			if err := s.selectPath(c.layout.keyDF); err != nil {
				return err
			}
		}
		if pin == nil {
			return c.verifyOnPad(s, f)
		}
		if err := c.verify(s, pin); err != nil {
			return err
		}
		return f(s)
	})
}

// withCard runs f in a transaction with this very card: EF_IDCarta is read again in each,
// because a card can be swapped between two (T21). If another program resets the card before a PIN
// was sent, withCard starts over with this check.
func (c *cns) withCard(ctx context.Context, t txn, f func(*session) error) error {
	var err error
	for range maxBeginAttempts {
		if c.removed.Load() {
			return crs.ErrCardRemoved
		}
		pinSent := false
		err = c.driver.transaction(ctx, c.source, t, func(s *session) error {
			id, err := readCardID(s)
			if err != nil {
				return removedIfAnswered(err)
			}
			if id != c.cardID {
				return crs.ErrCardRemoved
			}
			s.identified = true
			err = f(s)
			pinSent = s.pinSent
			return err
		})
		if pinSent || !errors.Is(err, crs.ErrCardReset) {
			break
		}
	}
	return err
}

// removedIfAnswered: a card that does not show the file that it showed before is another card.
func removedIfAnswered(err error) error {
	if errors.Is(notCNS(err), crs.ErrNoCNS) {
		return fmt.Errorf("%w: %w", crs.ErrCardRemoved, err)
	}
	return err
}

// verify sends the PIN. The try is counted before the command leaves: whatever happens to
// card, reader or this process then, it is not forgotten (rule 4).
func (c *cns) verify(s *session, pin *crs.PIN) error {
	for i, ref := range c.pinRefs {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		digits, err := pin.Spend()
		if err != nil {
			return err
		}
		before := c.driver.tries().Status(c.cardID)
		pending := tries.Spend(before)
		c.driver.tries().Keep(c.cardID, pending)

		// VERIFY (ISO/IEC 7816-4, section 11.5.6).
		s.pinSent = true
		status, err := s.transmitPIN(command{ins: insVerify, p2: ref, data: pinBlocks(digits)})
		if err != nil {
			return &crs.PINError{Retries: -1, Uncertain: true, Err: err}
		}
		after, err := verifyResult(status, before, pending)
		c.driver.tries().Keep(c.cardID, after)
		if status.otherReference() {
			if i+1 < len(c.pinRefs) {
				pin.Refund()
				continue
			}
			return err
		}
		if status.refExists() {
			c.pinRefs = c.pinRefs[i : i+1] // this is the one while the card is in
			c.refKnown = c.refKnown || status.refCertain()
		}
		return err
	}
	return crs.ErrPINUnusable
}

// pinBlocks returns PINs and PUKs as commands carry them: 8 bytes each, ASCII, padded with FF.
func pinBlocks(secrets ...[]byte) []byte {
	blocks := bytes.Repeat([]byte{0xFF}, pinBlock*len(secrets))
	for i, digits := range secrets {
		copy(blocks[i*pinBlock:(i+1)*pinBlock], digits)
	}
	return blocks
}
