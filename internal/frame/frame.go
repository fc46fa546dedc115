// Package frame carries messages and PINs between two processes of this program. A frame is one
// byte that says what it holds, the length of that in four bytes, most significant first, and that
// many bytes. A PIN has a frame of its own, so that no other code sees it.
package frame

import (
	"encoding/binary"
	"errors"
	"io"
)

// ErrMalformed is the error for bytes that are not a frame, or a frame without a valid message.
var ErrMalformed = errors.New("malformed frame")

const header = 5

// Write writes a frame in one call, and leaves no copy of the parts of its body behind.
func Write(w io.Writer, kind byte, parts ...[]byte) error {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	b := make([]byte, 0, header+n)
	defer clear(b[:cap(b)])
	b = binary.BigEndian.AppendUint32(append(b, kind), uint32(n))
	for _, part := range parts {
		b = append(b, part...)
	}
	_, err := w.Write(b)
	return err
}

// Limits are the longest bodies, by kind. A frame of any other kind is malformed.
type Limits map[byte]int

// Read reads one frame and no byte more: what follows may be a PIN, which must not end up in a
// buffer. The error is io.EOF only before the frame began.
func Read(r io.Reader, limits Limits) (kind byte, body []byte, err error) {
	var head [header]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if most, ok := limits[head[0]]; !ok || n > uint32(most) {
		return 0, nil, ErrMalformed
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		clear(body)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return head[0], body, nil
}
