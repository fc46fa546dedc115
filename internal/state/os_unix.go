//go:build unix

package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// own reports whether a file belongs to this user.
func own(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// testOnlyFlock stands for a file system that has no locks.
var testOnlyFlock = unix.Flock

// tryLock locks an open file for this program alone until it is closed. The error is errLocked if
// another program has locked it; a file system without locks returns others.
func tryLock(f *os.File) error {
	err := testOnlyFlock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// replace renames a file, and returns once the new name is on the disk.
func replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
