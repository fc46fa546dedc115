package tray

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/desk"
)

// openPanel starts a panel on a display and a bus of its own.
func openPanel(t *testing.T) {
	t.Helper()
	desk.Display(t)
	desk.Bus(t)
	desk.Panel(t, func() bool { return Icons() == nil })
}

// trayProcess is a tray in a process of its own, whose service is the test.
type trayProcess struct {
	cmd    *exec.Cmd
	in     *json.Encoder
	out    chan string // what the tray asked of its service, by lines
	stderr string      // a file
}

// scene is what the service of a trayProcess says.
type scene struct {
	OK     bool
	Status ipc.Status
	Lang   string
	Sites  []state.Site
	Found  string // by Diagnose
	Fail   string // error of ChangePIN
}

const trayEnv = "CRS_TEST_TRAY"

func startTray(t *testing.T) *trayProcess {
	t.Helper()
	p := &trayProcess{cmd: exec.Command(os.Args[0], "-test.run=^TestTrayProcess$"), out: make(chan string, 100), stderr: filepath.Join(t.TempDir(), "stderr")}
	p.cmd.Env = append(os.Environ(), trayEnv+"=1", desk.RaceOptions)
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p.cmd.Stderr = stderr
	t.Cleanup(func() {
		b, _ := os.ReadFile(p.stderr)
		if races := desk.Races(string(b)); races != "" {
			t.Error(races)
		}
	})
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = json.NewEncoder(in)
	desk.Start(t, p.cmd)
	go func() {
		defer close(p.out)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.out <- lines.Text()
		}
		io.Copy(io.Discard, out)
	}()
	return p
}

// says waits for a sentence on stderr, and returns all that is there.
func (p *trayProcess) says(t *testing.T, sentence string) (stderr string) {
	t.Helper()
	await.That(t, "stderr says "+sentence, func() bool {
		b, _ := os.ReadFile(p.stderr)
		stderr = string(b)
		return strings.Contains(stderr, sentence)
	})
	return stderr
}

// title returns the state in words, as a screen reader would say it.
func (p *trayProcess) title() string {
	return strings.TrimPrefix(desk.Tooltip(p.cmd.Process.Pid), name+": ")
}

// play makes the service of the tray say s, and waits until the tray shows it.
func (p *trayProcess) play(t *testing.T, s scene) {
	t.Helper()
	if err := p.in.Encode(s); err != nil {
		t.Fatal(err)
	}
	want := render(s.Status, s.OK, s.Lang).title
	await.That(t, "the tray says "+want, func() bool { return p.title() == want })
}

// asked waits for what the tray asks of its service.
func (p *trayProcess) asked(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-p.out:
		if got != want {
			t.Errorf("the tray asked %q, want %q", got, want)
		}
	case <-time.After(await.Limit):
		t.Fatalf("the tray does not ask %q", want)
	}
}
