//go:build linux

package ns

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestWorldIsPrivate(t *testing.T) {
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

// TestRun runs this test binary again, which makes a world in the world.
func TestRun(t *testing.T) {
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, env, dir string
		code           int
		output         string
	}{
		{name: "succeeds", code: 0, output: "--- PASS: TestInner"},
		{name: "fails", env: "CRS_TESTNS_FAIL=1", code: 1, output: "asked to fail"},
		{name: "marker set by hand", env: marker + "=1", code: 1, output: "not a private world"},
		{name: "no driver", dir: empty, code: 1, output: "scripts/bootstrap"},
	} {
		inner := exec.Command("/proc/self/exe", "-test.run=^TestInner$", "-test.v")
		inner.Env = append(os.Environ(), test.env)
		inner.Dir = test.dir
		inner.Stdin = strings.NewReader("input")
		out, err := inner.CombinedOutput()
		if inner.ProcessState == nil {
			t.Fatal(err)
		}
		if code := inner.ProcessState.ExitCode(); code != test.code || !strings.Contains(string(out), test.output) {
			t.Errorf("%s: exit code %d, want %d, and %q in:\n%s", test.name, code, test.code, test.output, out)
		}
	}
}

// TestInner is what TestRun runs.
func TestInner(t *testing.T) {
	if os.Getenv("CRS_TESTNS_FAIL") != "" {
		t.Error("asked to fail")
	}
}
