package trust

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// userOf returns the user at the other end of a connection.
func userOf(conn net.Conn) (uint32, error) {
	if local, remote, ok := tcpEnds(conn); ok {
		uid, _, err := socketOwner(remote, local)
		return uid, err
	}
	cred, err := credentials(conn)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// credentials are those of the process that made the other end of a local socket (SO_PEERCRED,
// unix(7)).
func credentials(conn net.Conn) (cred *unix.Ucred, err error) {
	err = raw(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	return cred, err
}

// Sizes and offsets of linux/inet_diag.h: struct inet_diag_req_v2 and struct inet_diag_msg,
// both behind a struct nlmsghdr.
const (
	diagRequestLen = unix.NLMSG_HDRLEN + 8 + diagIDLen
	diagAnswerLen  = unix.NLMSG_HDRLEN + 4 + diagIDLen + 20
	diagIDLen      = 48
	diagAddrsLen   = 36 // ports and addresses, the part of the id that must match
	diagUID        = unix.NLMSG_HDRLEN + 4 + diagIDLen + 12
	diagInode      = diagUID + 4
)

// socketOwner asks the kernel for one socket of this computer, by its local and remote address
// (sock_diag(7), 10 µs; /proc/net/tcp takes milliseconds), and returns its user and its inode.
func socketOwner(local, remote netip.AddrPort) (uid, inode uint32, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return 0, 0, err
	}

	request := make([]byte, diagRequestLen)
	binary.NativeEndian.PutUint32(request[0:], diagRequestLen)
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST) // no dump: one socket
	body := request[unix.NLMSG_HDRLEN:]
	body[0] = unix.AF_INET6
	if local.Addr().Is4() {
		body[0] = unix.AF_INET
	}
	body[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], 1<<tcpEstablished)
	copy(body[8:], diagAddrs(local, remote, body[0] == unix.AF_INET))
	for i := range 8 {
		body[8+diagIDLen-8+i] = 0xff // INET_DIAG_NOCOOKIE
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, 0, err
	}
	answer := make([]byte, 4096)
	n, from, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, 0, err
	}
	if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
		return 0, 0, errors.New("answer from another process than the kernel")
	}
	return parseDiag(answer[:n], local, remote)
}

const tcpEstablished = 1

// parseDiag reads the kernel's answer. The kernel falls back to a listening socket on the same
// port when it knows no connection: only an exact match counts. A client that reached
// 127.0.0.1 through an IPv6 socket has it mapped into IPv6.
func parseDiag(b []byte, local, remote netip.AddrPort) (uid, inode uint32, err error) {
	if len(b) < diagAnswerLen || binary.NativeEndian.Uint16(b[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return 0, 0, errors.New("no such socket")
	}
	id := b[unix.NLMSG_HDRLEN+4:][:diagAddrsLen]
	v4 := b[unix.NLMSG_HDRLEN] == unix.AF_INET
	if string(id) != string(diagAddrs(local, remote, v4)) || b[unix.NLMSG_HDRLEN+1] != tcpEstablished {
		return 0, 0, errors.New("no such connection")
	}
	return binary.NativeEndian.Uint32(b[diagUID:]), binary.NativeEndian.Uint32(b[diagInode:]), nil
}

// diagAddrs lays ports and addresses out as struct inet_diag_sockid does.
func diagAddrs(local, remote netip.AddrPort, v4 bool) []byte {
	b := make([]byte, diagAddrsLen)
	binary.BigEndian.PutUint16(b[0:], local.Port())
	binary.BigEndian.PutUint16(b[2:], remote.Port())
	if v4 {
		copy(b[4:], local.Addr().AsSlice())
		copy(b[20:], remote.Addr().AsSlice())
		return b
	}
	l, r := local.Addr().As16(), remote.Addr().As16()
	copy(b[4:], l[:])
	copy(b[20:], r[:])
	return b
}
