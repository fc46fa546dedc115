package pkcs11

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"sync"
)

// output keeps the last lines that a worker wrote to stderr, for whoever finds out what is wrong.
// They are in no log: a module may print whose card it is. A line with a PIN is not kept at all.
type output struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	cut     bool // what is left of a line that was too long is dropped
	key     []byte
	secrets []fingerprint
}

const (
	maxLines = 40
	maxLine  = 1 << 10

	hiddenLine = "(a line that held a PIN)"
)

// fingerprint finds a secret in a text without being it.
type fingerprint struct {
	length int
	digits int // the sum of the bytes, to look closer only where it fits
	sum    [sha256.Size]byte
}

// hide has lines that hold these secrets left out from now on, in whatever form programs
// usually print bytes.
func (o *output) hide(secrets [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.key == nil {
		o.key = make([]byte, 32)
		rand.Read(o.key)
	}
	for _, s := range secrets {
		for _, form := range forms(s) {
			o.secrets = append(o.secrets, fingerprint{len(form), total(form), o.sum(form)})
			clear(form)
		}
	}
	if n := len(o.secrets); n > 64 { // of the last logins
		o.secrets = append([]fingerprint{}, o.secrets[n-64:]...)
	}
}

// forms returns how a program may print bytes, in lower case. No other copy of them is made, so that
// whoever clears these leaves none.
func forms(secret []byte) [][]byte {
	if len(secret) == 0 {
		return nil
	}
	lower := bytes.ToLower(secret)
	all := [][]byte{lower, spelled(secret, 16, "")}
	for _, separator := range []string{" ", ":", "-", ", 0x", " 0x"} {
		all = append(all, spelled(secret, 16, separator))
	}
	all = append(all, spelled(secret, 10, " "), spelled(secret, 10, ", "))
	b64 := make([]byte, base64.RawStdEncoding.EncodedLen(len(secret)))
	base64.RawStdEncoding.Encode(b64, secret)
	for i, c := range b64 {
		if 'A' <= c && c <= 'Z' {
			b64[i] += 'a' - 'A'
		}
	}
	return append(all, b64, bytes.Join(bytes.Split(lower, nil), []byte{0})) // UTF-16
}

// spelled returns the numbers of bytes, of two digits at least if they are hexadecimal.
func spelled(secret []byte, base int, separator string) []byte {
	b := make([]byte, 0, len(secret)*(3+len(separator)))
	for i, c := range secret {
		if i > 0 {
			b = append(b, separator...)
		}
		if base == 16 && c < 16 {
			b = append(b, '0')
		}
		b = strconv.AppendUint(b, uint64(c), base)
	}
	return b
}

// sum is a keyed digest. Whole blocks are hashed where they are; of what is less the hash would keep
// a copy.
func (o *output) sum(b []byte) [sha256.Size]byte {
	blocks := make([]byte, (len(o.key)+len(b)+sha256.BlockSize-1)/sha256.BlockSize*sha256.BlockSize)
	defer clear(blocks)
	copy(blocks[copy(blocks, o.key):], b)
	return sha256.Sum256(blocks)
}

// readFrom takes in what the worker writes until it ends.
func (o *output) readFrom(r io.Reader) {
	b := make([]byte, 4<<10)
	for {
		n, err := r.Read(b)
		o.Write(b[:n])
		clear(b[:n])
		if err != nil {
			return
		}
	}
}

// Write takes in what the worker writes. It never fails.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if o.partial == nil {
			o.partial = make([]byte, 0, maxLine) // it never grows, which would leave a copy
		}
		if !o.cut {
			o.partial = append(o.partial, line[:min(len(line), maxLine-len(o.partial))]...)
			o.cut = len(o.partial) == maxLine
		}
		if whole {
			o.finish()
		}
		b = rest
	}
	return n, nil
}

// finish keeps the line that has come in. The end of a line that was cut may be a part of a PIN.
// It wants o.mu held.
func (o *output) finish() {
	line := o.partial
	if o.cut {
		line = line[:maxLine-64]
	}
	kept := hiddenLine
	if !o.holdsSecret(o.partial) {
		kept = strings.TrimRight(string(line), "\r")
	}
	if kept != "" {
		o.lines = append(o.lines, kept)
	}
	o.lines = o.lines[max(0, len(o.lines)-maxLines):]
	clear(o.partial)
	o.partial, o.cut = o.partial[:0], false
}

func (o *output) holdsSecret(line []byte) bool {
	line = bytes.ToLower(line)
	defer clear(line)
	for _, s := range o.secrets {
		if len(line) < s.length {
			continue
		}
		digits := total(line[:s.length])
		for at := 0; ; at++ {
			if digits == s.digits && o.sum(line[at:at+s.length]) == s.sum {
				return true
			}
			if at+s.length == len(line) {
				break
			}
			digits += int(line[at+s.length]) - int(line[at])
		}
	}
	return false
}

func total(b []byte) int {
	n := 0
	for _, c := range b {
		n += int(c)
	}
	return n
}

// forget begins anew, for the next worker.
func (o *output) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.partial)
	o.partial, o.cut = o.partial[:0], false
}

// text returns what is kept.
func (o *output) text() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.partial) > 0 {
		o.finish()
	}
	return append([]string{}, o.lines...)
}
