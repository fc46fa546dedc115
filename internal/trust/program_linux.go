package trust

import (
	"fmt"
	"net"
)

// executables returns the programs at both ends of a local socket.
func executables(conn net.Conn) (theirs, ours string, err error) {
	cred, err := credentials(conn)
	if err != nil {
		return "", "", err
	}
	return fmt.Sprintf("/proc/%d/exe", cred.Pid), "/proc/self/exe", nil
}
