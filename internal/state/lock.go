package state

import (
	"errors"
	"os"
	"path/filepath"
)

// What LockService and LockTray return while another one of this user runs.
var (
	ErrServiceRuns = errors.New("a service of this user is already running")
	ErrTrayRuns    = errors.New("a tray of this user is already running")
)

// LockService makes sure that one service of a user runs at a time. The lock ends with unlock
// or with the process.
func LockService() (unlock func(), err error) { return lock("serve.lock", ErrServiceRuns) }

// LockTray does the same for the tray.
func LockTray() (unlock func(), err error) { return lock("tray.lock", ErrTrayRuns) }

func lock(name string, taken error) (unlock func(), err error) {
	dir, err := RuntimeDir()
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if !tryLock(lock) {
		lock.Close()
		return nil, taken
	}
	return func() { lock.Close() }, nil
}
