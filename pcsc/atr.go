package pcsc

import (
	"bytes"
	"errors"
)

// atr is an answer to reset (ISO/IEC 7816-3, section 8.2), as far as this package uses it.
type atr struct {
	historical []byte
	t1         bool // the card offers T=1
	interfaces []byte
}

// contactless reports whether a reader made this ATR up for a card without contacts: its
// interface bytes are TD1 80 and TD2 01 (PC/SC part 3, section 3.1.3.2.3).
func (a atr) contactless() bool { return bytes.Equal(a.interfaces, []byte{0x80, 0x01}) }

// parseATR reads an ATR. Readers of contactless cards make one up in the same form (PC/SC part
// 3, section 3.1.3.2.3).
func parseATR(b []byte) (atr, error) {
	short := errors.New("ATR is cut off")
	if len(b) < 2 {
		return atr{}, short
	}
	if b[0] != 0x3B && b[0] != 0x3F {
		return atr{}, errors.New("ATR does not begin with 3B or 3F")
	}
	var a atr
	n := int(b[1] & 0x0F) // T0: number of historical bytes
	at, present := 2, b[1]>>4
	tck := false
	for present != 0 {
		for bit := byte(1); bit < 8; bit <<= 1 { // TA, TB, TC
			if present&bit != 0 {
				at++
			}
		}
		if present&8 == 0 {
			break
		}
		if at >= len(b) {
			return atr{}, short
		}
		protocol := b[at] & 0x0F // TD
		a.t1 = a.t1 || protocol == 1
		tck = tck || protocol != 0
		present = b[at] >> 4
		at++
	}
	if at+n > len(b) {
		return atr{}, short
	}
	a.interfaces = b[2:at]
	a.historical = b[at : at+n]
	at += n
	if tck {
		if at >= len(b) {
			return atr{}, short
		}
		at++
	}
	if at != len(b) {
		return atr{}, errors.New("ATR is followed by more bytes")
	}
	return a, nil
}

// Mask manufacturers that matter here: OpenSC, pkcs15-itacns.c.
const (
	maskOberthur = 0x05 // Oberthur, later IDEMIA
	maskSTIncard = 0x09
)

// cnsMask returns the mask manufacturer and the firmware's major version from the historical
// bytes of a CNS: 00 6B | IC | mask | firmware, 5 bytes... | 01 | "CNS" | version | 31 80
// (CNS functional specification; byte positions as in OpenSC, card-itacns.c). An ATR without the
// marker, such as a contactless card's, gives zero values.
func (a atr) cnsMask() (mask, firmware byte) {
	if !a.saysCNS() {
		return 0, 0
	}
	return a.historical[3], a.historical[4]
}

// saysCNS reports whether the ATR has the marker of a CNS. A card without it may still be a CNS,
// and a card with it may have the files of another product.
func (a atr) saysCNS() bool {
	h := a.historical
	return len(h) == 15 && h[0] == 0x00 && h[1] == 0x6B && bytes.Equal(h[9:12], []byte("CNS"))
}
