package trust

import (
	"net"
	"slices"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/outside"
)

// Browser returns "" if a browser that an administrator installed is at the other end of a
// connection, else the path of the program that is there, or crs.UnknownProgram. Over TCP that is
// the program that holds the other end; over a local socket or pipe it is the one that started the
// native host there. It takes milliseconds.
func Browser(conn net.Conn) string {
	program, err := browserOf(conn)
	if err != nil {
		return crs.UnknownProgram
	}
	return outside.Text(program)
}

// names are the files that browsers run, and helpers that speak for them: the network process of
// WebKit, and the portal by which browsers in a Flatpak or Snap start a native host.
var names = []string{
	"chromium", "chromium-browser", "chrome", "msedge", "brave", "opera", "vivaldi", "vivaldi-bin",
	"firefox", "firefox-bin", "firefox-esr", "librewolf", "WebKitNetworkProcess", "xdg-desktop-portal",
}

func isBrowser(file string) bool { return slices.Contains(names, file) }
