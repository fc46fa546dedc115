package pcsc

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/crs-bridge/crs"
)

// identifyCNS finds the layout of a CNS by probing files: an ATR with the CNS marker can belong to
// another product, and contactless cards share one without it.
func identifyCNS(s *session, source Reader) (card, error) {
	// An ATR that cannot be read gives no hint, and that is all it is used for.
	a, _ := parseATR(s.conn.ATR())
	id, err := readCardID(s)
	if err != nil {
		return nil, unknownModel(s, a, notCNS(err))
	}
	var why error // the first that says more than "no such file"
	for _, l := range layoutsFor(a) {
		der, extended, err := readCertificate(s, l)
		if err == nil {
			c := &cns{driver: s.driver, source: source, layout: l, extended: extended,
				pinRefs: l.pinReferences(a), contactless: a.contactless()}
			mask, _ := a.cnsMask()
			c.refKnown = mask != 0 || len(c.pinRefs) == 1
			c.pinPad, _ = pinPad(s.conn)
			if err = c.prove(der, id); err == nil {
				return c, nil
			}
		}
		var status sw
		switch {
		case errors.As(err, &status):
		case crs.CodeOf(err) != crs.ErrCardUnusable: // not an answer of the card: the reader failed
			return nil, err
		case why == nil:
			why = err
		}
	}
	if why != nil {
		return nil, why
	}
	return nil, unknownModel(s, a, fmt.Errorf("%w: it has no certificate where a CNS has it", crs.ErrNoCNS))
}

// unknownModel returns the error for a card whose ATR has the marker of a CNS, but which lacks its
// files: it is a health card of an unknown model, and its holder has no other card to put in.
func unknownModel(s *session, a atr, err error) error {
	if a.saysCNS() && errors.Is(err, crs.ErrNoCNS) {
		return &crs.ModelError{ATR: s.conn.ATR(), Err: crs.ErrUnknownModel}
	}
	return err
}

// notCNS turns a card's answer to a probe into crs.ErrNoCNS and leaves other errors alone.
func notCNS(err error) error {
	var status sw
	if errors.As(err, &status) {
		return fmt.Errorf("%w: %w", crs.ErrNoCNS, err)
	}
	return err
}

// prove checks that a certificate is that of the CNS with this card id, and keeps it: parsed
// from a path of the layout table, of the CNS profile, its common name holding the card id
// (docs/card-safety.md, rule 2).
func (c *cns) prove(der []byte, cardID string) error {
	cert, err := crs.ParseCertificate(der)
	if err != nil {
		return err
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.Size() < 128 || key.Size() > 512 {
		return fmt.Errorf("%w: its key is not RSA of 1024 to 4096 bits", crs.ErrNoCNS)
	}
	if err := crs.CheckCNSProfile(cert); err != nil {
		return fmt.Errorf("%w: %w", crs.ErrNoCNS, err)
	}
	subject, err := crs.ParseSubject(cert)
	if err != nil {
		return fmt.Errorf("%w: %w", crs.ErrNoCNS, err)
	}
	if subject.CardID != cardID {
		return fmt.Errorf("%w: its certificate is that of another card", crs.ErrNoCNS)
	}
	c.certificate, c.keySize, c.cardID, c.holder = cert, key.Size(), cardID, subject.FullName()
	return nil
}

// readCardID reads EF_IDCarta: exactly 16 characters.
func readCardID(s *session) (string, error) {
	const size = 16
	if err := s.selectPath(pathCardID); err != nil {
		return "", err
	}
	b, err := s.read(0, size, false)
	if err != nil {
		return "", err
	}
	if len(b) != size {
		return "", fmt.Errorf("%w: its EF_IDCarta has %d bytes", crs.ErrNoCNS, len(b))
	}
	for _, c := range b {
		if c < '!' || c > '~' {
			return "", fmt.Errorf("%w: its EF_IDCarta is not text", crs.ErrNoCNS)
		}
	}
	return string(b), nil
}

const (
	maxCertificate = 8 << 10
	wrapper        = 5 // bytes before a wrapped certificate; bytes 1 and 2 are its length
)

// readCertificate reads the certificate of a layout up to its length in DER, not to the end of
// the padded file. What is beyond the first short answer is asked for in one extended command:
// that saves five, and shows before any VERIFY whether reader and card take one (rule 5).
func readCertificate(s *session, l layout) (der []byte, extended bool, err error) {
	if err := s.selectPath(l.certificate); err != nil {
		return nil, false, err
	}
	b, err := s.read(0, maxShort, false)
	if err != nil {
		return nil, false, err
	}
	start := 0
	if l.wrapped {
		start = wrapper
	}
	length, err := derLength(b, start)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", crs.ErrCertificate, err)
	}
	end := start + length
	if l.wrapped && int(b[1])<<8|int(b[2]) < length {
		return nil, false, fmt.Errorf("%w: it is longer than its wrapper", crs.ErrCertificate)
	}
	if len(b) < end && s.extendedPossible() {
		// If this is refused, either the card or the reader does not take extended commands.
		rest, err := s.read(len(b), end-len(b), true)
		var status sw
		switch {
		case err == nil && len(rest) == end-len(b):
			b, extended = append(b, rest...), true
		case err != nil && cardGone(err):
			return nil, false, err
		case err != nil && !errors.As(err, &status) && err != errEndless:
			s.driver.setShortOnly(s.reader, true)
		}
	}
	if b, err = s.readTo(b, end); err != nil {
		return nil, false, err
	}
	if len(b) < end {
		return nil, false, fmt.Errorf("%w: its %d bytes end at %d", crs.ErrCertificate, end, len(b))
	}
	return b[start:end], extended, nil
}

// cardGone reports whether nothing more can be asked of the card in this transaction.
func cardGone(err error) bool {
	return errors.Is(err, crs.ErrCardRemoved) || errors.Is(err, crs.ErrCardReset) ||
		errors.Is(err, crs.ErrCardStuck) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// extendedPossible reports whether the reader may take extended commands. On T=0 they would
// need an ENVELOPE for each part, which no known CNS asks for.
func (s *session) extendedPossible() bool {
	most := s.conn.MaxAPDU()
	return !s.t0 && (most == 0 || most > maxShort) && !s.driver.shortOnly(s.reader)
}

// derLength returns the whole length of the DER SEQUENCE at an offset of b.
func derLength(b []byte, at int) (int, error) {
	bad := errors.New("no certificate in its file")
	if at+4 > len(b) || b[at] != 0x30 {
		return 0, bad
	}
	n := 0
	switch b[at+1] {
	case 0x81:
		n = 3 + int(b[at+2])
	case 0x82:
		n = 4 + int(b[at+2])<<8 + int(b[at+3])
	case 0x83:
		if at+5 > len(b) {
			return 0, bad
		}
		n = 5 + int(b[at+2])<<16 + int(b[at+3])<<8 + int(b[at+4])
	default:
		return 0, bad
	}
	if n > maxCertificate {
		return 0, fmt.Errorf("certificate of %d bytes", n)
	}
	return n, nil
}
