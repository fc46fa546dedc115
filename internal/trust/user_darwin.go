package trust

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// userOf returns the user at the other end of a connection.
func userOf(conn net.Conn) (uid uint32, err error) {
	if local, remote, ok := tcpEnds(conn); ok {
		list, err := unix.SysctlRaw("net.inet.tcp.pcblist_n")
		if err != nil {
			return 0, err
		}
		return socketOwner(list, remote, local)
	}
	err = raw(conn, func(fd int) error {
		cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			return err
		}
		uid = cred.Uid
		return nil
	})
	return uid, err
}

// Kinds and offsets of the records of net.inet.tcp.pcblist_n: struct xinpcb_n (bsd/netinet/in_pcb.h
// of XNU) and after it struct xsocket_n (bsd/sys/socketvar.h), which are packed to 4 bytes.
const (
	kindSocket, kindPCB       = 0x01, 0x10
	pcbForeignPort            = 16
	pcbLocalPort              = 18
	pcbVersion, pcbV4, pcbV6  = 44, 1, 2 // inp_vflag
	pcbForeign, pcbLocal      = 48, 64   // 16 bytes each, an IPv4 address in the last 4
	socketUID                 = 64
	minPCB, minSocket, minAny = 80, 68, 8
)

// socketOwner finds the user of a connection in the list of all of them.
func socketOwner(list []byte, local, remote netip.AddrPort) (uint32, error) {
	unknown := errors.New("no such connection")
	if len(list) < 4 {
		return 0, unknown
	}
	found := false
	for at := size(list); at+minAny <= len(list); {
		record := list[at:]
		n := size(record)
		if n < minAny || n > len(record) {
			break
		}
		switch kind := binary.NativeEndian.Uint32(record[4:]); {
		case kind == kindPCB && n >= minPCB:
			found = binary.BigEndian.Uint16(record[pcbLocalPort:]) == local.Port() &&
				binary.BigEndian.Uint16(record[pcbForeignPort:]) == remote.Port() &&
				pcbAddr(record, pcbLocal) == local.Addr() && pcbAddr(record, pcbForeign) == remote.Addr()
		case kind == kindSocket && n >= minSocket && found:
			return binary.NativeEndian.Uint32(record[socketUID:]), nil
		}
		at += n
	}
	return 0, unknown
}

// size returns the length of a record with its padding.
func size(record []byte) int { return (int(binary.NativeEndian.Uint32(record)) + 7) &^ 7 }

func pcbAddr(record []byte, at int) netip.Addr {
	b := [16]byte(record[at:])
	switch record[pcbVersion] {
	case pcbV4:
		return netip.AddrFrom4([4]byte(b[12:]))
	case pcbV6:
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.Addr{}
}
