package pkcs11

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// written returns what is kept of what a worker writes before and after it was sent a PIN.
func written(t *testing.T, before, after []string) (lines []string) {
	synctest.Test(t, func(t *testing.T) {
		var o output
		var silent atomic.Bool
		r, w := io.Pipe()
		go o.keep(r, &silent)
		for _, text := range before {
			w.Write([]byte(text))
		}
		synctest.Wait()
		if after != nil {
			silent.Store(true)
		}
		for _, text := range after {
			w.Write([]byte(text))
		}
		w.Close()
		synctest.Wait()
		lines = o.text()
	})
	return lines
}

// TestT24OutputAfterAPIN: lines are kept until a PIN was sent, and nothing after, in no form and in no
// piece.
func TestT24OutputAfterAPIN(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, after []string
		want          []string
	}{
		{"nothing", nil, nil, nil},
		{"before", []string{"one\ntwo\r\n", "three\n"}, nil, []string{"one", "two", "three"}},
		{"in pieces", []string{"o", "n", "e\nt", "wo\n\n"}, nil, []string{"one", "two"}},
		{"without an end", []string{"one\ntwo"}, nil, []string{"one", "two"}},
		{"silent and quiet", []string{"one\n"}, []string{}, []string{"one"}},
		{"the PIN", []string{"one\n"}, []string{"PIN=58293\n", "after\n"}, []string{"one", droppedLine}},
		{"the PIN in a form nobody thinks of", nil, []string{"3.9.2.8.5\n", "five eight two nine three"}, []string{droppedLine}},
		{"a line that began before", []string{"one\nPIN="}, []string{"58293\n"}, []string{"one", droppedLine}},
		{"a long line that began before", []string{strings.Repeat("x", maxLine-2)}, []string{"58293\n"}, []string{droppedLine}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := written(t, test.before, test.after); !slices.Equal(got, test.want) {
				t.Errorf("kept %q, want %q", got, test.want)
			}
		})
	}
}

// However much a worker writes, only a bounded part is kept.
func TestMuchOutput(t *testing.T) {
	for _, line := range written(t, []string{strings.Repeat("x", 100*maxLine)}, nil) {
		if len(line) > maxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	var many []string
	for i := range 2 * maxLines {
		many = append(many, fmt.Sprintln(i))
	}
	if lines := written(t, many, nil); len(lines) != maxLines || lines[0] != fmt.Sprint(maxLines) {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

// recorder is a reader that keeps hold of the buffers that it was given.
type recorder struct {
	io.Reader
	buffers [][]byte
}

func (r *recorder) Read(b []byte) (int, error) {
	r.buffers = append(r.buffers, b)
	return r.Reader.Read(b)
}

// TestT24BufferIsCleared: what was dropped is in no buffer any more.
func TestT24BufferIsCleared(t *testing.T) {
	var o output
	var silent atomic.Bool
	silent.Store(true)
	r := &recorder{Reader: strings.NewReader("PIN 58293\n")}
	o.keep(r, &silent)
	for _, b := range r.buffers {
		if strings.Trim(string(b), "\x00") != "" {
			t.Errorf("left behind: %q", b)
		}
	}
}
