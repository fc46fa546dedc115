//go:build linux

package testns

import (
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestReadersAndRestart(t *testing.T) {
	for _, end := range []func() error{Pcscd.Stop, Pcscd.Kill} {
		out, err := exec.Command("opensc-tool", "--list-readers").CombinedOutput()
		if err != nil || !strings.Contains(string(out), FirstReader) || !strings.Contains(string(out), SecondReader) {
			t.Errorf("opensc-tool --list-readers: %v\n%s", err, out)
		}
		if n := strings.Count(string(out), "\n"); n != 4 { // two lines of heading
			t.Errorf("not two readers:\n%s", out)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if answers() {
			t.Error("pcscd answers after its end")
		}
		if err := Pcscd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Pcscd.Start(); err == nil {
		t.Error("a second Start succeeded")
	}
}
