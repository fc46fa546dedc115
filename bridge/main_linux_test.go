package bridge

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// TestMain runs the tests in a network of their own, where the ports of the bridge are free and
// a second interface address can be made up.
func TestMain(m *testing.M) {
	if call := os.Getenv(childVariable); call != "" {
		childDial(call)
		os.Exit(0)
	}
	os.Exit(ns.World{Tests: ns.WithoutLeaks{Tests: m}, WithoutPcscd: true, Users: true}.Run())
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
