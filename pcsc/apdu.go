package pcsc

import "fmt"

// Instructions of ISO/IEC 7816-4 and -8.
const (
	insVerify        = 0x20
	insMSE           = 0x22
	insChangePIN     = 0x24
	insPSO           = 0x2A
	insResetRetry    = 0x2C
	insSelect        = 0xA4
	insReadBinary    = 0xB0
	insGetResponse   = 0xC0
	claChained       = 0x10
	maxShort         = 255 // data bytes of a short command
	maxShortResponse = 256
	maxExtended      = 65535
)

// command is a command APDU.
type command struct {
	cla, ins, p1, p2 byte
	data             []byte
	le               int  // bytes expected at most; 256 is sent as 00, 65536 as 00 00
	extended         bool // the form with lengths of two bytes; needed above 255 and 256
}

// encode returns the bytes of the command (ISO/IEC 7816-3, section 12.1). On T=0 a short
// command with data carries no Le (section 12.2.5): the card answers 61xx.
func (c command) encode(t0 bool) ([]byte, error) {
	if len(c.data) > maxExtended || c.le > maxExtended+1 {
		return nil, fmt.Errorf("APDU with %d bytes of data, %d expected", len(c.data), c.le)
	}
	b := []byte{c.cla, c.ins, c.p1, c.p2}
	if !c.extended {
		if len(c.data) > maxShort || c.le > maxShortResponse {
			return nil, fmt.Errorf("short APDU with %d bytes of data, %d expected", len(c.data), c.le)
		}
		if len(c.data) > 0 {
			b = append(append(b, byte(len(c.data))), c.data...)
		}
		if c.le > 0 && !(t0 && len(c.data) > 0) {
			b = append(b, byte(c.le))
		}
		return b, nil
	}
	b = append(b, 0)
	if len(c.data) > 0 {
		b = append(append(b, byte(len(c.data)>>8), byte(len(c.data))), c.data...)
	}
	if c.le > 0 {
		b = append(b, byte(c.le>>8), byte(c.le))
	}
	return b, nil
}

// carriesSecret reports whether the command holds a PIN or PUK: it is sent once, never
// repeated, continued, chained or logged with its data (docs/card-safety.md, rule 1).
func (c command) carriesSecret() bool {
	return c.ins == insVerify || c.ins == insChangePIN || c.ins == insResetRetry
}

// response is a response APDU.
type response struct {
	data []byte
	sw   sw
}

// parseResponse splits data and status word.
func parseResponse(b []byte) (response, error) {
	if len(b) < 2 {
		return response{}, fmt.Errorf("response APDU of %d bytes", len(b))
	}
	n := len(b) - 2
	return response{b[:n:n], sw(b[n])<<8 | sw(b[n+1])}, nil
}

// fileSize reads the size of a transparent file from the FCI that SELECT returns (ISO/IEC 7816-4,
// section 7.4.3: template 6F, tag 80), -1 if the FCI does not say.
func fileSize(fci []byte) int {
	body, _, ok := tlv(fci, 0x6F)
	if !ok {
		return -1
	}
	for len(body) > 0 {
		value, rest, ok := tlv(body, body[0])
		if !ok {
			return -1
		}
		if body[0] == 0x80 && len(value) == 2 {
			return int(value[0])<<8 | int(value[1])
		}
		body = rest
	}
	return -1
}

// tlv cuts one object of a one-byte tag and a length of one to three bytes off b.
func tlv(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, at := int(b[1]), 2
	switch {
	case n == 0x81 && len(b) >= 3:
		n, at = int(b[2]), 3
	case n == 0x82 && len(b) >= 4:
		n, at = int(b[2])<<8|int(b[3]), 4
	case n >= 0x80:
		return nil, nil, false
	}
	if len(b)-at < n {
		return nil, nil, false
	}
	return b[at : at+n], b[at+n:], true
}
