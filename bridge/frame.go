package bridge

import (
	"encoding/binary"
	"errors"
	"io"
)

// maxReply is the longest message that browsers accept from a native host.
const maxReply = 1 << 20

// errTooLong ends a conversation: what comes after a frame that is too long cannot be found.
var errTooLong = errors.New("frame of more bytes than are allowed")

// readFrame reads a message of native messaging: its length in four bytes, in this computer's byte
// order, and that many bytes
// (https://developer.chrome.com/docs/extensions/develop/concepts/native-messaging).
func readFrame(r io.Reader, most int) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	n := binary.NativeEndian.Uint32(header[:])
	if uint64(n) > uint64(most) {
		return nil, errTooLong
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	return message, nil
}

// writeFrame writes a message in one call.
func writeFrame(w io.Writer, message []byte) error {
	frame := binary.NativeEndian.AppendUint32(make([]byte, 0, 4+len(message)), uint32(len(message)))
	_, err := w.Write(append(frame, message...))
	return err
}
