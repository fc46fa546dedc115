//go:build unix

package state

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs"
)

// TestHomeWithoutLocks: on a network's file system that has no locks the service runs, one in each
// session, and says at once that it can keep nothing.
func TestHomeWithoutLocks(t *testing.T) {
	noSessions(t)
	home := t.TempDir()
	session(t, home, t.TempDir(), "")
	t.Cleanup(func() { testOnlyFlock = unix.Flock })
	testOnlyFlock = func(fd, how int) error {
		var here, local unix.Stat_t
		err := unix.Fstat(fd, &here)
		if err == nil && unix.Stat(os.Getenv("XDG_RUNTIME_DIR")+"/crs/serve.lock", &local) == nil && here.Ino == local.Ino {
			return unix.Flock(fd, how)
		}
		return errors.Join(err, unix.ENOLCK)
	}
	unlock, err := LockService()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockService(); !errors.Is(err, ErrServiceRuns) {
		t.Errorf("a second one: %v", err)
	}
	unlock()

	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	site, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Sites{Dir: dir}).Allow(site); !errors.Is(err, unix.ENOLCK) {
		t.Errorf("a site: %v", err)
	}
	if err := CheckDir(); !errors.Is(err, unix.ENOLCK) {
		t.Errorf("what doctor says: %v", err)
	}

	session(t, home, "", "")
	if _, err := LockService(); !errors.Is(err, unix.ENOLCK) {
		t.Errorf("without a session: %v", err)
	}
}
