package ipc

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// portal is a portal socket that says "served" to whom it serves.
type portal struct {
	path   string
	log    *lockedBuffer
	served atomic.Int32
}

func newPortal(t *testing.T) *portal {
	t.Helper()
	newUser(t)
	l, err := ListenPortal()
	if err != nil {
		t.Fatal(err)
	}
	path, err := socketPath(portalSocket)
	if err != nil {
		t.Fatal(err)
	}
	p := &portal{path: path, log: &lockedBuffer{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ServePortal(ctx, l, slog.New(slog.NewTextHandler(p.log, nil)), func(_ context.Context, conn net.Conn, _ func() string) {
			defer conn.Close()
			p.served.Add(1)
			io.WriteString(conn, "served")
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return p
}

// TestT26PortalSocket: a native host that is another program than the service finds that out, and
// so does the service.
func TestT26PortalSocket(t *testing.T) {
	p := newPortal(t)
	copied := otherProgram(t)
	for _, test := range []struct{ program, how, want, log string }{
		{copied, "native host", ErrOtherProgram.Error() + "\n", ""},
		{copied, "another user", "", "the peer is another program"}, // of this user, and without a look at the service
		{"/proc/self/exe", "native host", "served<nil>\n", ""},
	} {
		t.Run(test.program, func(t *testing.T) {
			cmd := exec.Command(test.program)
			cmd.Env = append(os.Environ(), "CRS_TEST_CLIENT="+test.how, "CRS_TEST_SOCKET="+p.path)
			out, err := cmd.Output()
			if err != nil || string(out) != test.want || !strings.Contains(p.log.String(), test.log) {
				t.Errorf("%s, %s: %q, %v, want %q; log:\n%s", test.program, test.how, out, err, test.want, p.log)
			}
		})
	}
	if n := p.served.Load(); n != 1 {
		t.Errorf("%d were served", n)
	}
}

// TestT08PortalSocket: the socket is the user's alone, and were it not, another user is not served,
// though it runs the same program.
func TestT08PortalSocket(t *testing.T) {
	p := newPortal(t)
	openToAll(t, p.path)
	for uid, want := range map[uint32]string{uint32(os.Getuid()): "served", 1234: ""} {
		if out, err := asUser(t, uid, p.path); err != nil || string(out) != want {
			t.Errorf("user %d: %q, %v", uid, out, err)
		}
	}
	if !strings.Contains(p.log.String(), "the peer belongs to user 1234") {
		t.Errorf("refused for another reason:\n%s", p.log)
	}
}
