package ipc

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/frame"
)

// Kinds of frames.
const (
	frameMessage = 'm' // one message, as JSON
	framePIN     = 'p' // the number of a request in eight bytes, big endian, and the PIN that answers it

	pinNumber  = 8
	maxMessage = 4 << 20 // the longest list of sites
	maxPIN     = 256     // longer than anybody types
)

var limits = frame.Limits{frameMessage: maxMessage, framePIN: pinNumber + maxPIN}

// readFrame reads one frame: a message, or the PIN that answers request id.
func readFrame(r io.Reader) (message []byte, id uint64, pin *crs.PIN, err error) {
	kind, body, err := frame.Read(r, limits)
	switch {
	case err != nil:
		return nil, 0, nil, err
	case kind == frameMessage:
		return body, 0, nil, nil
	case len(body) < pinNumber:
		return nil, 0, nil, frame.ErrMalformed
	}
	return nil, binary.BigEndian.Uint64(body), crs.NewPIN(body[pinNumber:]), nil
}

func writeMessage(w io.Writer, message []byte) error {
	if len(message) > maxMessage {
		return fmt.Errorf("message of %d bytes", len(message))
	}
	return frame.Write(w, frameMessage, message)
}

// writePIN writes the PIN that answers request id, spending and wiping it.
func writePIN(w io.Writer, id uint64, pin *crs.PIN) error {
	defer pin.Wipe()
	digits, err := pin.Spend()
	if err != nil && pin.Len() > 0 {
		return err
	}
	if len(digits) > maxPIN { // no card takes such a PIN
		digits = digits[:maxPIN]
	}
	return frame.Write(w, framePIN, binary.BigEndian.AppendUint64(nil, id), digits)
}
