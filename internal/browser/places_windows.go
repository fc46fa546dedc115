package browser

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/registry"
)

// windowsKey is the registry key that names the file.
type windowsKey struct{ key string }

// places are the registry keys in which browsers look for manifests, which are files of our own.
// Brave, Opera and Vivaldi read Chrome's.
func places() ([]place, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	var all []place
	for _, b := range []struct {
		browser, key, file string
		firefox            bool
	}{
		{"Google Chrome", `Google\Chrome`, "chrome", false},
		{"Chromium", "Chromium", "chromium", false},
		{"Microsoft Edge", `Microsoft\Edge`, "edge", false},
		{"Firefox", "Mozilla", "firefox", true},
	} {
		all = append(all, place{
			browser: b.browser, firefox: b.firefox, root: base,
			path:       filepath.Join(base, "crs", "browsers", b.file, HostName+".json"),
			windowsKey: windowsKey{`Software\` + b.key + `\NativeMessagingHosts\` + HostName},
		})
	}
	return all, nil
}

// registered is the state of a manifest, given that of its file.
func (p place) registered(file State) (State, error) {
	k, err := registry.OpenKey(registry.CURRENT_USER, p.key, registry.QUERY_VALUE)
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
	k, _, err := registry.CreateKey(registry.CURRENT_USER, p.key, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	return k.SetStringValue("", p.path)
}

func (p place) unregister() error {
	err := registry.DeleteKey(registry.CURRENT_USER, p.key)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	return err
}
