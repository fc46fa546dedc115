package ipc

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// credentials are those of whoever made the other end (SO_PEERCRED, unix(7)).
func credentials(conn net.Conn) (cred *unix.Ucred, err error) {
	err = raw(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	return cred, err
}

// process returns the number of the process at the other end.
func process(conn net.Conn) (int, error) {
	cred, err := credentials(conn)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// checkUser returns an error unless the other end belongs to the user who runs this program.
func checkUser(conn net.Conn) error {
	cred, err := credentials(conn)
	if err != nil {
		return err
	}
	if cred.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("the peer belongs to user %d", cred.Uid)
	}
	return nil
}

// checkProgram returns an error unless the other end runs the executable that runs here.
func checkProgram(conn net.Conn) error {
	cred, err := credentials(conn)
	if err != nil {
		return err
	}
	return sameFile(fmt.Sprintf("/proc/%d/exe", cred.Pid), "/proc/self/exe")
}
