package trust

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
)

// copied copies a program to a directory of a user, under a browser's name or another.
func copied(t *testing.T, from, name string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// run starts a program that lives until the test ends, and returns when it runs.
func run(t *testing.T, path string, args ...string) *exec.Cmd {
	t.Helper()
	return runAs(t, nil, path, args...)
}

func runAs(t *testing.T, user *syscall.Credential, path string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(path, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c
}

func TestT31Program(t *testing.T) {
	// A browser's name alone is not enough: who can write the file decides.
	for _, name := range []string{"chromium", "firefox", "curl"} {
		path := copied(t, "/bin/cat", name)
		if got, err := program(run(t, path).Process.Pid); got != path || err != nil {
			t.Errorf("%s in a user's directory: %q %v", name, got, err)
		}
	}
	if got, _ := program(run(t, "/bin/cat").Process.Pid); !strings.HasSuffix(got, "/cat") {
		t.Errorf("a program of the administrator that is no browser: %q", got)
	}
	if got, err := program(1 << 30); err == nil {
		t.Errorf("no process: %q", got)
	}
	if pid, err := parent(run(t, "/bin/cat").Process.Pid); pid != os.Getpid() || err != nil {
		t.Errorf("the parent of what this test started: %d %v", pid, err)
	}
}

// The browsers of this computer are where their packages put them.
func TestT31RealBrowsers(t *testing.T) {
	found := 0
	for _, path := range []string{"/usr/lib/chromium/chromium", "/usr/lib/firefox-esr/firefox-esr", "/usr/lib/firefox/firefox"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		found++
		if _, err := AdminOnlyCode(path); err != nil || !isBrowser(filepath.Base(path)) {
			t.Errorf("%s is not known as a browser of the administrator", path)
		}
	}
	if found == 0 {
		t.Fatal("no browser is installed")
	}
	c := exec.Command("/usr/lib/chromium/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "about:blank")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	if got, err := program(c.Process.Pid); got != "" || err != nil {
		t.Errorf("Chromium: %q %v", got, err)
	}
}

// A process in a mount namespace of its own runs another file under a browser's path.
func TestT31ForgedPath(t *testing.T) {
	const browser = "/usr/lib/chromium/chromium"
	c := run(t, "unshare", "-rm", "sh", "-c", "mount --bind /bin/cat "+browser+" && exec "+browser)
	await.That(t, "the forgery runs", func() bool {
		path, _ := os.Readlink("/proc/" + itoa(c.Process.Pid) + "/exe")
		return path == browser
	})
	if got, err := program(c.Process.Pid); got != browser || err != nil {
		t.Errorf("a forged path: %q %v", got, err)
	}
}

func TestT31Holder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := copied(t, "/proc/self/exe", "chromium")
	t.Setenv(dialVariable, l.Addr().String())
	run(t, path)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if got := Browser(conn); got != path {
		t.Errorf("the holder of the socket: %q", got)
	}
	t.Logf("found in %v", time.Since(began))
	if got, err := holder(1); err == nil {
		t.Errorf("no socket: %q", got)
	}
	conn.Close()
	if got := Browser(conn); got != crs.UnknownProgram {
		t.Errorf("a connection that is closed: %q", got)
	}
}

// The path of a program is bytes; what is shown of it is text.
func TestT31PathThatIsNoUTF8(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := copied(t, "/proc/self/exe", "navigatore-\xe8")
	t.Setenv(dialVariable, l.Addr().String())
	run(t, path)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := Browser(conn); got != filepath.Join(filepath.Dir(path), "navigatore-è") {
		t.Errorf("the program: %q", got)
	}
}

// Over a local socket it is what started the process there.
func TestT31Starter(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv(dialVariable, l.Addr().String())
	run(t, "/proc/self/exe")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if self, _ := os.Executable(); Browser(conn) != self {
		t.Errorf("what started the other end: %q", Browser(conn))
	}
}

func BenchmarkHolder(b *testing.B) {
	for b.Loop() {
		holder(1) // all processes are looked at
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
