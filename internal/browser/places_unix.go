//go:build unix

package browser

import (
	"os"
	"path/filepath"
	"runtime"
)

// places are where browsers look for the manifests of one user. A Chromium that was given another
// directory for its profiles looks there.
func places() ([]place, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	// With $XDG_CONFIG_HOME the Chromium family moves there (base::nix::GetXDGDirectory).
	config := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = filepath.Join(home, ".config")
	}
	chromiums := []struct{ browser, dir string }{
		{"Chromium", "chromium"},
		{"Google Chrome", "google-chrome"},
		{"Microsoft Edge", "microsoft-edge"},
		{"Brave", "BraveSoftware/Brave-Browser"},
		{"Opera", "opera"},
		{"Vivaldi", "vivaldi"},
	}
	firefox := ".mozilla/native-messaging-hosts"
	if runtime.GOOS == "darwin" {
		config = filepath.Join(home, "Library", "Application Support")
		for i, dir := range []string{"Chromium", "Google/Chrome", "Microsoft Edge", "BraveSoftware/Brave-Browser", "com.operasoftware.Opera", "Vivaldi"} {
			chromiums[i].dir = dir
		}
		firefox = "Library/Application Support/Mozilla/NativeMessagingHosts"
	}
	var all []place
	for _, c := range chromiums {
		all = append(all, place{browser: c.browser, root: config,
			path: filepath.Join(config, c.dir, "NativeMessagingHosts", HostName+".json")})
	}
	return append(all, place{browser: "Firefox", firefox: true, root: home,
		path: filepath.Join(home, firefox, HostName+".json")}), nil
}

func (p place) registered(s State) (State, error) { return s, nil }
func (p place) register() error                   { return nil }
func (p place) unregister() error                 { return nil }
