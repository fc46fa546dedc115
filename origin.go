package crs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Origin is the canonical origin of a web page, byte for byte as browsers send it: https,
// lower case, punycode, no default port, no trailing dot, at most 255 bytes. Anything else is
// refused, not repaired, because its bytes are signed. The zero value is invalid.
type Origin struct{ s string }

const maxOrigin = 255

// ParseOrigin accepts the origin of an https page.
func ParseOrigin(s string) (Origin, error) {
	host, ok := strings.CutPrefix(s, "https://")
	if !ok {
		return Origin{}, originError(s, "not https")
	}
	if len(s) > maxOrigin {
		return Origin{}, originError(s, "too long")
	}
	host, port, err := splitPort(host)
	if err != nil {
		return Origin{}, originError(s, err.Error())
	}
	if port == 443 {
		return Origin{}, originError(s, "default port")
	}
	if err := checkHost(host); err != nil {
		return Origin{}, originError(s, err.Error())
	}
	return Origin{s}, nil
}

// ParseDeveloperOrigin also accepts a page that a developer serves on this computer, under
// http://localhost:PORT or http://127.0.0.1:PORT with just this port. Browsers treat such
// pages as secure. With port 0 it is ParseOrigin.
func ParseDeveloperOrigin(s string, port int) (Origin, error) {
	if port > 0 && port < 1<<16 && port != 80 {
		p := strconv.Itoa(port)
		if s == "http://localhost:"+p || s == "http://127.0.0.1:"+p {
			return Origin{s}, nil
		}
	}
	return ParseOrigin(s)
}

// String returns the origin, "" for the zero value.
func (o Origin) String() string { return o.s }

// Host returns the host, with the port if it is not the default one, as dialogs show it.
// Punycode is not decoded: what looks like another site must not look like it here.
func (o Origin) Host() string {
	_, host, _ := strings.Cut(o.s, "://")
	return host
}

// Hostname returns the host without the port, an IPv6 address without its brackets.
func (o Origin) Hostname() string {
	host, _, _ := splitPort(o.Host())
	return strings.Trim(host, "[]")
}

// IsZero reports whether o is the invalid zero value.
func (o Origin) IsZero() bool { return o.s == "" }

func originError(s, why string) error {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Errorf("origin %q: %s", s, why)
}

// splitPort cuts ":8443" off. Port 0 means that there is none.
func splitPort(s string) (host string, port int, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, 0, nil
	}
	port, err = strconv.Atoi(s[i+1:])
	if err != nil || port < 1 || port >= 1<<16 || strconv.Itoa(port) != s[i+1:] {
		return "", 0, fmt.Errorf("bad port")
	}
	return s[:i], port, nil
}

// checkHost accepts what the WHATWG URL standard's host serializer can produce for a domain or
// an address (https://url.spec.whatwg.org/#host-serializing), a little narrower: letters,
// digits, hyphen and underscore.
func checkHost(host string) error {
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || "["+addr.String()+"]" != host || addr.Is4In6() {
			return fmt.Errorf("bad IPv6 address")
		}
		return nil
	}
	if len(host) == 0 || len(host) > 253 {
		return fmt.Errorf("bad host")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return fmt.Errorf("bad label in host")
		}
		for i := range len(label) {
			c := label[i]
			switch {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return fmt.Errorf("bad character in host")
			}
		}
	}
	// A host whose last label is a number is an IPv4 address to every browser; in any other
	// spelling than the canonical one (0x7f.1, 127.1) no browser would have sent it.
	last := labels[len(labels)-1]
	if numeric(last) {
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is4() || addr.String() != host {
			return fmt.Errorf("bad IPv4 address")
		}
	}
	return nil
}

// numeric is the "ends in a number" check of the URL standard for one label.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
