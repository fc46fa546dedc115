package state

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrServiceRuns is returned by LockService while another service of this user runs.
var ErrServiceRuns = errors.New("a service of this user is already running")

// LockService makes sure that one service of a user runs at a time. The lock ends with unlock
// or with the process.
func LockService() (unlock func(), err error) {
	dir, err := RuntimeDir()
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "serve.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if !tryLock(lock) {
		lock.Close()
		return nil, ErrServiceRuns
	}
	return func() { lock.Close() }, nil
}
