// Package state keeps what this software remembers on disk for its user: which sites may ask,
// and how many tries a PIN has left. A file is written whole or not at all, and several
// programs may use it at once.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// Dir returns the directory of the user's state: $XDG_STATE_HOME/crs, on Windows in
// %LocalAppData%, on macOS in ~/Library/Application Support. It may not exist yet.
func Dir() (string, error) {
	switch runtime.GOOS {
	case "windows":
		base, err := os.UserCacheDir()
		return filepath.Join(base, "crs", "state"), err
	case "darwin":
		base, err := os.UserConfigDir()
		return filepath.Join(base, "crs", "state"), err
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "crs"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "crs"), err
}

// CheckDir returns nil if files can be kept in Dir.
func CheckDir() error {
	dir, err := Dir()
	if err != nil {
		return err
	}
	if err := makePrivate(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "check")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write([]byte{0}) // which fails on a disk that is full
	return errors.Join(err, tryLock(f), f.Close())
}

// RuntimeDir returns the directory for the sockets and the lock of a service, and makes it if
// needed: $XDG_RUNTIME_DIR/crs, or, where that cannot be a directory of this user alone, one within
// Dir. For the sockets of a running service, which may have been started with other variables, see
// ServiceDirs.
func RuntimeDir() (string, error) {
	if dir := sessionDir(); dir != "" && makePrivate(dir) == nil {
		return dir, nil
	}
	base, err := Dir()
	if err != nil {
		return "", err
	}
	if err := makePrivate(base); err != nil {
		return "", err
	}
	dir := filepath.Join(base, "run")
	return dir, makePrivate(dir)
}

// sessionDir is the directory of this user's session, "" without one: su, cron and ssh give no
// XDG_RUNTIME_DIR, and a confined browser gives its own.
func sessionDir() string {
	if base := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(base) {
		return filepath.Join(base, "crs")
	}
	return ""
}

// homeDirs are the directories that every program of a user looks at, in any session: in Dir, and
// where Dir would be without XDG_STATE_HOME.
func homeDirs() []string {
	var dirs []string
	if home, err := os.UserHomeDir(); err == nil && runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		dirs = append(dirs, filepath.Join(home, ".local", "state", "crs", "run"))
	}
	if dir, err := Dir(); err == nil {
		dirs = append(dirs, filepath.Join(dir, "run"))
	}
	return slices.Compact(dirs)
}

// ServiceDirs returns where the service of this user may have its sockets, the likeliest first. It
// makes none of them, and returns none that another user could have made.
func ServiceDirs() []string {
	dirs := append([]string{sessionDir()}, homeDirs()...)
	for _, dir := range homeDirs() {
		if to, info, err := (file{dir, servedFrom}).read(); err == nil && info != nil {
			dirs = append(dirs, string(to))
		}
	}
	var found []string
	for _, dir := range dirs {
		if filepath.IsAbs(dir) && checkPrivate(dir) == nil && !slices.Contains(found, dir) {
			found = append(found, dir)
		}
	}
	return found
}

// servedFrom is the file in homeDirs that holds the RuntimeDir of the service.
const servedFrom = "serve.dir"

// makePrivate makes a directory that only this user can enter, or checks that it is one.
func makePrivate(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err := checkPrivate(dir)
	if errors.Is(err, errOpen) {
		return os.Chmod(dir, 0o700)
	}
	return err
}

var errOpen = errors.New("others can enter it")

// checkPrivate returns nil for a directory that only this user can enter.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir) // a link may lead to another user's directory
	switch {
	case err != nil:
		return err
	case !info.IsDir() || !own(info):
		return fmt.Errorf("%s is not a directory of this user", dir)
	case runtime.GOOS != "windows" && info.Mode().Perm() != 0o700:
		return fmt.Errorf("%s: %w", dir, errOpen)
	}
	return nil
}
