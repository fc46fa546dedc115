package pcsc

import (
	"errors"
	"io/fs"
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

// serviceListens reports whether pcscd is there, even if it turns its clients away or this user may
// not open its socket. Nobody listens on a socket that a killed pcscd left behind.
func serviceListens() bool {
	c, err := net.Dial("unix", socket())
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	c.Close()
	return true
}
