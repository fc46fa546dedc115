package browser

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// TestMain is also the program that asks: started with an address it connects and stays until its
// stdin ends.
func TestMain(m *testing.M) {
	if address := os.Getenv("CRS_TEST_DIAL"); address != "" {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			os.Exit(1)
		}
		io.Copy(io.Discard, os.Stdin)
		conn.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

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
	c := exec.Command(path, args...)
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
		if got := Program(run(t, path).Process.Pid); got != path {
			t.Errorf("%s in a user's directory: %q", name, got)
		}
	}
	if got := Program(run(t, "/bin/cat").Process.Pid); !strings.HasSuffix(got, "/cat") {
		t.Errorf("a program of the administrator that is no browser: %q", got)
	}
	if got := Program(1 << 30); got != crs.UnknownProgram {
		t.Errorf("no process: %q", got)
	}
	// The parent of what this test started is this test.
	self, _ := os.Executable()
	if got := Parent(run(t, "/bin/cat").Process.Pid); got != self {
		t.Errorf("the parent: %q", got)
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
		if !known(filepath.Base(path)) || !onlyRoot(path) {
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
	if got := Program(c.Process.Pid); got != "" {
		t.Errorf("Chromium: %q", got)
	}
}

// A process in a mount namespace of its own runs another file under a browser's path.
func TestT31ForgedPath(t *testing.T) {
	const browser = "/usr/lib/chromium/chromium"
	c := run(t, "unshare", "-rm", "sh", "-c", "mount --bind /bin/cat "+browser+" && exec "+browser)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		path, _ := os.Readlink("/proc/" + itoa(c.Process.Pid) + "/exe")
		if path == browser {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the forgery does not run: %q", path)
		}
	}
	if got := Program(c.Process.Pid); got != browser {
		t.Errorf("a forged path: %q", got)
	}
}

func TestT31Holder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := copied(t, "/proc/self/exe", "chromium")
	t.Setenv("CRS_TEST_DIAL", l.Addr().String())
	c := run(t, path)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	inode := socketOf(t, c.Process.Pid)
	began := time.Now()
	if got := Holder(inode); got != path {
		t.Errorf("the holder of the socket: %q", got)
	}
	t.Logf("found in %v", time.Since(began))
	if got := Holder(1); got != crs.UnknownProgram {
		t.Errorf("no socket: %q", got)
	}
}

func BenchmarkHolder(b *testing.B) {
	for b.Loop() {
		Holder(1) // all processes are looked at
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// socketOf returns the inode of a process's one socket.
func socketOf(t *testing.T, pid int) uint32 {
	t.Helper()
	files, _ := filepath.Glob("/proc/" + itoa(pid) + "/fd/*")
	for _, f := range files {
		var inode uint32
		if to, err := os.Readlink(f); err == nil {
			if n, _ := fmt.Sscanf(to, "socket:[%d]", &inode); n == 1 {
				return inode
			}
		}
	}
	t.Fatal("no socket")
	return 0
}
