package trust

import (
	"net"
	"os"
	"testing"
)

// TestSameUserOnWindows: this user's client is found at the other end of a port.
func TestSameUserOnWindows(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := SameUser(conn); err != nil {
		t.Error(err)
	}
	if self, _ := os.Executable(); Browser(conn) != self {
		t.Errorf("this program is %q", Browser(conn))
	}
	client.Close()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	if SameUser(here) == nil || SameProgram(here) == nil {
		t.Error("a connection of which nothing can be told is trusted")
	}
}
