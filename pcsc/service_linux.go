package pcsc

import (
	"net"
	"os"
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
