package bridge

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// TestMain runs the tests in a network of their own, where the ports of the bridge are free and
// a second interface address can be made up.
func TestMain(m *testing.M) {
	if call := os.Getenv(childVariable); call != "" {
		childDial(call)
		os.Exit(0)
	}
	if os.Getuid() != 0 {
		os.Exit(ns.AsRoot()) // TestT08OtherUser needs a second user
	}
	os.Exit(ns.World{Tests: withoutLeaks{m}, WithoutPcscd: true}.Run())
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
