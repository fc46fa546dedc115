package virtualcard

import (
	"crypto/rand"
	"math/big"
)

// environment is the security environment: what MSE RESTORE and MSE SET made of it.
type environment struct {
	restored bool
	template byte // control reference template: B6h signature, B8h confidentiality; 0 none
	key      byte
}

const (
	templateSignature       = 0xB6
	templateConfidentiality = 0xB8
)

// manageEnvironment is MANAGE SECURITY ENVIRONMENT: RESTORE (F3) of the environment 03, SET
// (F1, not 41) of a template.
func (c *Card) manageEnvironment(cmd command) uint16 {
	env := &c.state.environment
	switch cmd.p1 {
	case 0xF3:
		// The specification wants an empty Lc: five bytes, which read as a command with Le.
		if cmd.data != nil || cmd.extended || cmd.le == 0 && c.profile.Protocol == 1 {
			return swLength
		}
		if cmd.p2 != 0x03 {
			return swReferenceNotFound
		}
		*env = environment{restored: true}
		return swOK
	case 0xF1:
		if cmd.p2 != templateSignature && cmd.p2 != templateConfidentiality {
			return swParameters
		}
		if len(cmd.data) != 3 || cmd.data[0] != 0x83 || cmd.data[1] != 0x01 {
			return swData
		}
		if !env.restored {
			return swConditions
		}
		if sw, refused := c.config.Refuse[Confidentiality]; refused && cmd.p2 == templateConfidentiality {
			return sw
		}
		env.template, env.key = cmd.p2, cmd.data[2]
		return swOK
	}
	return swParameters
}

// performSecurityOperation is PSO DECIPHER (80 86) and PSO COMPUTE DIGITAL SIGNATURE (9E 9A).
// In the first the host pads and the answer is the signature; in the second the card pads.
func (c *Card) performSecurityOperation(cmd command) (data []byte, sw uint16) {
	size := c.key.Size()
	var block []byte
	switch {
	case cmd.p1 == 0x80 && cmd.p2 == 0x86:
		if sw, refused := c.config.Refuse[Decipher]; refused {
			return nil, sw
		}
		if sw := c.usable(templateConfidentiality); sw != swOK {
			return nil, sw
		}
		if len(cmd.data) != 1+size {
			return nil, swLength
		}
		if cmd.data[0] != 0x00 { // padding indicator: none that the card would take off
			return nil, swData
		}
		block = cmd.data[1:]
	case cmd.p1 == 0x9E && cmd.p2 == 0x9A:
		if sw, refused := c.config.Refuse[ComputeSignature]; refused {
			return nil, sw
		}
		if sw := c.usable(templateSignature); sw != swOK {
			return nil, sw
		}
		if len(cmd.data) == 0 || len(cmd.data) > size-11 {
			return nil, swLength
		}
		block = padPKCS1(cmd.data, size)
	default:
		return nil, swParameters
	}
	if cmd.le < size && (cmd.le != 0 || c.profile.Protocol == 1) {
		return nil, swWrongLe | uint16(size&0xff)
	}
	return c.rsa(block)
}

// usable checks what a signature needs: an environment, the PIN, and the key in the current DF
// or in the MF.
func (c *Card) usable(template byte) uint16 {
	env, layout := c.state.environment, c.profile.layout
	switch {
	case env.template != template:
		return swConditions
	case !c.pin.verified:
		return swNotAllowed
	case c.config.Foreign != NotForeign || env.key != layout.keyRef:
		return swReferenceNotFound
	case layout.keyDir != "" && c.state.dir != c.mf.dir(layout.keyDir):
		return swReferenceUnusable
	}
	return swOK
}

// padPKCS1 is block type 1 (RFC 8017, section 9.2).
func padPKCS1(digestInfo []byte, size int) []byte {
	block := []byte{0x00, 0x01}
	block = padded(block, size-len(digestInfo)-1, 0xFF)
	return append(append(block, 0x00), digestInfo...)
}

// rsa is the private operation, by the Chinese remainder theorem. It does not resist timing
// attacks, but signs only for invented people.
func (c *Card) rsa(block []byte) (data []byte, sw uint16) {
	k := c.key
	m := new(big.Int).SetBytes(block)
	if m.Cmp(k.N) >= 0 {
		return nil, swData
	}
	p, q := k.Primes[0], k.Primes[1]
	mp := new(big.Int).Exp(m, k.Precomputed.Dp, p)
	mq := new(big.Int).Exp(m, k.Precomputed.Dq, q)
	h := new(big.Int).Sub(mp, mq)
	h.Mul(h, k.Precomputed.Qinv).Mod(h, p)
	s := h.Mul(h, q).Add(h, mq)
	return s.FillBytes(make([]byte, k.Size())), swOK
}

// getChallenge is GET CHALLENGE, of at most 32 bytes as IDEMIA cards have it.
func (c *Card) getChallenge(cmd command) (data []byte, sw uint16) {
	if cmd.p1 != 0 || cmd.p2 != 0 {
		return nil, swParameters
	}
	if cmd.data != nil || cmd.le == 0 || cmd.le > 32 {
		return nil, swLength
	}
	data = make([]byte, cmd.le)
	rand.Read(data)
	return data, swOK
}
