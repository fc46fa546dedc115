package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Ports are where the JavaScript client looks for the bridge, in this order.
var Ports = [...]int{27770, 27771, 27772}

// Listener is the bridge's port on the loopback interface: one port, on 127.0.0.1 and, where
// IPv6 exists, on ::1, because a page may name either, and "localhost" may mean either. The zero value is no port at all.
type Listener struct {
	each []net.Listener
}

// Listen binds addr, or, if it is empty, the first free one of the ports 27770, 27771 and
// 27772 on both loopback addresses. An address must be 127.0.0.1:PORT or [::1]:PORT; it is
// bound alone, and port 0 means any.
func Listen(addr string) (*Listener, error) {
	if addr != "" {
		return listenOn(addr)
	}
	hosts := []string{"127.0.0.1"}
	if probe, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		probe.Close()
		hosts = append(hosts, "::1")
	}
	var taken []error
	for _, port := range Ports {
		l := &Listener{}
		var err error
		for _, host := range hosts {
			var one net.Listener
			if one, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
				break
			}
			l.each = append(l.each, one)
		}
		if err == nil {
			return l, nil
		}
		l.Close()
		taken = append(taken, err)
	}
	return nil, fmt.Errorf("no free port: %w", errors.Join(taken...))
}

// ErrAddress is returned by Listen for an address that is not on the loopback interface.
var ErrAddress = errors.New("neither 127.0.0.1:PORT nor [::1]:PORT")

func listenOn(addr string) (*Listener, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || a.Addr() != netip.IPv6Loopback() && a.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return nil, fmt.Errorf("address %q is %w", addr, ErrAddress)
	}
	one, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Listener{each: []net.Listener{one}}, nil
}

// Port returns the port that was bound, 0 for a zero Listener.
func (l *Listener) Port() int {
	if l.each == nil {
		return 0
	}
	return l.each[0].Addr().(*net.TCPAddr).Port
}

// Addr returns the first address that was bound, as in "127.0.0.1:27770", "" for a zero Listener.
func (l *Listener) Addr() string {
	if l.each == nil {
		return ""
	}
	return l.each[0].Addr().String()
}

// Close gives the port back.
func (l *Listener) Close() error {
	var errs []error
	for _, one := range l.each {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
