// Package trust says who is at the other end of a connection: whether it is this user (SameUser),
// this program (SameProgram), and which browser (Browser). It also says which files only
// administrators can change: AdminOnly and AdminOnlyCode. Each question has its own file, and one
// for each system that answers it differently.
package trust

import (
	"net"
	"net/netip"
)

// tcpEnds returns the addresses of a TCP connection, with mapped IPv4 addresses unmapped. It is
// false for a local socket or a pipe.
func tcpEnds(conn net.Conn) (local, remote netip.AddrPort, ok bool) {
	l, ok1 := conn.LocalAddr().(*net.TCPAddr)
	r, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return local, remote, false
	}
	local, remote = l.AddrPort(), r.AddrPort()
	return netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), true
}
