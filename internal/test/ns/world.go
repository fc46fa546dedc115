//go:build linux

package ns

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/scard"
)

// Main runs the tests of a package in a World with pcscd, and exits.
func Main(m *testing.M) { os.Exit(World{Tests: m}.Run()) }

// World runs tests in a private world. Where none can be made, or not all of it, they run all the
// same, and those that asked for what is missing fail: see Need. World fits where a *testing.M is
// asked for, as in testscript.Main.
type World struct {
	Tests interface{ Run() int }
	// WithoutPcscd starts none; a test may still do so with Pcscd.Start.
	WithoutPcscd bool
	// Users are needed besides root: see NeedUsers.
	Users bool
}

// marker tells the re-executed test binary that it is the inner one.
const marker = "CRS_TESTNS_INNER"

// What there is of the world. A nil error means that it is there.
var (
	errNoWorld = errors.New("TestMain made none")
	errNoPcscd = errors.New("TestMain started none")
)

// Run returns the exit code of the tests, or 1 and says why when they cannot run.
func (w World) Run() int {
	// A fuzz worker is started by a test process that is in its world already.
	for _, arg := range os.Args[1:] {
		if strings.HasPrefix(arg, "-test.fuzzworker") {
			return w.Tests.Run()
		}
	}
	code, err := w.run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "ns: the tests cannot run: %v\n", err)
		return 1
	}
	return code
}

func (w World) run() (int, error) {
	flag.Parse() // of -short
	if os.Getenv(marker) != "" {
		return w.inside()
	}
	if testing.Short() {
		return w.alone(), nil
	}
	if w.Users && os.Getuid() != 0 && mapsUsers() {
		return asRoot()
	}
	code, err := reexec()
	var none *noWorldError
	if !errors.As(err, &none) {
		return code, err
	}
	errNoWorld = none
	return w.alone(), nil
}

// alone runs the tests in the machine itself. No card of its user may be within their reach.
func (w World) alone() int {
	os.Setenv("PCSCLITE_CSOCK_NAME", "/nonexistent/pcscd.comm")
	return w.Tests.Run()
}

// noWorldError says why there cannot be a private world on this machine.
type noWorldError struct{ why string }

func (e *noWorldError) Error() string { return e.why }

// inside is run in the new namespaces. A failure to set up the world in them is reported to the
// outer process, which then runs the tests.
func (w World) inside() (int, error) {
	os.Unsetenv(marker) // a test binary that a test starts makes a world of its own
	// If the variable was set by hand, the mounts of the machine itself must not be touched: a
	// network that was just made has its loopback interface down.
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return 0, err
	}
	if lo.Flags&net.FlagUp != 0 {
		return 0, fmt.Errorf("%s is set, but this is not a private world", marker)
	}
	outer := os.NewFile(3, "outer process")
	if err := furnish(); err != nil {
		fmt.Fprint(outer, err)
		return 1, nil
	}
	outer.Close()
	errNoWorld = nil
	if !w.WithoutPcscd {
		errNoPcscd = startPcscd()
	}
	code := w.Tests.Run()
	if err := Pcscd.Stop(); err != nil {
		return 0, err
	}
	return code, nil
}

// startPcscd fails, too, where this test binary has no way to pcscd: without cgo.
func startPcscd() error {
	if err := Pcscd.Start(); err != nil {
		return err
	}
	pcsc, err := scard.EstablishContext()
	if err != nil {
		return err
	}
	return pcsc.Release()
}

// reexec runs this test binary once more, in new namespaces. Namespaces are entered by a new
// process, not by this one: the Go runtime has started its threads already.
func reexec() (int, error) {
	// The inner process dies with this thread, so this thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	obstacle, outer, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer obstacle.Close()
	defer outer.Close()
	inner := exec.Command("/proc/self/exe", os.Args[1:]...)
	inner.Args[0] = os.Args[0]
	inner.Env = append(os.Environ(), marker+"=1")
	inner.Stdin, inner.Stdout, inner.Stderr = os.Stdin, os.Stdout, os.Stderr
	inner.ExtraFiles = []*os.File{outer}
	inner.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid := os.Getuid(); uid != 0 {
		// In a user namespace that holds this user as root, the other two are allowed.
		inner.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		inner.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		inner.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}

	// `go test` asks for a trace by SIGQUIT when the tests take too long.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := inner.Start(); err != nil {
		return 0, &noWorldError{err.Error()}
	}
	go func() {
		for s := range signals {
			inner.Process.Signal(s)
		}
	}()
	outer.Close()
	why, err := io.ReadAll(obstacle)
	if err != nil {
		return 0, err
	}
	err = inner.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if len(why) != 0 {
		return 0, &noWorldError{string(why)}
	}
	if status := inner.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 0, fmt.Errorf("the test process was ended by %v", status.Signal())
	}
	return inner.ProcessState.ExitCode(), nil
}

const (
	socketDir = "/run/pcscd"            // compiled into pcscd and into its clients
	usbDir    = "/usr/lib/pcsc/drivers" // where pcscd looks for the drivers of real readers

	// Registrations is where p11-kit's modules are registered: none is, but by a test.
	Registrations = "/usr/share/p11-kit/modules"
)

// browserDirs are where browsers look for the policies and the native-messaging manifests of the
// whole computer. Tests find them empty and fill them.
var browserDirs = []string{"/etc/chromium", "/usr/lib/mozilla"}

// furnish makes the new namespaces a place for tests.
func furnish() error {
	// Nothing mounted here may be seen outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := ownRoot(Registrations, Modules, SoftHSM, "/usr/bin/zenity"); err != nil {
		return err
	}
	if err := os.MkdirAll(socketDir, 0o755); err != nil {
		// Without systemd nobody made it, and only root may: a /run of our own then.
		if err := tmpfs("/run"); err != nil {
			return err
		}
		if err := os.MkdirAll(socketDir, 0o755); err != nil {
			return err
		}
	}
	if err := tmpfs(socketDir); err != nil {
		return err
	}
	for _, dir := range []string{Registrations, Modules} {
		if _, err := os.Stat(dir); err == nil {
			if err := tmpfs(dir); err != nil {
				return err
			}
		}
	}
	// A second pcscd would take the PC's real readers, and the citizen's card in them.
	for _, dir := range append([]string{usbDir}, browserDirs...) {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := tmpfs(dir); err != nil {
			return err
		}
	}
	return loopbackUp()
}

func tmpfs(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting a tmpfs on %s: %w", dir, err)
	}
	return nil
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing the loopback interface up: %w", err)
	}
	return nil
}
