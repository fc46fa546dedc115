//go:build unix

package trust

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// SameUser returns an error unless the other end of a loopback TCP connection or of a local socket
// belongs to the user who runs this program. A peer whose user cannot be determined is refused.
func SameUser(conn net.Conn) error {
	uid, err := userOf(conn)
	if err != nil {
		return fmt.Errorf("the user of the peer is not known: %w", err)
	}
	if uid != uint32(os.Geteuid()) {
		return fmt.Errorf("the peer belongs to user %d", uid)
	}
	return nil
}

// SameProgram returns an error unless the other end of a local socket runs the same executable as
// this process.
func SameProgram(conn net.Conn) error {
	theirs, ours, err := executables(conn)
	if err != nil {
		return fmt.Errorf("the program of the peer is not known: %w", err)
	}
	return sameFile(theirs, ours)
}

// raw runs f with the file descriptor of a connection.
func raw(conn net.Conn, f func(fd int) error) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("not a socket")
	}
	r, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := r.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
