package state

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Config is what the user chose, in the file config.json of ConfigDir. A missing file or field
// means the zero value.
type Config struct {
	// Language is that of everything the user reads, "" to leave it to site and session.
	Language string `json:"language,omitzero"`

	// Cards says who drives the cards in readers whose name contains a word: "native" or
	// "module". By default, the native driver does what it can.
	Cards map[string]string `json:"cards,omitzero"`
}

// ConfigDir returns the directory of the user's configuration: $XDG_CONFIG_HOME/crs, on Windows in
// %AppData%, on macOS in ~/Library/Application Support. It may not exist yet.
func ConfigDir() (string, error) {
	if base := os.Getenv("XDG_CONFIG_HOME"); runtime.GOOS != "windows" && runtime.GOOS != "darwin" && base != "" && !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		return filepath.Join(home, ".config", "crs"), err
	}
	base, err := os.UserConfigDir()
	return filepath.Join(base, "crs"), err
}

func configFile() (file, error) {
	dir, err := ConfigDir()
	return file{dir, "config.json"}, err
}

// LoadConfig reads the configuration. After an error it is the zero value.
func LoadConfig() (Config, error) {
	f, err := configFile()
	if err != nil {
		return Config{}, err
	}
	return f.config()
}

func (f file) config() (c Config, err error) {
	b, info, err := f.read()
	if err != nil || info == nil {
		return Config{}, err
	}
	if err := json.Unmarshal(b, &c, json.RejectUnknownMembers(true)); err != nil {
		return Config{}, fmt.Errorf("%s is damaged: it is not JSON of the right shape; repair it, or delete it to start anew", f.path())
	}
	for word, driver := range c.Cards {
		if driver != "native" && driver != "module" {
			return Config{}, fmt.Errorf("%s: the driver of cards in %q is %q, not native or module", f.path(), word, driver)
		}
	}
	return c, nil
}

// ChangeConfig changes the configuration. It leaves a damaged file as it is.
func ChangeConfig(edit func(*Config)) error {
	f, err := configFile()
	if err != nil {
		return err
	}
	return f.change(func() error {
		c, err := f.config()
		if err != nil {
			return err
		}
		edit(&c)
		b, err := json.Marshal(c, jsontext.Multiline(true))
		if err != nil {
			return err
		}
		return f.write(append(b, '\n'))
	})
}
