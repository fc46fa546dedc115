// Package browser knows where each browser of a computer looks for the native hosts that its
// extensions may start.
package browser

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What browsers call this software, and the ids of its extension.
const (
	HostName          = "it.crs.bridge"
	ChromiumExtension = "chrome-extension://boihbeeifmdlopeeapedabhkaohbpclk/"
	FirefoxExtension  = "crs-bridge@crs-bridge.org"
)

// manifest is the file that lets an extension start a program
// (https://developer.chrome.com/docs/extensions/develop/concepts/native-messaging,
// https://developer.mozilla.org/docs/Mozilla/Add-ons/WebExtensions/Native_manifests).
type manifest struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Path        string   `json:"path"`
	Type        string   `json:"type"`
	Origins     []string `json:"allowed_origins,omitempty"`    // of Chromium and its kin
	Extensions  []string `json:"allowed_extensions,omitempty"` // of Firefox
}

// place is where a browser looks for the manifest of this user.
type place struct {
	browser string
	firefox bool
	path    string
	root    string // the directory above which nothing is removed
}

func (p place) manifest(program string) manifest {
	m := manifest{Name: HostName, Description: "CRS: login with a smart card", Path: program, Type: "stdio"}
	if p.firefox {
		m.Extensions = []string{FirefoxExtension}
	} else {
		m.Origins = []string{ChromiumExtension}
	}
	return m
}

// State is the state of a browser's manifest.
type State string

// States of a manifest.
const (
	Missing   State = "missing"
	Installed State = "installed"
	Outdated  State = "outdated" // ours, for a program elsewhere
	Foreign   State = "foreign"  // not written by this software
)

// Status is the manifest of one browser.
type Status struct {
	Browser  string `json:"browser"`
	Manifest string `json:"manifest"`
	State    State  `json:"state"`
}

// List returns the manifests of this user as they are, for the program at a path.
func List(program string) ([]Status, error) {
	return each(func(p place) (State, error) { return p.state(program) })
}

// Install writes the manifests by which browsers start a program, and returns the result. It leaves
// alone what this software did not write.
func Install(program string) ([]Status, error) {
	return each(func(p place) (State, error) {
		was, err := p.state(program)
		if err != nil || was == Foreign || was == Installed {
			return was, err
		}
		if err := p.write(program); err != nil {
			return was, err
		}
		return Installed, nil
	})
}

// Uninstall removes all that Install wrote, even for a program elsewhere.
func Uninstall(program string) ([]Status, error) {
	return each(func(p place) (State, error) {
		was, err := p.state(program)
		if err != nil || was == Foreign || was == Missing {
			return was, err
		}
		return Missing, p.remove()
	})
}

// each calls do for every browser, and goes on after a failure.
func each(do func(place) (State, error)) ([]Status, error) {
	places, err := places()
	if err != nil {
		return nil, err
	}
	var all []Status
	var errs []error
	for _, p := range places {
		state, err := do(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.browser, err))
		}
		all = append(all, Status{p.browser, p.path, state})
	}
	return all, errors.Join(errs...)
}

// state looks at the manifest that is there. It is ours if it names our extension and no other.
func (p place) state(program string) (State, error) {
	info, err := os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p.registered(Missing)
	}
	if err != nil {
		return Missing, err
	}
	const most = 64 << 10
	if !info.Mode().IsRegular() || info.Size() > most {
		return Foreign, nil
	}
	b, err := os.ReadFile(p.path)
	if err != nil {
		return Foreign, err
	}
	var m manifest
	if json.Unmarshal(b, &m, json.RejectUnknownMembers(true)) != nil {
		return Foreign, nil
	}
	want := p.manifest(m.Path)
	if m.Name != want.Name || m.Description != want.Description || m.Type != want.Type ||
		!slices.Equal(m.Origins, want.Origins) || !slices.Equal(m.Extensions, want.Extensions) {
		return Foreign, nil
	}
	if m.Path != program {
		return Outdated, nil
	}
	return p.registered(Installed)
}

func (p place) write(program string) error {
	b, err := json.Marshal(p.manifest(program), jsontext.Multiline(true))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	temporary := p.path + ".new"
	if err := os.WriteFile(temporary, append(b, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Rename(temporary, p.path); err != nil {
		os.Remove(temporary)
		return err
	}
	return p.register()
}

// remove removes the manifest, and the directories that are empty without it.
func (p place) remove() error {
	if err := p.unregister(); err != nil {
		return err
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := filepath.Dir(p.path); dir != p.root && len(dir) > len(p.root); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // not empty
			break
		}
	}
	return nil
}
