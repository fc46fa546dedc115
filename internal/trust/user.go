package bridge

import (
	"errors"
	"net"
	"net/netip"
)

// ends returns the addresses of a TCP connection, IPv4 ones as such.
func ends(conn net.Conn) (local, remote netip.AddrPort, err error) {
	l, ok1 := conn.LocalAddr().(*net.TCPAddr)
	r, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return local, remote, errors.New("not a TCP connection")
	}
	local, remote = l.AddrPort(), r.AddrPort()
	return netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), nil
}
