package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// process returns the number of the process at the other end.
func process(conn net.Conn) (pid int, err error) {
	err = raw(conn, func(fd int) (err error) {
		pid, err = unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		return err
	})
	return pid, err
}

// checkUser returns an error unless the other end belongs to the user who runs this program.
func checkUser(conn net.Conn) error {
	return raw(conn, func(fd int) error {
		cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			return err
		}
		if cred.Uid != uint32(os.Geteuid()) {
			return fmt.Errorf("the peer belongs to user %d", cred.Uid)
		}
		return nil
	})
}

// checkProgram returns an error unless the other end runs the executable that runs here. Its path
// is the first of KERN_PROCARGS2, after the number of arguments (sysctl(3), XNU kern_sysctl.c).
func checkProgram(conn net.Conn) error {
	return raw(conn, func(fd int) error {
		pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		if err != nil {
			return err
		}
		args, err := unix.SysctlRaw("kern.procargs2", pid)
		if err != nil || len(args) < 5 {
			return errors.New("the program of the peer is not known")
		}
		path, _, _ := bytes.Cut(args[4:], []byte{0})
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return sameFile(string(path), self)
	})
}
