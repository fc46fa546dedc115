package state

import (
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// own trusts the access control lists that directories inherit from the user's profile.
func own(fs.FileInfo) bool { return true }

// tryLock locks an open file for this program alone until it is closed.
func tryLock(f *os.File) bool {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{}) == nil
}

// replace renames a file. Windows refuses that while another program reads the old one, which
// takes it a moment.
func replace(from, to string) error {
	var err error
	for range 50 {
		if err = os.Rename(from, to); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
