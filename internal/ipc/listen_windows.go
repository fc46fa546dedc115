package ipc

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/crs-bridge/crs/internal/filewatch"
)

// pipe returns the full name of a pipe of the user, and the access that lets in that user alone
// (SDDL).
func pipe(name string) (path, access string, err error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", "", err
	}
	sid := user.User.Sid.String()
	return `\\.\pipe\it.crs.` + name + "." + sid, "D:P(A;;GA;;;" + sid + ")", nil
}

// listen makes a pipe. It fails if another program made one of that name before.
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

// process returns the number of the process at the other end of a pipe. It is the server's or the
// client's: the one of the two that is not this process.
func process(conn net.Conn) (int, error) {
	c, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		return 0, errors.New("not a pipe")
	}
	var client, server uint32
	pipe := windows.Handle(c.Fd())
	if err := windows.GetNamedPipeClientProcessId(pipe, &client); err != nil {
		return 0, err
	}
	if err := windows.GetNamedPipeServerProcessId(pipe, &server); err != nil {
		return 0, err
	}
	pid := client
	if client == windows.GetCurrentProcessId() {
		pid = server
	}
	return int(pid), nil
}

// other opens the process at the other end of a pipe.
func other(conn net.Conn) (windows.Handle, error) {
	pid, err := process(conn)
	if err != nil {
		return 0, err
	}
	return windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
}

// checkUser returns an error unless the other end belongs to the user who runs this program.
func checkUser(conn net.Conn) error {
	process, err := other(conn)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(process)
	var token windows.Token
	if err := windows.OpenProcessToken(process, windows.TOKEN_QUERY, &token); err != nil {
		return err
	}
	defer token.Close()
	peer, err := token.GetTokenUser()
	if err != nil {
		return err
	}
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	if !peer.User.Sid.Equals(self.User.Sid) {
		return errors.New("the peer belongs to another user")
	}
	return nil
}

// isOurs reports whether a file has the name of the program with a console or of that without.
func isOurs(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	return name == "crs.exe" || name == "crsw.exe"
}

// checkProgram returns an error unless the other end runs the executable that runs here, or the
// other one of the two that are installed together: service and tray are the program without a
// console, a native host is the one with it.
func checkProgram(conn net.Conn) error {
	process, err := other(conn)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(process)
	b := make([]uint16, windows.MAX_LONG_PATH)
	n := uint32(len(b))
	if err := windows.QueryFullProcessImageName(process, 0, &b[0], &n); err != nil {
		return err
	}
	path := windows.UTF16ToString(b[:n])
	self, err := os.Executable()
	if err != nil {
		return err
	}
	err = sameFile(path, self)
	if errors.Is(err, errOtherFile) && filepath.Dir(path) == filepath.Dir(self) && isOurs(path) && isOurs(self) {
		return nil
	}
	return err
}

// appears returns a channel that receives when a service may have started.
func appears(ctx context.Context) (<-chan struct{}, error) {
	return filewatch.Watch(ctx, ""), nil
}
