//go:build linux

package ns

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
)

// Where a virtual card is inserted: the reader has two slots, each a TCP port.
const (
	FirstSlot  = "127.0.0.1:35963"
	SecondSlot = "127.0.0.1:35964"
)

// Names under which pcscd lists the two slots.
const (
	FirstReader  = "Virtual PCD 00 00"
	SecondReader = "Virtual PCD 00 01"
)

// Pcscd is the pcscd of this world. Start, Stop and Kill are for tests of a pcscd that is late,
// restarted or gone; such a test leaves it running.
var Pcscd Daemon

// A Daemon is one pcscd process at a time.
type Daemon struct {
	// Name is what the reader is called from the next Start on; "" is "Virtual PCD".
	Name string

	// Readers is how many readers of two slots there are from the next Start on; 0 is one. Their ports
	// follow those of the first.
	Readers int

	mu      sync.Mutex
	process *os.Process   // nil: none
	ended   chan struct{} // closed when process has ended
}

// Start runs pcscd and waits until it answers and both slots take a card.
func (d *Daemon) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errNoWorld != nil {
		return errNoWorld // it would take the readers of the machine
	}
	if d.process != nil {
		return errors.New("pcscd runs already")
	}
	program, err := exec.LookPath("/usr/sbin/pcscd") // not in every user's PATH
	if err != nil {
		return errors.New("pcscd is not installed")
	}
	driver, err := vpcd()
	if err != nil {
		return err
	}
	config := filepath.Join(socketDir, "reader.conf")
	var readers strings.Builder
	for i := range max(d.Readers, 1) {
		port := 0x8C7B + 2*i
		name, library := cmp.Or(d.Name, "Virtual PCD"), driver
		if i > 0 {
			name = fmt.Sprintf("%s %d", name, i+1)
			// The library keeps one state a slot number for all readers that it drives. Each copy is
			// a library of its own.
			own := filepath.Join(socketDir, fmt.Sprintf("vpcd%d.so", i+1))
			if err := copyFile(own, driver); err != nil {
				return err
			}
			library = own
		}
		fmt.Fprintf(&readers, "FRIENDLYNAME \"%s\"\nDEVICENAME /dev/null:0x%X\nLIBPATH %s\nCHANNELID 0x%X\n\n", name, port, library, port)
	}
	if err := os.WriteFile(config, []byte(readers.String()), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(socketDir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()

	pcscd := exec.Command(program, "--foreground", "--config", config)
	pcscd.Stdout, pcscd.Stderr = log, log
	pcscd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := pcscd.Start(); err != nil {
		return err
	}
	d.process, d.ended = pcscd.Process, make(chan struct{})
	go func(ended chan struct{}) {
		pcscd.Wait()
		close(ended)
	}(d.ended)

	deadline := time.After(await.Limit)
	for !answers() {
		select {
		case <-d.ended:
			d.process = nil
			return fmt.Errorf("pcscd ended at its start:\n%s", logged())
		case <-deadline:
			d.end(syscall.SIGKILL)
			return fmt.Errorf("pcscd does not answer:\n%s", logged())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// Stop ends pcscd as an administrator would. Without pcscd it does nothing.
func (d *Daemon) Stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.end(syscall.SIGTERM)
}

// Kill ends pcscd in the middle of its work. Its socket stays behind.
func (d *Daemon) Kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.end(syscall.SIGKILL)
}

// Signal sends a signal, such as SIGSTOP: a pcscd that runs and does not answer.
func (d *Daemon) Signal(s syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process == nil {
		return errors.New("no pcscd runs")
	}
	return d.process.Signal(s)
}

func (d *Daemon) end(s syscall.Signal) error {
	if d.process == nil {
		return nil
	}
	defer func() { d.process = nil }()
	d.process.Signal(s)
	select {
	case <-d.ended:
		return nil
	case <-time.After(await.Limit):
		d.process.Kill()
		<-d.ended
		return fmt.Errorf("pcscd did not end by %v:\n%s", s, logged())
	}
}

// answers reports whether pcscd accepts clients and both slots wait for a card. The slots are
// looked up, not tried: a connection would be a card.
func answers() bool {
	c, err := net.Dial("unix", filepath.Join(socketDir, "pcscd.comm"))
	if err != nil {
		return false
	}
	c.Close()
	tcp, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return false
	}
	const listen = " 00000000:0000 0A"
	return strings.Contains(string(tcp), ":8C7B"+listen) && strings.Contains(string(tcp), ":8C7C"+listen)
}

func logged() string {
	b, _ := os.ReadFile(filepath.Join(socketDir, "log"))
	return string(b)
}

// vpcd finds the reader driver that scripts/bootstrap unpacked in the module that is tested.
func vpcd() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	driver := filepath.Join(dir, "build/vpcd/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
	if _, err := os.Stat(driver); err != nil {
		return "", errors.New("the virtual reader driver vpcd is not unpacked under build/")
	}
	return driver, nil
}
