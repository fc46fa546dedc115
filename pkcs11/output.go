package pkcs11

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
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
	how     string
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

// forms returns how a program may print bytes, in lower case.
func forms(secret []byte) [][]byte {
	if len(secret) == 0 {
		return nil
	}
	lower := bytes.ToLower(secret)
	all := [][]byte{lower, []byte(hex.EncodeToString(secret))}
	for _, separator := range []string{" ", ":", "-", ", 0x", " 0x"} {
		all = append(all, []byte(strings.ReplaceAll(fmt.Sprintf("% x", secret), " ", separator)))
	}
	decimal := strings.Trim(fmt.Sprint(secret), "[]")
	all = append(all, []byte(decimal), []byte(strings.ReplaceAll(decimal, " ", ", ")))
	all = append(all, bytes.ToLower([]byte(base64.RawStdEncoding.EncodeToString(secret))))
	all = append(all, []byte(strings.Join(strings.Split(string(lower), ""), "\x00"))) // UTF-16
	return all
}

func (o *output) sum(b []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, o.key)
	mac.Write(b)
	mac.Sum(sum[:0])
	return sum
}

// Write takes in what the worker writes. It never fails.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
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
	kept := strings.TrimRight(string(line), "\r")
	if o.holdsSecret(o.partial) {
		kept = hiddenLine
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

// ended notes how the worker ended.
func (o *output) ended(how string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.how = how
}

// forget begins anew, for the next worker.
func (o *output) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.partial)
	o.partial, o.cut = o.partial[:0], false
}

// text returns what is kept, and how the last worker that failed ended.
func (o *output) text() (lines []string, how string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.partial) > 0 {
		o.finish()
	}
	return append([]string{}, o.lines...), o.how
}
