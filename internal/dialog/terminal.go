package dialog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// Terminal asks on stderr and reads one answer a line from stdin, which need not be a
// terminal. An empty line and the end of input cancel. It is a Screen.
type Terminal struct {
	in  *os.File
	out io.Writer

	// turn is held by the prompt that is open.
	turn chan struct{}

	// lines carries what readLine returned. At most one readLine runs, because only the prompt that
	// holds the turn starts one, and only if none is running: a prompt whose context ended leaves
	// its readLine, and so the line, to the next.
	lines   chan typed
	reading bool
}

type typed struct {
	line []byte // wiped after use: it may be a PIN
	err  error
}

func NewTerminal(in *os.File, out io.Writer) *Terminal {
	return &Terminal{in: in, out: out, turn: make(chan struct{}, 1), lines: make(chan typed, 1)}
}

// Ask implements Screen.
func (t *Terminal) Ask(ctx context.Context, text catalog.Text) (yes bool, err error) {
	err = t.prompt(ctx, text, nil, false, func(line []byte) bool {
		switch strings.ToLower(string(line)) {
		case "s", "si", "sì", "y", "yes", "j", "ja":
			yes = true
			return true
		case "n", "no", "nein":
			return true
		}
		return false
	})
	return yes, err
}

// Choose implements Screen. The numbers begin with 1.
func (t *Terminal) Choose(ctx context.Context, text catalog.Text, rows []string) (index int, err error) {
	err = t.prompt(ctx, text, rows, false, func(line []byte) bool {
		n, err := strconv.Atoi(string(line))
		index = n - 1
		return err == nil && index >= 0 && index < len(rows)
	})
	return index, err
}

// AskPIN implements Screen. A terminal does not show what is typed.
func (t *Terminal) AskPIN(ctx context.Context, text catalog.Text) (pin *crs.PIN, err error) {
	err = t.prompt(ctx, text, nil, true, func(line []byte) bool {
		pin = crs.NewPIN(line) // with all blanks: whether they belong to the PIN depends on the card
		return true
	})
	return pin, err
}

// Tell implements Screen. It waits for no answer.
func (t *Terminal) Tell(ctx context.Context, text catalog.Text) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	t.show(text, nil)
	return nil
}

// Wait implements Screen. It reads nothing.
func (t *Terminal) Wait(ctx context.Context, text catalog.Text) error {
	if err := t.Tell(ctx, text); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// prompt shows a text and reads lines until accept takes one. It wipes them.
func (t *Terminal) prompt(ctx context.Context, text catalog.Text, rows []string, secret bool, accept func(line []byte) bool) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if t.Interactive() {
		t.forget()
	}
	if secret && t.Interactive() {
		show, err := hideInput(int(t.in.Fd()))
		if err != nil {
			return fmt.Errorf("the terminal would show the PIN: %w", err)
		}
		defer func() {
			show()
			fmt.Fprintln(t.out) // the user's own line break was not shown either
		}()
		// Ctrl-C must not leave the terminal like that.
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	t.show(text, rows)
	for {
		fmt.Fprintf(t.out, "%s: ", printable(text.Prompt))
		line, err := t.readAnswer(ctx)
		if !t.Interactive() {
			fmt.Fprintln(t.out) // no Enter ended the line
		}
		if err != nil {
			return err
		}
		trimmed := bytes.TrimSpace(line)
		empty := len(trimmed) == 0
		if secret {
			trimmed = line
		}
		ok := !empty && accept(trimmed)
		clear(line)
		switch {
		case empty:
			return crs.ErrCancelled
		case ok:
			return nil
		}
		fmt.Fprintln(t.out, printable(text.Again))
	}
}

// take waits until no other prompt is open.
func (t *Terminal) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Terminal) give() { <-t.turn }

func (t *Terminal) Interactive() bool { return term.IsTerminal(int(t.in.Fd())) }

// show writes a dialog except for its last line.
func (t *Terminal) show(text catalog.Text, rows []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n%s\n\n", text.Title, text)
	for i, row := range rows {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, row)
	}
	io.WriteString(t.out, printable(b.String()))
}

// readAnswer returns the next line, which the caller wipes.
func (t *Terminal) readAnswer(ctx context.Context) ([]byte, error) {
	if !t.reading {
		t.reading = true
		go func() {
			line, err := readLine(t.in)
			t.lines <- typed{line, err}
		}()
	}
	select {
	case a := <-t.lines:
		t.reading = false
		return a.line, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// forget drops what was typed before the question was visible: Enter in an idle terminal must not
// cancel the next logins. Programs that answer in advance use a pipe.
func (t *Terminal) forget() {
	discardInput(int(t.in.Fd()))
	select {
	case a := <-t.lines:
		t.reading = false
		clear(a.line)
	default:
	}
}

// maxLine is longer than any answer; the rest of a longer line is dropped.
const maxLine = 256

// readLine reads up to the end of a line, byte by byte: it takes nothing from later readers, and no
// buffer but the result holds a PIN. It returns crs.ErrCancelled at the end of input.
func readLine(r io.Reader) ([]byte, error) {
	line := make([]byte, 0, maxLine)
	var b [1]byte
	defer clear(b[:])
	for any := false; ; any = true {
		_, err := io.ReadFull(r, b[:])
		switch {
		case err == nil && b[0] == '\n', err == io.EOF && any:
			return line, nil
		case err == io.EOF:
			return nil, crs.ErrCancelled
		case err != nil:
			clear(line)
			return nil, fmt.Errorf("standard input cannot be read: %w", err)
		case len(line) < maxLine:
			line = append(line, b[0])
		}
	}
}

// printable is the last line of defence against dialog text that is a command to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
