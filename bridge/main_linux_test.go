package bridge

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crs-bridge/crs/internal/testns"
)

// TestMain runs the tests in a network of their own, where the ports of the bridge are free and
// a second interface address can be made up.
func TestMain(m *testing.M) {
	if call := os.Getenv(childVariable); call != "" {
		childDial(call)
		os.Exit(0)
	}
	if os.Getuid() != 0 {
		os.Exit(asRoot())
	}
	os.Exit(testns.World{Tests: withoutLeaks{m}, WithoutPcscd: true}.Run())
}

// asRoot runs this test binary in a user namespace that knows other users besides this one:
// TestT08OtherUser needs a second one. It takes newuidmap, from Debian's package uidmap.
func asRoot() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	inner := exec.Command("unshare", append([]string{"--user", "--map-root-user", "--map-auto", self}, os.Args[1:]...)...)
	inner.Stdin, inner.Stdout, inner.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = inner.Run()
	if inner.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return inner.ProcessState.ExitCode()
}

// withoutLeaks fails when a goroutine outlives the tests.
type withoutLeaks struct{ tests *testing.M }

func (w withoutLeaks) Run() int {
	before := goleak.IgnoreCurrent()
	code := w.tests.Run()
	if err := goleak.Find(before); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// childVariable makes the test binary a client in a process of its own: it connects to the
// address in it, sends what it reads from stdin, and writes the first bytes of the answer.
const childVariable = "CRS_BRIDGE_TEST_DIAL"

func childDial(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	request := make([]byte, 4096)
	n, _ := os.Stdin.Read(request)
	conn.Write(request[:n])
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	n, _ = conn.Read(request)
	os.Stdout.Write(request[:n])
}
