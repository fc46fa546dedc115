package pkcs11

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// output keeps the last lines that the workers of a module wrote to stderr, for the person who
// finds out what is wrong. They are never logged: a module may print whose card it is.
type output struct {
	mu    sync.Mutex
	lines []string
}

const (
	maxLines = 40
	maxLine  = 1 << 10

	droppedLine = "(what a module writes once it was sent a PIN is not kept)"
)

// keep reads what one worker writes until it ends. Once silent is set, all of it is dropped: the
// worker has been sent a PIN, which its module may print now or later, in any form. What explains
// why a module cannot be loaded or shows no token comes earlier.
func (o *output) keep(r io.Reader, silent *atomic.Bool) {
	b, have, dropped := make([]byte, maxLine), 0, false
	for {
		n, err := r.Read(b[have:])
		have += n
		switch {
		case silent.Load():
			if have > 0 && !dropped {
				o.add(droppedLine)
				dropped = true
			}
			have = 0
		case err != nil || have == len(b):
			o.add(string(b[:have]))
			have = 0
		default:
			end := bytes.LastIndexByte(b[:have], '\n') + 1
			o.add(string(b[:end]))
			have = copy(b, b[end:have])
		}
		clear(b[have:])
		if err != nil {
			return
		}
	}
}

func (o *output) add(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			o.lines = append(o.lines, line)
		}
	}
	o.lines = o.lines[max(0, len(o.lines)-maxLines):]
}

// text returns what is kept.
func (o *output) text() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string{}, o.lines...)
}
