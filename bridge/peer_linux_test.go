package bridge

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/ns"
)

func TestT08OtherUser(t *testing.T) {
	ns.NeedUsers(t)
	w := newWorld(t)
	dialAs := func(uid uint32) string {
		child := exec.Command("/proc/self/exe")
		child.Env = append(os.Environ(), childVariable+"="+w.addr)
		child.Stdin = strings.NewReader(handshake("Host: "+w.addr, "Origin: "+portale))
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("as user %d: %v %s", uid, err, out)
		}
		return string(out)
	}
	if answer := dialAs(uint32(os.Getuid())); !accepted(answer) {
		t.Errorf("own user: %q", answer)
	}
	if answer := dialAs(1234); answer != refusal {
		t.Errorf("another user: %q", answer)
	}
	if !strings.Contains(w.logs.String(), "the peer belongs to user 1234") {
		t.Errorf("refused for another reason:\n%s", w.logs)
	}
}

func TestT09LoopbackOnly(t *testing.T) {
	ns.Need(t)
	const second = "192.0.2.1"
	addAddress(t, second)
	l, err := Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	// The scan would find a listener that is open to the network.
	open, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	scan := func(port int) bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(second, strconv.Itoa(port)), time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if !scan(open.Addr().(*net.TCPAddr).Port) {
		t.Fatal("the second interface address does not work")
	}
	for _, port := range Ports {
		if scan(port) {
			t.Errorf("port %d is reachable from another interface", port)
		}
	}
	for _, one := range l.each {
		if ip := one.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
			t.Errorf("listens on %v", ip)
		}
	}
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "127.0.0.2:0", "localhost:0", "portale.example:1", "[::ffff:127.0.0.1]:0", "127.0.0.1", "x"} {
		if l, err := Listen(addr); err == nil {
			t.Errorf("Listen(%q) works", addr)
			l.Close()
		}
	}
}

// addAddress gives the loopback interface of this private network a second address.
func addAddress(t *testing.T, address string) {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := lo.SetInet4Addr(net.ParseIP(address).To4()); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCSIFADDR, lo); err != nil {
		t.Fatal(err)
	}
}
