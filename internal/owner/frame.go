package owner

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/crs-bridge/crs"
)

// A frame is one byte that says what it holds, the length of that in four bytes, big endian, and
// so many bytes.
const (
	frameMessage = 'm' // one message, as JSON
	framePIN     = 'p' // the number of a request in eight bytes, big endian, and the PIN that answers it

	frameHeader = 5
	pinNumber   = 8
	maxMessage  = 4 << 20 // the longest list of sites
	maxPIN      = 256     // more than a person types
)

// readFrame reads one frame: a message, or the PIN that answers request id. It reads from the
// connection itself, without a buffer in between that would keep a copy of the PIN.
func readFrame(r io.Reader) (message []byte, id uint64, pin *crs.PIN, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, 0, nil, err
	}
	n := binary.BigEndian.Uint32(header[1:])
	switch kind := header[0]; {
	case kind == frameMessage && n <= maxMessage:
		message = make([]byte, n)
		_, err = io.ReadFull(r, message)
		return message, 0, nil, err
	case kind == framePIN && n >= pinNumber && n <= pinNumber+maxPIN:
		body := make([]byte, n)
		defer clear(body)
		if _, err = io.ReadFull(r, body); err != nil {
			return nil, 0, nil, err
		}
		return nil, binary.BigEndian.Uint64(body), crs.NewPIN(body[pinNumber:]), nil
	default:
		return nil, 0, nil, fmt.Errorf("frame of kind %q with %d bytes", kind, n)
	}
}

// appendHeader appends what stands before the n bytes of a frame.
func appendHeader(b []byte, kind byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), uint32(n))
}

// writeMessage writes a message in one call.
func writeMessage(w io.Writer, message []byte) error {
	if len(message) > maxMessage {
		return fmt.Errorf("message of %d bytes", len(message))
	}
	b := appendHeader(make([]byte, 0, frameHeader+len(message)), frameMessage, len(message))
	_, err := w.Write(append(b, message...))
	return err
}

// writePIN writes the PIN that answers request id, and spends and wipes it.
func writePIN(w io.Writer, id uint64, pin *crs.PIN) error {
	defer pin.Wipe()
	digits, err := pin.Spend()
	if err != nil && pin.Len() > 0 {
		return err
	}
	if len(digits) > maxPIN { // nothing that a card would take
		digits = digits[:maxPIN]
	}
	b := make([]byte, 0, frameHeader+pinNumber+maxPIN)
	defer clear(b[:cap(b)])
	b = appendHeader(b, framePIN, pinNumber+len(digits))
	b = binary.BigEndian.AppendUint64(b, id)
	_, err = w.Write(append(b, digits...))
	return err
}
