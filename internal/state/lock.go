package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Errors of LockService and LockTray while another one of this user runs.
var (
	ErrServiceRuns = errors.New("a service of this user is already running")
	ErrTrayRuns    = errors.New("a tray of this user is already running")
)

// LockService makes sure that only one service of a user runs at a time, in any session, and lets
// ServiceDirs find its sockets. The lock ends with unlock or with the process.
func LockService() (unlock func(), err error) {
	for end := time.Now().Add(lookTime); ; time.Sleep(10 * time.Millisecond) {
		unlock, err = lock("serve.lock", ErrServiceRuns)
		if err == nil {
			break
		}
		// It may be no more than ServiceRuns in another program.
		if !errors.Is(err, ErrServiceRuns) || time.Now().After(end) {
			return nil, err
		}
	}
	dir, err := RuntimeDir()
	if err != nil {
		unlock()
		return nil, err
	}
	for _, home := range homeDirs() {
		// Where it cannot be written, programs of the same session still find the service.
		if checkPrivate(home) != nil {
			continue
		}
		f := file{home, servedFrom}
		if was, _, err := f.read(); err != nil || string(was) != dir { // writing waits for the disk
			_ = f.write([]byte(dir))
		}
	}
	return unlock, nil
}

// ServiceRuns reports whether a service holds the lock, for callers that got no answer from its
// sockets.
func ServiceRuns() bool {
	unlock, err := lock("serve.lock", ErrServiceRuns)
	if err == nil {
		unlock()
	}
	return errors.Is(err, ErrServiceRuns)
}

const lookTime = 100 * time.Millisecond

// LockTray makes sure that only one tray of a user runs at a time.
func LockTray() (unlock func(), err error) { return lock("tray.lock", ErrTrayRuns) }

// lock locks a file in each directory in which another program of this user might: each program
// sees only some of them. All lock them in the same order, so that of two programs that start
// together one gets the first that both see. RuntimeDir must be among those that it got; a home
// that cannot be written to, or is on a file system without locks, does not prevent running. Nor
// does a home that several computers share, if the lock is held by the program on another one.
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
		if err == nil {
			locks = append(locks, l)
			err = tryLock(l)
		}
		switch {
		case err == nil:
			sign(l)
		case errors.Is(err, errLocked) && (d == dir || !lockedElsewhere(l)):
			unlock()
			return nil, taken
		case d == dir:
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// testOnlyComputer is a file that identifies a computer, even one of several identical
// installations. Without it, all homes count as this computer's.
var testOnlyComputer = "/proc/sys/kernel/random/boot_id"

func thisComputer() string {
	b, _ := os.ReadFile(testOnlyComputer)
	return string(bytes.TrimSpace(b))
}

// sign writes the name of this computer into a locked file. A file without a name counts as locked
// on this computer.
func sign(l *os.File) {
	if computer := thisComputer(); signature(l) != computer {
		_ = l.Truncate(0) // works even on a full disk
		_, _ = l.WriteAt([]byte(computer), 0)
		_ = l.Sync() // else another computer does not see it
	}
}

func signature(l *os.File) string {
	var b [64]byte
	n, _ := l.ReadAt(b[:], 0)
	return string(b[:n])
}

// lockedElsewhere reports whether a file is locked on another computer. A program that has just
// locked it here may not have signed it yet.
func lockedElsewhere(l *os.File) bool {
	computer := thisComputer()
	for range 2 {
		if by := signature(l); by == "" || by == computer || computer == "" {
			return false
		}
		time.Sleep(lookTime / 2)
	}
	return true
}

// testOnlySessions is where systemd makes the directories of sessions.
var testOnlySessions = "/run/user"

// lockDirs makes the directories to lock, and returns them, runtimeDir last. Versions that locked
// only the session's directory may still run: systemd puts it where every program can find it.
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
