package browser

import "slices"

// names are the files that browsers run, and that speak for them: the network process of
// WebKit, and the portal by which browsers in a Flatpak or Snap start a native host.
var names = []string{
	"chromium", "chromium-browser", "chrome", "msedge", "brave", "opera", "vivaldi", "vivaldi-bin",
	"firefox", "firefox-bin", "firefox-esr", "librewolf", "WebKitNetworkProcess", "xdg-desktop-portal",
}

func known(file string) bool { return slices.Contains(names, file) }
