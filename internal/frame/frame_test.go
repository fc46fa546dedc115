package frame

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

var limits = Limits{'m': 100, 'p': 10}

// FuzzRead: what is read and written again is the same, is within its limit, and no byte more was
// taken; with an error there is nothing else.
func FuzzRead(f *testing.F) {
	f.Add([]byte("m\x00\x00\x00\x02{}"))
	f.Add([]byte("p\x00\x00\x00\x0513579m"))
	f.Add([]byte("p\x00\x00\x00\x0b13579135791"))
	f.Add([]byte("m\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		kind, body, err := Read(r, limits)
		if err != nil {
			if kind != 0 || body != nil {
				t.Errorf("%q %x and %v", kind, body, err)
			}
			return
		}
		if most, ok := limits[kind]; !ok || len(body) > most {
			t.Errorf("%q with %d bytes", kind, len(body))
		}
		var again bytes.Buffer
		if err := Write(&again, kind, body); err != nil || !bytes.Equal(again.Bytes(), b[:len(b)-r.Len()]) {
			t.Errorf("%x, %v, was %x", again.Bytes(), err, b[:len(b)-r.Len()])
		}
	})
}

// calls keeps the slices it was given, without copying them.
type calls [][]byte

func (c *calls) Write(b []byte) (int, error) {
	*c = append(*c, b[:cap(b)])
	return len(b), nil
}

// TestNoCopy: a PIN that was written is in no buffer any more, and one that came in half neither.
func TestNoCopy(t *testing.T) {
	var written calls
	if err := Write(&written, 'p', []byte("1"), []byte("3579")); err != nil || len(written) != 1 {
		t.Fatalf("%d calls, %v", len(written), err)
	}
	if slices.ContainsFunc(written[0], func(b byte) bool { return b != 0 }) {
		t.Errorf("left behind: %x", written[0])
	}
	half := &halfReader{first: []byte("p\x00\x00\x00\x05"), rest: []byte("1357")}
	if _, _, err := Read(half, limits); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if slices.ContainsFunc(half.into, func(b byte) bool { return b != 0 }) {
		t.Errorf("left behind: %x", half.into)
	}
}

// halfReader keeps the memory that it reads its rest into.
type halfReader struct{ first, rest, into []byte }

func (r *halfReader) Read(b []byte) (int, error) {
	from := &r.first
	if len(r.first) == 0 {
		if from = &r.rest; len(r.rest) == 0 {
			return 0, io.EOF
		}
		r.into = b
	}
	n := copy(b, *from)
	*from = (*from)[n:]
	return n, nil
}

func TestEnds(t *testing.T) {
	for in, want := range map[string]error{
		"":                    io.EOF,
		"m\x00\x00":           io.ErrUnexpectedEOF,
		"m\x00\x00\x00\x02":   io.ErrUnexpectedEOF,
		"m\x00\x00\x00\x02{":  io.ErrUnexpectedEOF,
		"m\x00\x00\x00\x65":   ErrMalformed,
		"x\x00\x00\x00\x00":   ErrMalformed,
		"p\x00\x00\x00\x0b":   ErrMalformed,
		"m\x80\x00\x00\x02{}": ErrMalformed,
	} {
		t.Run(in, func(t *testing.T) {
			if _, _, err := Read(bytes.NewReader([]byte(in)), limits); !errors.Is(err, want) {
				t.Errorf("%v", err)
			}
		})
	}
}
