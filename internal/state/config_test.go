package state

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", base)
	path := filepath.Join(base, "crs", "config.json")
	if c, err := LoadConfig(); !reflect.DeepEqual(c, Config{}) || err != nil {
		t.Fatalf("without a file: %+v, %v", c, err)
	}
	for _, lang := range []string{"de", ""} {
		if err := ChangeConfig(func(c *Config) { c.Language = lang }); err != nil {
			t.Fatal(err)
		}
		if c, err := LoadConfig(); c.Language != lang || err != nil {
			t.Errorf("%+v, %v, want the language %q", c, err, lang)
		}
	}
	for _, bad := range []string{"", "{", `{"lingua":"de"}`, `{"language":1}`, `{"language":"de","language":"it"}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := LoadConfig(); !reflect.DeepEqual(c, Config{}) || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %+v, %v", bad, c, err)
		}
		if err := ChangeConfig(func(c *Config) { c.Language = "en" }); err == nil {
			t.Errorf("%q was changed", bad)
		}
		if b, _ := os.ReadFile(path); string(b) != bad {
			t.Errorf("%q became %q", bad, b)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", "not/absolute") // the specification says to ignore it
	if dir, err := ConfigDir(); err != nil || !filepath.IsAbs(dir) {
		t.Errorf("ConfigDir = %q, %v", dir, err)
	}
}
