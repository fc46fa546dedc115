package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// What LockService and LockTray return while another one of this user runs.
var (
	ErrServiceRuns = errors.New("a service of this user is already running")
	ErrTrayRuns    = errors.New("a tray of this user is already running")
)

// LockService makes sure that one service of a user runs at a time, in whatever session, and lets
// ServiceDirs find its sockets. The lock ends with unlock or with the process.
func LockService() (unlock func(), err error) {
	unlock, err = lock("serve.lock", ErrServiceRuns)
	if err != nil {
		return nil, err
	}
	dir, err := RuntimeDir()
	if err != nil {
		unlock()
		return nil, err
	}
	for _, home := range homeDirs() {
		// Where it cannot be written, programs of the same session still find the service.
		if checkPrivate(home) == nil {
			_ = file{home, servedFrom}.write([]byte(dir))
		}
	}
	return unlock, nil
}

// ServiceRuns reports whether a service holds the lock, for those that its sockets did not answer.
func ServiceRuns() bool {
	unlock, err := lock("serve.lock", ErrServiceRuns)
	if err == nil {
		unlock()
	}
	return errors.Is(err, ErrServiceRuns)
}

// LockTray makes sure that one tray of a user runs at a time.
func LockTray() (unlock func(), err error) { return lock("tray.lock", ErrTrayRuns) }

// lock locks a file in each directory in which another program of this user might: each program
// sees only some of them. All lock them in the same order, so that of two programs that start
// together one gets the first that both see. RuntimeDir must be among those that it got; a home
// that cannot be written to is no reason not to run.
func lock(name string, taken error) (unlock func(), err error) {
	dir, err := RuntimeDir()
	if err != nil {
		return nil, err
	}
	var locks []*os.File
	unlock = func() {
		for _, l := range locks {
			l.Close()
		}
	}
	for _, d := range lockDirs(dir) {
		l, err := os.OpenFile(filepath.Join(d, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil && d == dir {
			unlock()
			return nil, err
		} else if err != nil {
			continue
		}
		locks = append(locks, l)
		if !tryLock(l) {
			unlock()
			return nil, taken
		}
	}
	return unlock, nil
}

// testOnlySessions is where systemd makes the directories of sessions.
var testOnlySessions = "/run/user"

// lockDirs makes the directories to lock, and returns them, runtimeDir last. Versions that locked
// only the session's directory may still run: systemd puts it where every program can tell.
func lockDirs(runtimeDir string) []string {
	var dirs []string
	session := filepath.Join(testOnlySessions, strconv.Itoa(os.Geteuid()), "crs")
	if checkPrivate(session) == nil {
		dirs = append(dirs, session)
	}
	for _, home := range homeDirs() {
		if makePrivate(filepath.Dir(home)) == nil && makePrivate(home) == nil {
			dirs = append(dirs, home)
		}
	}
	dirs = slices.DeleteFunc(dirs, func(d string) bool { return d == runtimeDir })
	return append(dirs, runtimeDir)
}
