//go:build linux

package ns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestWorldIsPrivate(t *testing.T) {
	Need(t)
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(interfaces) != 1 || interfaces[0].Flags&net.FlagUp == 0 || interfaces[0].Flags&net.FlagLoopback == 0 {
		t.Errorf("interfaces %+v, not the loopback alone", interfaces)
	}
	if drivers, err := os.ReadDir(usbDir); err == nil && len(drivers) != 0 {
		t.Errorf("pcscd finds the driver of real readers: %v", drivers)
	}
	if os.Getenv(marker) != "" {
		t.Errorf("%s is left in the environment", marker)
	}
}

// Both ends of a pcscd, and a start after each.
func TestPcscd(t *testing.T) {
	NeedPcscd(t)
	NeedProgram(t, "opensc-tool")
	for name, end := range map[string]func() error{"Stop": Pcscd.Stop, "Kill": Pcscd.Kill} {
		out, err := exec.Command("opensc-tool", "--list-readers").CombinedOutput()
		if err != nil || !strings.Contains(string(out), FirstReader) || !strings.Contains(string(out), SecondReader) {
			t.Errorf("opensc-tool --list-readers: %v\n%s", err, out)
		}
		if lines := strings.Count(string(out), "\n"); lines != 4 { // two of them a heading
			t.Errorf("not two readers:\n%s", out)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if answers() {
			t.Errorf("pcscd answers after %s", name)
		}
		if err := end(); err != nil {
			t.Errorf("%s without pcscd: %v", name, err)
		}
		if err := Pcscd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Pcscd.Start(); err == nil {
		t.Error("a second pcscd was started")
	}
}

// TestRun runs this test binary again, which makes a world in the world, or cannot.
func TestRun(t *testing.T) {
	Need(t)
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const inMemory = "--- PASS: TestInMemory"
	// In a user namespace that may have no further one of a kind.
	forbidden := func(kind string) []string {
		return []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", "echo 0 > /proc/sys/user/max_" + kind + "_namespaces; exec \"$@\"", "sh"}
	}
	for _, test := range []struct {
		name, env, dir string
		in             []string
		code           int
		output         []string
	}{
		{name: "succeeds", code: 0, output: []string{"--- PASS: TestInner", inMemory}},
		{name: "fails", env: "CRS_TESTNS_FAIL=1", code: 1, output: []string{"asked to fail", inMemory}},
		{name: "marker set by hand", env: marker + "=1", code: 1, output: []string{"not a private world"}},
		{name: "no driver", dir: empty, code: 1, output: []string{"needs pcscd in a private namespace", "vpcd", "scripts/bootstrap", inMemory}},
		{name: "no network of its own", in: forbidden("net"), code: 1, output: []string{"needs a private namespace", "or run it as root", inMemory}},
		{name: "a network that stays down", in: []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}, code: 1, output: []string{"needs a private namespace", "loopback", inMemory}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append(test.in, self, "-test.run=^TestInner$|^TestInMemory$", "-test.v")
			inner := exec.Command(args[0], args[1:]...)
			inner.Env = append(os.Environ(), test.env)
			inner.Dir = test.dir
			inner.Stdin = strings.NewReader("input")
			out, err := inner.CombinedOutput()
			if inner.ProcessState == nil {
				t.Fatal(err)
			}
			if code := inner.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, want := range test.output {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q", want)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

// TestInner is what TestRun runs, and TestInMemory, which asks for nothing.
func TestInner(t *testing.T) {
	NeedPcscd(t)
	if os.Getenv("CRS_TESTNS_FAIL") != "" {
		t.Error("asked to fail")
	}
}

func TestInMemory(t *testing.T) {
	if _, err := os.Stat(os.Getenv("PCSCLITE_CSOCK_NAME")); errNoWorld != nil && err == nil {
		t.Error("the pcscd of the machine is within reach")
	}
}

func TestNeedProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short nothing fails for want of a program")
	}
	var failed failure
	NeedProgram(&failed, "go", "/", "no-such-program")
	if !strings.Contains(failed.text, "no-such-program") || !strings.Contains(failed.text, "scripts/bootstrap test") {
		t.Errorf("%q", failed.text)
	}
}

// failure is a test that fails, and says how.
type failure struct {
	testing.TB
	text string
}

func (f *failure) Helper() {}

func (f *failure) Fatalf(format string, args ...any) { f.text = fmt.Sprintf(format, args...) }
