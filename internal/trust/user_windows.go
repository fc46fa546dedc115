package trust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"
)

// SameUser returns an error unless the other end of a loopback TCP connection or of a pipe belongs
// to the user who runs this program. A peer whose user cannot be determined is refused.
func SameUser(conn net.Conn) error {
	process, err := openPeer(conn)
	if err != nil {
		return fmt.Errorf("the user of the peer is not known: %w", err)
	}
	defer windows.CloseHandle(process)
	var token windows.Token
	if err := windows.OpenProcessToken(process, windows.TOKEN_QUERY, &token); err != nil {
		return fmt.Errorf("the user of the peer is not known: %w", err)
	}
	defer token.Close()
	peer, err := token.GetTokenUser()
	if err != nil {
		return fmt.Errorf("the user of the peer is not known: %w", err)
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

// openPeer opens the process at the other end of a connection.
func openPeer(conn net.Conn) (windows.Handle, error) {
	pid, err := peerOf(conn)
	if err != nil {
		return 0, err
	}
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return 0, err
	}
	// The process might have ended and its number gone to another one before it was opened.
	if again, err := peerOf(conn); err != nil || again != pid {
		windows.CloseHandle(process)
		return 0, errors.New("the process of the peer has changed")
	}
	return process, nil
}

// peerOf returns the number of the process at the other end of a connection. For a pipe that is the
// server's or the client's: the one of the two that is not this process.
func peerOf(conn net.Conn) (uint32, error) {
	if local, remote, ok := tcpEnds(conn); ok {
		return socketOwner(remote, local)
	}
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
	if client == windows.GetCurrentProcessId() {
		return server, nil
	}
	return client, nil
}

var getExtendedTCPTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// tcpTable asks GetExtendedTcpTable for TCP_TABLE_OWNER_PID_CONNECTIONS.
func tcpTable(family uintptr) ([]byte, error) {
	const ownerPIDConnections = 4
	size := uint32(64 << 10)
	for range 10 { // the table may grow between two calls
		b := make([]byte, size)
		r, _, _ := getExtendedTCPTable.Call(uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0, family, ownerPIDConnections, 0)
		switch err := windows.Errno(r); err {
		case windows.NO_ERROR:
			return b, nil
		case windows.ERROR_INSUFFICIENT_BUFFER:
			size += 4 << 10
		default:
			return nil, err
		}
	}
	return nil, windows.ERROR_INSUFFICIENT_BUFFER
}

// socketOwner returns the process at the local end of a connection.
func socketOwner(local, remote netip.AddrPort) (uint32, error) {
	// MIB_TCPROW_OWNER_PID: state, local address and port, remote address and port, process.
	family, row, addr, at := uintptr(windows.AF_INET), 24, 4, [...]int{4, 8, 12, 16, 20}
	if local.Addr().Is6() {
		// MIB_TCP6ROW_OWNER_PID: local address, scope and port, the same remote, state, process.
		family, row, addr, at = windows.AF_INET6, 56, 16, [...]int{0, 20, 24, 44, 52}
	}
	table, err := tcpTable(family)
	if err != nil {
		return 0, err
	}
	rows := table[4:]
	for range binary.LittleEndian.Uint32(table) {
		if len(rows) < row {
			break
		}
		r := rows[:row]
		rows = rows[row:]
		if string(r[at[0]:][:addr]) == string(local.Addr().AsSlice()) && binary.BigEndian.Uint16(r[at[1]:]) == local.Port() &&
			string(r[at[2]:][:addr]) == string(remote.Addr().AsSlice()) && binary.BigEndian.Uint16(r[at[3]:]) == remote.Port() {
			return binary.LittleEndian.Uint32(r[at[4]:]), nil
		}
	}
	return 0, errors.New("no such connection")
}
