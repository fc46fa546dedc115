package pcsc

import (
	"context"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// socket is where pcscd listens.
func socket() string {
	if s := os.Getenv("PCSCLITE_CSOCK_NAME"); s != "" {
		return s
	}
	return "/run/pcscd/pcscd.comm"
}

// serviceListens reports whether pcscd is there, even if it turns its clients away. A socket
// that a killed pcscd left behind is not listened on.
func serviceListens() bool {
	c, err := net.Dial("unix", socket())
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// watchService returns a channel that receives when pcscd's socket may have come into being.
// Nothing wakes up in between.
func watchService(ctx context.Context) <-chan struct{} {
	events := make(chan struct{}, 1)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return pollService(ctx, events)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if err := watchDirectory(f, filepath.Dir(socket())); err != nil {
		f.Close()
		return pollService(ctx, events)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer stop()
		buffer := make([]byte, 4096)
		for {
			if _, err := f.Read(buffer); err != nil {
				return
			}
			// The directory itself may have come or gone.
			watchDirectory(f, filepath.Dir(socket()))
			select {
			case events <- struct{}{}:
			default:
			}
		}
	}()
	return events
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
