//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/crs-bridge/crs/internal/filewatch"
	"github.com/crs-bridge/crs/internal/state"
)

// socketIn is where a service whose directory is dir listens to its owner, or to browsers.
func socketIn(dir, name string) string { return filepath.Join(dir, name+".sock") }

// socketPath is where a service started in this session listens.
func socketPath(name string) (string, error) {
	dir, err := state.RuntimeDir()
	return socketIn(dir, name), err
}

// listen makes a socket. It is for the holder of state.LockService: an existing socket was left
// behind by a service that was killed.
func listen(name string) (net.Listener, error) {
	path, err := socketPath(name)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%s socket: %w", name, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// dial connects to the service of this user, in whichever session it was started.
func dial(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	for _, dir := range state.ServiceDirs() {
		conn, err := d.DialContext(ctx, "unix", socketIn(dir, name))
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
	}
	return nil, ErrNoService
}

// appears returns a channel that receives when a service may have started.
func appears(ctx context.Context) (<-chan struct{}, error) {
	path, err := socketPath(ownerSocket)
	if err != nil {
		return nil, err
	}
	paths := []string{path}
	for _, dir := range state.ServiceDirs() {
		paths = append(paths, socketIn(dir, ownerSocket))
	}
	return filewatch.Watch(ctx, paths...), nil
}
