package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// file is a small file that several programs read and change.
type file struct {
	dir, name string
}

const (
	maxFile  = 4 << 20
	lockTime = 5 * time.Second // how long another program may take for a change
)

var (
	errNoDir   = errors.New("no state directory")
	errForeign = errors.New("it belongs to another user")
	errLocked  = errors.New("another program has locked it")
	errTooLong = fmt.Errorf("it is longer than %d bytes", maxFile)
)

func (f file) path() string { return filepath.Join(f.dir, f.name) }

// read returns the content, and an info that distinguishes it from earlier and later versions; nil
// for both if there is no file.
func (f file) read() ([]byte, fs.FileInfo, error) {
	if f.dir == "" {
		return nil, nil, errNoDir
	}
	in, err := os.Open(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !own(info) {
		return nil, nil, fmt.Errorf("%s: %w", f.path(), errForeign)
	}
	b, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: %w", f.path(), errTooLong)
	}
	return b, info, err
}

// change runs edit while no other program changes the file.
func (f file) change(edit func() error) error {
	if f.dir == "" {
		return errNoDir
	}
	if err := makePrivate(f.dir); err != nil {
		return err
	}
	lock, err := os.OpenFile(f.path()+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // ends the lock
	for end := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		switch err := tryLock(lock); {
		case err == nil:
			return edit()
		case !errors.Is(err, errLocked):
			return fmt.Errorf("%s cannot be locked: %w", f.path(), err)
		case time.Now().After(end):
			return fmt.Errorf("%s is being changed by another program", f.path())
		}
	}
}

// testOnlyBeforeRename runs when the new content is on the disk under another name.
var testOnlyBeforeRename = func() {}

// write replaces the content, within change. After a crash the file is the old or the new one.
func (f file) write(b []byte) error {
	temporary := f.path() + ".new" // one that a crash left behind is overwritten
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	testOnlyBeforeRename()
	return replace(temporary, f.path())
}
