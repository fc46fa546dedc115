//go:build linux

package citizen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/test/screen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// What the tests of the program have in common: cards in the two slots of pcscd, the program in
// a process of its own, and pages that ask it for a login. Tests that use the slots or the
// bridge's port are not parallel.

// Slots are where a card goes in, and what pcscd calls the place.
var Slots = map[string]struct{ address, Reader string }{
	"1": {ns.FirstSlot, ns.FirstReader},
	"2": {ns.SecondSlot, ns.SecondReader},
}

// Card is a card in a slot.
type Card struct {
	*virtualcard.Card
	Reader string
	Pull   func() error // returns when pcscd has noticed; may be called again
}

// InsertCard puts a card into a slot, and returns when pcscd has noticed if it runs.
func InsertCard(slot string, card *virtualcard.Card) (Card, error) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- card.ServeVPCD(ctx, Slots[slot].address) }()
	in := Card{Card: card, Reader: Slots[slot].Reader}
	in.Pull = func() error {
		if ctx.Err() != nil {
			return nil
		}
		cancel()
		if err := <-served; err != nil && !errors.Is(err, crs.ErrCardRemoved) {
			return err
		}
		return ns.AwaitSlot(in.Reader, scard.StateEmpty)
	}
	return in, ns.AwaitSlot(in.Reader, scard.StatePresent)
}

// Insert puts a new card into the first slot until the test ends.
func Insert(t testing.TB, config virtualcard.Config) Card {
	t.Helper()
	return InsertAgain(t, virtualcard.New(config))
}

func InsertAgain(t testing.TB, card *virtualcard.Card) Card {
	t.Helper()
	ns.NeedPcscd(t)
	in, err := InsertCard("1", card)
	t.Cleanup(func() {
		if err := in.Pull(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// The bridge, a site, and what the program asks.
const (
	BridgeAddress = "127.0.0.1:27770"

	Portale  = "https://portale.example"
	PIN      = "7391465" // no other number that a test writes contains it
	WrongPIN = "4826193"

	InsertPrompt = "Quando la carta viene riconosciuta" // wrapped, so only the beginning of a line
	PinAsked     = "PIN (non si vede mentre lo scrive; solo Invio = annulla): "
	SiteAsked    = "s = Sì, è il sito giusto; n = No; solo Invio = annulla: "
	CardReady    = `msg="card ready"`
)

// Home is the home directory of a user, and all that the program writes.
type Home string

func NewHome(t testing.TB) Home {
	t.Helper()
	ns.Need(t) // the program listens on its own ports
	sources()
	h := Home(t.TempDir())
	if err := os.Mkdir(filepath.Join(string(h), "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h Home) Env() []string {
	dir := string(h)
	return append([]string{
		"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir + "/run", "XDG_STATE_HOME=" + dir + "/state",
		"XDG_CONFIG_HOME=" + dir + "/config", "XDG_CACHE_HOME=" + dir + "/cache", "TMPDIR=" + dir,
		"LANG=it_IT.UTF-8", "PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"),
	}, Session...)
}

// Session is the environment of a display and a session bus, while a test has them.
var Session []string

// Command runs a command of the program to its end, which is a success.
func (h Home) Command(t testing.TB, args ...string) string {
	t.Helper()
	crs := exec.Command("crs", args...)
	crs.Env = h.Env()
	out, err := crs.CombinedOutput()
	if err != nil {
		t.Fatalf("crs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Program is a command of the program that is under way.
type Program struct {
	t              testing.TB
	Process        *os.Process
	Stdin          io.WriteCloser
	Stdout, Stderr *screen.Text
	read           int // how much of stderr next has looked at
	Ended          chan struct{}
	Code           int // when ended is closed
}

// Start starts a command, by the name of its file, and kills it when the test ends.
func (h Home) Start(t testing.TB, file string, args ...string) *Program {
	t.Helper()
	p := &Program{t: t, Stdout: &screen.Text{}, Stderr: &screen.Text{}, Ended: make(chan struct{})}
	cmd := exec.Command(file, args...)
	cmd.Env = h.Env()
	cmd.Stdout, cmd.Stderr = p.Stdout, p.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Process = cmd.Process
	go func() {
		cmd.Wait()
		p.Code = cmd.ProcessState.ExitCode()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.Ended
		if t.Failed() {
			t.Logf("crs %s wrote:\n%s", strings.Join(args, " "), p.Stderr)
		}
	})
	return p
}

// Serve starts the service, with dialogs in the terminal, and returns when it listens.
func (h Home) Serve(t testing.TB, args ...string) *Program {
	t.Helper()
	p := h.Start(t, "crs", append([]string{"serve", "--ui", "terminal"}, args...)...)
	p.Next("msg=listening")
	return p
}

// Next returns when a text was written to stderr after what the last call of next waited for.
func (p *Program) Next(text string) {
	p.t.Helper()
	await.That(p.t, fmt.Sprintf("the program writes %q", text), func() bool {
		p.t.Helper()
		ended := false
		select {
		case <-p.Ended:
			ended = true // before what it wrote is read
		default:
		}
		written := p.Stderr.String()
		_, after, ok := strings.Cut(written[p.read:], text)
		if ok {
			p.read = len(written) - len(after)
		} else if ended {
			p.t.Fatalf("the program ended with code %d and did not write %q", p.Code, text)
		}
		return ok
	})
}

// Answer types lines.
func (p *Program) Answer(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Stdin, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// Stop sends a signal and returns the exit code.
func (p *Program) Stop(s os.Signal) int {
	p.t.Helper()
	p.Process.Signal(s)
	select {
	case <-p.Ended:
	case <-time.After(await.Limit):
		p.t.Fatalf("the program does not end by %v", s)
	}
	return p.Code
}
