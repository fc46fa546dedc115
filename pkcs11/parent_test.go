//go:build linux || windows

package pkcs11

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestT18TheWorkerEndsWithItsParent: also one that does not see that its input has ended.
func TestT18TheWorkerEndsWithItsParent(t *testing.T) {
	parent := exec.Command(executable(t), "parent", "deaf", "/none")
	worker := workerOf(t, parent)
	ends := endOf(t, worker)
	parent.Process.Kill()
	if !ends() {
		t.Error("the worker lives on")
		if p, err := os.FindProcess(worker); err == nil {
			p.Kill()
		}
	}
}

func executable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// workerOf starts a program that uses a module, until the test ends, and returns its worker.
func workerOf(t *testing.T, parent *exec.Cmd) (pid int) {
	t.Helper()
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		parent.Process.Kill()
		parent.Wait()
	})
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatalf("no worker was started: %v", err)
	}
	return pid
}
