package pcsc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/crs-bridge/crs"
)

// signMethod is one way to ask a CNS for an RSA signature.
type signMethod int

const (
	// decipher is PSO DECIPHER over a block that the host pads, in one command: what OpenSC
	// does, and what is proven to work (OpenSC, pkcs15-sec.c, with cards of ST and IDEMIA). RSA-2048 needs the extended form.
	decipher signMethod = iota
	// decipherChained is the same block in a chain of short commands.
	decipherChained
	// computeSignature is PSO COMPUTE DIGITAL SIGNATURE, where the card pads: what the CNS
	// specification describes.
	computeSignature
)

func (m signMethod) String() string {
	return [...]string{"decipher", "decipher chained", "compute digital signature"}[m]
}

// template returns the control reference template under which MSE SET names the key: B6 for digital
// signatures, B8 for confidentiality (ISO/IEC 7816-4, section 10.3.1).
func (m signMethod) template() byte {
	if m == computeSignature {
		return 0xB6
	}
	return 0xB8
}

// signMethods returns the methods that reader and card support, in the order of rule 5.
func (c *cns) signMethods() []signMethod {
	if 1+c.keySize <= maxShort || c.extended {
		return []signMethod{decipher, decipherChained, computeSignature}
	}
	return []signMethod{decipherChained, computeSignature}
}

// signDigest has the card sign a SHA-256 digest after a VERIFY. It goes on to the next method only
// when the card says that it does not know this one, and to the next template when it has no such key
// under this one; never when the card may have refused the PIN, and never after a transport error
// (docs/card-safety.md, rule 5).
func (c *cns) signDigest(s *session, digest []byte) ([]byte, error) {
	if len(digest) != 32 {
		return nil, errors.New("not a SHA-256 digest")
	}
	if c.methods == nil {
		c.methods = c.signMethods()
	}
	// MSE RESTORE of security environment 3. The last byte is an empty Lc that the specification
	// requires; as an Le it has the same form (OpenSC, card-itacns.c).
	if err := s.transmitOK(command{ins: insMSE, p1: 0xF3, p2: 0x03, le: maxShortResponse}); err != nil {
		return nil, err
	}
	var refused sw
	for len(c.methods) > 0 {
		method := c.methods[0]
		var signature []byte
		err := s.transmitOK(c.mseSet(method.template()))
		keyFound := err == nil
		if keyFound {
			signature, err = c.pso(s, method, digest)
		}
		var status sw
		answered := errors.As(err, &status)
		switch {
		case err == nil && len(signature) != c.keySize:
			return nil, fmt.Errorf("%w: signature of %d bytes", crs.ErrCard, len(signature))
		case err == nil:
			return signature, nil
		case answered && keyFound && status.otherMethod():
			c.methods = c.methods[1:]
		case answered && !keyFound && status.otherTemplate():
			c.methods = slices.DeleteFunc(c.methods, func(m signMethod) bool { return m.template() == method.template() })
		case !answered && keyFound && method == decipher && c.extended && !cardGone(err):
			// The reader could not carry it. This login is over, the next one chains.
			c.extended, c.methods = false, c.methods[1:]
			return nil, err
		default:
			return nil, err
		}
		refused = status
		c.driver.log().Debug("signature method refused", "method", method.String(), "sw", status.String())
	}
	c.methods = nil // the card may be asked all over again in another login
	// If an extended command once broke the connection to this reader, that may have had another
	// cause. It is tried again at the next insertion.
	c.driver.setShortOnly(s.reader, false)
	if c.driver.CannotSign != nil {
		c.driver.CannotSign(c.Info())
	}
	return nil, fmt.Errorf("%w: %w", crs.ErrCannotSign, refused)
}

// pso asks for one signature by one method, after the MSE SET of its template.
func (c *cns) pso(s *session, method signMethod, digest []byte) ([]byte, error) {
	if method == computeSignature {
		// PSO 9E 9A (CIE functional specification v2, p. 70).
		return s.transmitData(command{ins: insPSO, p1: 0x9E, p2: 0x9A, data: digestInfo(digest), le: maxShortResponse})
	}
	// PSO 80 86 over a padding indicator of 00 and the block.
	data := append([]byte{0x00}, pkcs1Block(c.keySize, digest)...)
	last := command{ins: insPSO, p1: 0x80, p2: 0x86, data: data, le: maxShortResponse}
	switch {
	case method == decipher && len(data) > maxShort:
		last.extended, last.le = true, maxExtended+1
	case method == decipherChained:
		for len(last.data) > maxShort {
			part := command{cla: claChained, ins: insPSO, p1: 0x80, p2: 0x86, data: last.data[:maxShort]}
			if err := s.transmitOK(part); err != nil {
				return nil, err
			}
			last.data = last.data[maxShort:]
		}
	}
	return s.transmitData(last)
}

// mseSet names the key of the layout row in a control reference template. P1 is F1 on a CNS,
// not ISO's 41 (OpenSC, card-itacns.c).
func (c *cns) mseSet(template byte) command {
	return command{ins: insMSE, p1: 0xF1, p2: template, data: []byte{0x83, 0x01, c.layout.keyRef}}
}

// pkcs1Block pads DigestInfo and digest to the size of the key (RFC 8017, section 9.2).
func pkcs1Block(size int, digest []byte) []byte {
	block := bytes.Repeat([]byte{0xFF}, size)
	block[0], block[1] = 0x00, 0x01
	t := digestInfo(digest)
	block[size-len(t)-1] = 0x00
	copy(block[size-len(t):], t)
	return block
}

// transmitOK sends a command that must be answered with 9000.
func (s *session) transmitOK(c command) error {
	_, err := s.transmitData(c)
	return err
}

func (s *session) transmitData(c command) ([]byte, error) {
	r, err := s.transmit(c)
	if err != nil {
		return nil, err
	}
	if r.sw != swOK {
		return nil, r.sw
	}
	return r.data, nil
}

// digestInfo returns the DER of DigestInfo for a SHA-256 digest (RFC 8017, section 9.2).
func digestInfo(sha256 []byte) []byte {
	return append([]byte{0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
		0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, sha256...)
}
