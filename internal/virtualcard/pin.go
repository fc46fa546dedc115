package virtualcard

import "crypto/subtle"

// References of the PIN commands, P2: bit 8 says where to search, the low five bits are an id.
const (
	searchUpwards = 0x80
	reservedBits  = 0x60
	pinID         = 0x10
	pukID         = 0x11
	signaturePIN  = 0x1A
)

// blockSize is the length of a PIN or PUK in a command: ASCII, FF to the right.
const blockSize = 8

// secret is a PIN or PUK.
type secret struct {
	block    [blockSize]byte
	tries    int
	most     int
	verified bool
}

func newSecret(value string, tries int) *secret {
	if tries == 0 {
		tries = 3
	}
	s := &secret{tries: tries, most: tries}
	copy(s.block[:], padded([]byte(value), blockSize, 0xFF))
	return s
}

// placeSecrets puts PIN and PUK where the card's commands find them.
func (c *Card) placeSecrets() {
	if c.config.Foreign == ForeignBare {
		return
	}
	c.mf.secrets[pinID], c.mf.secrets[pukID] = c.pin, c.puk
	if c.config.Decoy {
		c.decoy = newSecret("00000", 0)
		signature := c.mf.dir("1400")
		signature.secrets[pinID], signature.secrets[signaturePIN] = c.decoy, c.decoy
	}
}

// reference finds the PIN or PUK that P2 names, and what unblocks it: the next id in the same
// DF, nil if there is none. A foreign card answers to both kinds of reference, a CNS to one.
func (c *Card) reference(p2 byte) (named, puk *secret, sw uint16) {
	if p2&reservedBits != 0 {
		return nil, nil, swParameters
	}
	upwards := p2&searchUpwards != 0
	if c.config.Foreign == NotForeign && upwards != (c.config.PINReference&searchUpwards != 0) {
		return nil, nil, c.config.WrongReference
	}
	dir, id := c.mf, p2&^searchUpwards
	if upwards {
		dir = c.state.dir
	}
	for ; dir != nil; dir = dir.parent {
		if s := dir.secrets[id]; s != nil {
			return s, dir.secrets[id+1], swOK
		}
	}
	return nil, nil, swReferenceNotFound
}

// compare is one try.
func (c *Card) compare(s *secret, block []byte) uint16 {
	if s.tries == 0 {
		return swBlocked
	}
	if subtle.ConstantTimeCompare(s.block[:], block) == 1 {
		s.tries = s.most
		return swOK
	}
	return c.count(s)
}

// count takes one try away.
func (c *Card) count(s *secret) uint16 {
	s.verified = false
	if s.tries == 0 {
		return swBlocked
	}
	s.tries--
	if c.config.NoCount {
		return swWrong
	}
	return left(s)
}

func left(s *secret) uint16 { return swWrong | 0xC0 | uint16(min(s.tries, 15)) }

// verify is VERIFY. Without data it asks whether the PIN was verified; some cards count that as a
// wrong PIN.
func (c *Card) verify(cmd command) uint16 {
	if cmd.p1 != 0x00 {
		return swParameters
	}
	s, _, sw := c.reference(cmd.p2)
	if s == nil {
		return sw
	}
	switch {
	case len(cmd.data) == blockSize:
		sw = c.compare(s, cmd.data)
		s.verified = sw == swOK
		return sw
	case len(cmd.data) != 0:
		return swLength
	case c.config.CountEmptyVerify:
		return c.count(s)
	case s.verified:
		return swOK
	case s.tries == 0:
		return swBlocked
	case c.config.NoCount:
		return swWrong
	}
	return left(s)
}

// changeReferenceData is CHANGE REFERENCE DATA: old and new PIN (P1 00), or the new one alone
// after a VERIFY (01).
func (c *Card) changeReferenceData(cmd command) uint16 {
	s, _, sw := c.reference(cmd.p2)
	if s == nil {
		return sw
	}
	old, fresh, sw := split(cmd, cmd.p1 == 0x00, true)
	switch {
	case cmd.p1 > 0x01:
		return swParameters
	case sw != swOK:
		return sw
	case cmd.p1 == 0x01 && !s.verified:
		return swNotAllowed
	case cmd.p1 == 0x00:
		if sw := c.compare(s, old); sw != swOK {
			return sw
		}
	}
	copy(s.block[:], fresh)
	return swOK
}

// resetRetryCounter is RESET RETRY COUNTER of a PIN: PUK and new PIN (P1 00), PUK alone (01),
// nothing after a VERIFY of the PUK (03). The form 02 of ISO/IEC 7816-4 does not exist on these
// cards (CIE functional specification 2.0, page 63).
func (c *Card) resetRetryCounter(cmd command) uint16 {
	pin, puk, sw := c.reference(cmd.p2)
	if pin == nil {
		return sw
	}
	if puk == nil {
		return swReferenceNotFound
	}
	if cmd.p1 != 0x00 && cmd.p1 != 0x01 && cmd.p1 != 0x03 {
		return swParameters
	}
	value, fresh, sw := split(cmd, cmd.p1 != 0x03, cmd.p1 == 0x00)
	if sw != swOK {
		return sw
	}
	if cmd.p1 == 0x03 {
		if !puk.verified {
			return swNotAllowed
		}
	} else if sw := c.compare(puk, value); sw != swOK {
		return sw
	}
	if fresh != nil {
		copy(pin.block[:], fresh)
	}
	pin.tries = pin.most
	pin.verified, puk.verified = false, false
	return swOK
}

// split takes the blocks of a command apart: one to compare, one to store. The latter must look
// like a PIN, else 6A80 and nothing is compared.
func split(cmd command, wantOld, wantNew bool) (old, fresh []byte, sw uint16) {
	data := cmd.data
	want := 0
	if wantOld {
		want += blockSize
	}
	if wantNew {
		want += blockSize
	}
	if len(data) != want {
		return nil, nil, swLength
	}
	if wantOld {
		old, data = data[:blockSize], data[blockSize:]
	}
	if wantNew {
		if fresh = data; !isPIN(fresh) {
			return nil, nil, swData
		}
	}
	return old, fresh, swOK
}

// isPIN reports whether a block holds five to eight digits and padding.
func isPIN(block []byte) bool {
	digits := 0
	for digits < len(block) && '0' <= block[digits] && block[digits] <= '9' {
		digits++
	}
	for _, b := range block[digits:] {
		if b != 0xFF {
			return false
		}
	}
	return digits >= 5
}
