package filewatch

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Watch returns a channel that receives, until ctx ends, when one of the files may have been
// created. On Linux nothing wakes up in between; elsewhere it receives every few seconds.
func Watch(ctx context.Context, paths ...string) <-chan struct{} {
	events := make(chan struct{}, 1)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		go poll(ctx, events)
		return events
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if err := watchDirectories(f, paths); err != nil {
		f.Close()
		go poll(ctx, events)
		return events
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer stop()
		buffer := make([]byte, 4096)
		for {
			if _, err := f.Read(buffer); err != nil {
				return
			}
			// A directory itself may have come or gone.
			watchDirectories(f, paths)
			select {
			case events <- struct{}{}:
			default:
			}
		}
	}()
	return events
}

func watchDirectories(f *os.File, paths []string) error {
	for _, path := range paths {
		if err := watchDirectory(f, filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// watchDirectory watches a directory, and its parent in which it may appear.
func watchDirectory(f *os.File, dir string) error {
	const what = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var parentErr error
	err = raw.Control(func(fd uintptr) {
		_, _ = unix.InotifyAddWatch(int(fd), dir, what)
		_, parentErr = unix.InotifyAddWatch(int(fd), filepath.Dir(dir), unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	})
	if err != nil {
		return err
	}
	return parentErr
}
