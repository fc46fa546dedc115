package trust

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// TestSameUser: no matter how a client reaches a port or a socket, its user is found.
func TestSameUser(t *testing.T) {
	dial := func(addr net.Addr) (io.Closer, error) { return net.Dial(addr.Network(), addr.String()) }
	for name, way := range map[string]struct {
		network, address string
		dial             func(net.Addr) (io.Closer, error)
		closed           bool // whether the user of a client that is gone is still known
	}{
		"IPv4": {"tcp4", "127.0.0.1:0", dial, false},
		"IPv6": {"tcp6", "[::1]:0", dial, false},
		"IPv4 from an IPv6 socket": {"tcp4", "127.0.0.1:0", func(addr net.Addr) (io.Closer, error) {
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			return os.NewFile(uintptr(fd), ""), unix.Connect(fd, &unix.SockaddrInet6{
				Port: addr.(*net.TCPAddr).Port, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1},
			})
		}, false},
		"local socket": {"unix", filepath.Join(t.TempDir(), "socket"), dial, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen(way.network, way.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := way.dial(l.Addr())
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
			client.Close()
			if err := SameUser(conn); (err == nil) != way.closed {
				t.Errorf("when the client is gone: %v", err)
			}
		})
	}
}

// TestT08AnotherUser: another user is told apart on a port and on a local socket, and so is a
// connection whose user cannot be determined.
func TestT08AnotherUser(t *testing.T) {
	ns.NeedUsers(t)
	program := "/proc/self/exe"
	dir, err := os.MkdirTemp("/tmp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": dir + "/socket"} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if network == "unix" {
				if err := os.Chmod(address, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv(dialVariable, l.Addr().String())
			runAs(t, &syscall.Credential{Uid: 1234, Gid: 1234}, program)
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := SameUser(conn); err == nil || !strings.Contains(err.Error(), "belongs to user 1234") {
				t.Errorf("another user's connection: %v", err)
			}
		})
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	if SameUser(here) == nil || SameProgram(here) == nil {
		t.Error("a connection of which nothing can be told is trusted")
	}
}

func TestSameProgram(t *testing.T) {
	for name, test := range map[string]struct {
		program func() string
		same    bool
	}{
		"this program": {func() string { return "/proc/self/exe" }, true},
		"a copy of it": {func() string { return copied(t, "/proc/self/exe", "crs") }, false},
		"a link to it": {func() string { self, _ := os.Executable(); return self }, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			t.Setenv(dialVariable, l.Addr().String())
			run(t, test.program())
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := SameProgram(conn); (err == nil) != test.same {
				t.Errorf("same program: %v", err)
			}
		})
	}
}
