package browser

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/registry"
)

// keys are where browsers look in the registry of the user.
var keys = map[string]string{
	"Google Chrome": `Google\Chrome`, "Chromium": "Chromium", "Microsoft Edge": `Microsoft\Edge`, "Firefox": "Mozilla",
}

// key is the registry key that names the file.
func (p place) key() string {
	return `Software\` + keys[p.browser] + `\NativeMessagingHosts\` + HostName
}

// places are the registry keys in which browsers look for manifests, which are files of our own.
// Brave, Opera and Vivaldi read Chrome's.
func places() ([]place, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	var all []place
	for _, b := range []struct {
		browser, file string
		firefox       bool
	}{
		{"Google Chrome", "chrome", false},
		{"Chromium", "chromium", false},
		{"Microsoft Edge", "edge", false},
		{"Firefox", "firefox", true},
	} {
		all = append(all, place{
			browser: b.browser, firefox: b.firefox, root: base,
			path: filepath.Join(base, "crs", "browsers", b.file, HostName+".json"),
		})
	}
	return all, nil
}

// registered is the state of a manifest, given that of its file.
func (p place) registered(file State) (State, error) {
	k, err := registry.OpenKey(registry.CURRENT_USER, p.key(), registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		if file == Installed {
			return Outdated, nil
		}
		return file, nil
	}
	if err != nil {
		return file, err
	}
	defer k.Close()
	path, _, err := k.GetStringValue("")
	switch {
	case err == nil && path != p.path:
		return Foreign, nil
	case err != nil || file == Missing:
		return Outdated, nil
	}
	return file, nil
}

func (p place) register() error {
	k, _, err := registry.CreateKey(registry.CURRENT_USER, p.key(), registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	return k.SetStringValue("", p.path)
}

func (p place) unregister() error {
	err := registry.DeleteKey(registry.CURRENT_USER, p.key())
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	return err
}
