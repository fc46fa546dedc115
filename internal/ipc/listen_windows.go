package ipc

import (
	"context"
	"errors"
	"io/fs"
	"net"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/crs-bridge/crs/internal/filewatch"
)

// pipe returns the full name of a pipe of the user, and the access rule (SDDL) that admits only
// that user.
func pipe(name string) (path, access string, err error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", "", err
	}
	sid := user.User.Sid.String()
	return `\\.\pipe\it.crs.` + name + "." + sid, "D:P(A;;GA;;;" + sid + ")", nil
}

// listen makes a pipe. It fails if another program has already made one of that name.
func listen(name string) (net.Listener, error) {
	path, access, err := pipe(name)
	if err != nil {
		return nil, err
	}
	return winio.ListenPipe(path, &winio.PipeConfig{SecurityDescriptor: access})
}

func dial(ctx context.Context, name string) (net.Conn, error) {
	path, _, err := pipe(name)
	if err != nil {
		return nil, err
	}
	conn, err := winio.DialPipeContext(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoService
	}
	return conn, err
}

// appears returns a channel that receives when a service may have started.
func appears(ctx context.Context) (<-chan struct{}, error) {
	return filewatch.Watch(ctx, ""), nil
}
