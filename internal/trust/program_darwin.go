package trust

import (
	"bytes"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// executables returns the programs at both ends of a local socket. The path of the other one is the
// first string of KERN_PROCARGS2, after the number of arguments (sysctl(3), XNU kern_sysctl.c).
func executables(conn net.Conn) (theirs, ours string, err error) {
	err = raw(conn, func(fd int) error {
		pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		if err != nil {
			return err
		}
		args, err := unix.SysctlRaw("kern.procargs2", pid)
		if err != nil || len(args) < 5 {
			return errors.New("no arguments")
		}
		path, _, _ := bytes.Cut(args[4:], []byte{0})
		theirs = string(path)
		return nil
	})
	if err != nil {
		return "", "", err
	}
	ours, err = os.Executable()
	return theirs, ours, err
}
