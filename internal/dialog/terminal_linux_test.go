package dialog

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// newPTY returns a terminal's two ends: what a person types on and looks at, and what a program
// has as stdin. Everything the terminal shows is written to shown.
func newPTY(t *testing.T) (person, stdin *os.File, shown *screen.Text) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	person = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	stdin, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	shown = &screen.Text{}
	copied := make(chan struct{})
	go func() {
		io.Copy(shown, person)
		close(copied)
	}()
	t.Cleanup(func() {
		person.Close() // ends every read, on both sides
		stdin.Close()
		<-copied
	})
	return person, stdin, shown
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	termios, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return termios.Lflag&unix.ECHO != 0
}

const pinPromptEnd = "solo Invio = annulla): "

// TestTerminalHidesPIN: a terminal shows answers but no PIN, and shows again afterwards.
func TestTerminalHidesPIN(t *testing.T) {
	t.Parallel()
	person, stdin, shown := newPTY(t)
	ui := NewTerminal(stdin, stdin)

	done := make(chan *crs.PIN)
	go func() {
		pin, err := ui.AskPIN(t.Context(), catalog.PIN(pinPrompt()))
		if err != nil {
			t.Error(err)
		}
		done <- pin
	}()
	shown.Await(t, pinPromptEnd)
	if echoes(t, stdin) {
		t.Error("the terminal would show the PIN")
	}
	answer(t, person, "97531\n")
	if pin := <-done; pin == nil || digits(t, pin) != "97531" {
		t.Errorf("AskPIN = %v", pin)
	}
	if !echoes(t, stdin) {
		t.Error("the terminal still hides what is typed")
	}

	yes := make(chan bool)
	go func() {
		ok, err := ui.Ask(t.Context(), catalog.AllowSite(portal))
		if err != nil {
			t.Error(err)
		}
		yes <- ok
	}()
	shown.Await(t, "n = No; solo Invio = annulla: ")
	answer(t, person, "sì\n")
	if !<-yes {
		t.Error("AllowSite = false")
	}
	shown.Await(t, "annulla: sì")
	if strings.Contains(shown.String(), "97531") {
		t.Errorf("the terminal shows the PIN:\n%s", shown)
	}
}

// typeHalf types a part of a hidden line, and returns when the terminal has it. Nothing is echoed then,
// so Ctrl-S and Ctrl-Q are typed behind it: a terminal in packet mode says when it took those.
func typeHalf(t *testing.T, person *os.File, shown *screen.Text, half string) {
	t.Helper()
	packets := func(on int) {
		c, err := person.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		c.Control(func(fd uintptr) { err = unix.IoctlSetPointerInt(int(fd), unix.TIOCPKT, on) })
		if err != nil {
			t.Fatal(err)
		}
	}
	packets(1)
	answer(t, person, half+"\x13\x11")
	shown.Await(t, string(rune(unix.TIOCPKT_START)))
	packets(0)
}

// TestTerminalRestored: when the page goes while half a PIN is typed, the terminal shows what is
// typed again, and the half is no answer to the next question.
func TestTerminalRestored(t *testing.T) {
	t.Parallel()
	person, stdin, shown := newPTY(t)
	ui := NewTerminal(stdin, stdin)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := ui.AskPIN(ctx, catalog.PIN(pinPrompt()))
		done <- err
	}()
	shown.Await(t, pinPromptEnd)
	typeHalf(t, person, shown, "97")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("AskPIN = %v", err)
	}
	if !echoes(t, stdin) {
		t.Error("the terminal still hides what is typed")
	}

	go func() {
		pin, err := ui.AskPIN(t.Context(), catalog.PIN(pinPrompt()))
		if err == nil && digits(t, pin) != "13579" {
			err = errors.New("the PIN is not what was typed last")
		}
		done <- err
	}()
	await.That(t, "a second question", func() bool { return strings.Count(shown.String(), pinPromptEnd) >= 2 })
	answer(t, person, "13579\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestTerminalForgets: what was typed before a question appeared does not answer it.
func TestTerminalForgets(t *testing.T) {
	t.Parallel()
	person, stdin, shown := newPTY(t)
	ui := NewTerminal(stdin, stdin)
	answer(t, person, "\n\ns\n")
	shown.Await(t, "s") // the terminal has it
	done := make(chan bool)
	go func() {
		yes, err := ui.Ask(t.Context(), catalog.AllowSite(portal))
		if err != nil {
			t.Error(err)
		}
		done <- yes
	}()
	shown.Await(t, "annulla: ")
	answer(t, person, "n\n")
	if <-done {
		t.Error("the question was answered before it was asked")
	}
}

// TestTerminalInterrupted: Ctrl-C during a PIN leaves the terminal as it was. Not parallel: the
// signal goes to the whole process, and every PIN prompt heeds it.
func TestTerminalInterrupted(t *testing.T) {
	_, stdin, shown := newPTY(t)
	ui := NewTerminal(stdin, stdin)
	done := make(chan error)
	go func() {
		_, err := ui.AskPIN(t.Context(), catalog.PIN(pinPrompt()))
		done <- err
	}()
	shown.Await(t, pinPromptEnd)
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("AskPIN = %v", err)
	}
	if !echoes(t, stdin) {
		t.Error("the terminal still hides what is typed")
	}
}
