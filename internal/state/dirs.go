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

// RuntimeDir returns the directory for sockets and the lock of the service, and makes it if
// need be: $XDG_RUNTIME_DIR/crs, or, where that cannot be a directory of this user alone, one
// within Dir.
func RuntimeDir() (string, error) {
	if base := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(base) {
		dir := filepath.Join(base, "crs")
		if makePrivate(dir) == nil {
			return dir, nil
		}
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

// makePrivate makes a directory that only this user can enter, or checks that it is one.
func makePrivate(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir) // a link may lead to another user's directory
	if err != nil {
		return err
	}
	if !info.IsDir() || !own(info) {
		return fmt.Errorf("%s is not a directory of this user", dir)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}
