package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// freezePcscd makes the pcscd of this world answer nothing, until thaw is called.
func freezePcscd(t *testing.T) (thaw func()) {
	t.Helper()
	ns.NeedPcscd(t)
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // the thread may be gone
		for _, child := range strings.Fields(string(children)) {
			name, _ := os.ReadFile("/proc/" + child + "/comm")
			if string(name) != "pcscd\n" {
				continue
			}
			pid, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			thaw = func() { syscall.Kill(pid, syscall.SIGCONT) }
			t.Cleanup(thaw)
			return thaw
		}
	}
	t.Fatal("no pcscd")
	return nil
}

// TestStopWithoutPcscd: the service ends although pcscd hangs.
func TestStopWithoutPcscd(t *testing.T) {
	serve := citizen.NewHome(t).Serve(t)
	serve.Next("msg=reader")
	freezePcscd(t)
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}
}

// TestSecondSignal: a command that waits for a pcscd that hangs takes the first signal as a
// request, and the next one kills it.
func TestSecondSignal(t *testing.T) {
	freezePcscd(t)
	list := citizen.NewHome(t).Start(t, "crs", "card", "list")
	await.That(t, "a connection to pcscd", func() bool { return connected(list.Process.Pid) })
	await.That(t, "a signal that ends it", func() bool {
		list.Process.Signal(syscall.SIGINT)
		select {
		case <-list.Ended:
			return true
		case <-time.After(200 * time.Millisecond):
			return false
		}
	})
	if list.Code != -1 {
		t.Errorf("not killed, but ended with code %d", list.Code)
	}
}

// connected reports whether a process has a socket.
func connected(pid int) bool {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	for _, file := range files {
		if to, _ := os.Readlink(file); strings.HasPrefix(to, "socket:") {
			return true
		}
	}
	return false
}
