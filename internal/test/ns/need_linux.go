package ns

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// Need fails the test where it has no network and no mounts of its own.
func Need(t testing.TB) {
	t.Helper()
	skipShort(t)
	if errNoWorld != nil {
		t.Fatalf("this test needs a private namespace: %v; the kernel must allow user namespaces, or run it as root", errNoWorld)
	}
}

// NeedPcscd fails the test where no pcscd runs in a World.
func NeedPcscd(t testing.TB) {
	t.Helper()
	Need(t)
	if errNoPcscd != nil {
		t.Fatalf("this test needs pcscd in a private namespace: %v; %s", errNoPcscd, advice)
	}
}

// PcscdWith restarts pcscd with readers of another name or number (see Daemon) until the test ends.
func PcscdWith(t testing.TB, name string, readers int) {
	t.Helper()
	NeedPcscd(t)
	restart := func(name string, readers int) error {
		Pcscd.Name, Pcscd.Readers = name, readers
		return errors.Join(Pcscd.Stop(), Pcscd.Start())
	}
	t.Cleanup(func() {
		if err := restart("", 0); err != nil {
			t.Error(err)
		}
	})
	if err := restart(name, readers); err != nil {
		t.Fatal(err)
	}
}

// NeedUsers fails the test where it cannot become another user. Its World must say Users.
func NeedUsers(t testing.TB) {
	t.Helper()
	skipShort(t)
	if os.Getuid() == 0 && otherUsers() {
		return
	}
	t.Fatalf("this test needs root, or a user namespace with other users (newuidmap and a range in /etc/subuid); %s", advice)
}

// otherUsers reports whether this user namespace knows more than one user: each line of its map
// holds the first user here, the first outside, and the number of them.
func otherUsers() bool {
	b, _ := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(b))
	return len(fields) > 3 || len(fields) == 3 && fields[2] != "1"
}
