package main

import (
	"net/url"
	"testing"
)

// The version is named with or without a v; what tokens carry is a URL in both cases.
func TestVersion(t *testing.T) {
	built := release
	defer func() { release = built }()
	const tag = "https://github.com/crs-bridge/crs/releases/tag/v"
	for name, want := range map[string]string{"": "devel", "1.2.3": "1.2.3", "v1.2.3": "1.2.3", "v1.2.3-4-g0123abc-dirty": "1.2.3-4-g0123abc-dirty"} {
		release = name
		u, err := url.Parse(appVersion())
		if versionString() != want || appVersion() != tag+want || err != nil || u.String() != appVersion() {
			t.Errorf("%q: %s, %s, %v", name, versionString(), appVersion(), err)
		}
	}
}
