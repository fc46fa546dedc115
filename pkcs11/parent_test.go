//go:build linux || windows

package pkcs11

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestT18TheWorkerEndsWithItsParent: also one that cannot see that its parent has gone.
func TestT18TheWorkerEndsWithItsParent(t *testing.T) {
	f, _ := faked(t, oneToken())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "parent", f.Path)
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	var worker int
	if _, err := fmt.Fscan(out, &worker); err != nil {
		t.Fatal(err)
	}
	ends := frozen(t, worker)
	parent.Process.Kill()
	if !ends() {
		t.Error("the worker lives on")
		if p, err := os.FindProcess(worker); err == nil {
			p.Kill()
		}
	}
}
