package pkcs11

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// lay puts files into a directory of root's, by their paths below it. A text that begins with -> is
// where a link leads.
func lay(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	ns.Need(t)
	dir, err := os.MkdirTemp(ns.Modules, "places")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, "DIR", dir)
		if to, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// described has everything about a module that a place decides.
func described(found []Module, dir string) string {
	var all []string
	for _, m := range found {
		s := fmt.Sprint(m.Name, " ", m.Path)
		if m.readers {
			s += " readers"
		}
		if m.falseLocked {
			s += " locked"
		}
		if m.Unused != nil {
			s += ": " + m.Unused.Error()
		}
		all = append(all, strings.ReplaceAll(s, dir, ""))
	}
	return strings.Join(all, "\n")
}

// TestPlaces: which modules are found, where, and what is known of them.
func TestPlaces(t *testing.T) {
	long := strings.Repeat("# long\n", 10<<10)
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"of the table", map[string]string{"lib/libbit4xpki.so": "", "lib/opensc-pkcs11.so": "", "lib2/libbit4xpki.so": "->DIR/lib/libbit4xpki.so"},
			"Bit4id /lib/libbit4xpki.so readers\nOpenSC /lib/opensc-pkcs11.so readers locked"},
		{"registered", map[string]string{"a/x.module": " remote: x\nmodule:  DIR/lib/mine.so \n# module: /none\n", "lib/mine.so": ""}, "x /lib/mine.so"},
		{"registered by name", map[string]string{"a/x.module": "module: mine.so\n", "lib2/mine.so": ""}, "x /lib2/mine.so"},
		{"registered by name and gone", map[string]string{"a/x.module": "module: mine.so\n"}, "x /lib/mine.so: missing"},
		{"registered and known", map[string]string{"a/o.module": "module: DIR/other/opensc-pkcs11.so\n", "other/opensc-pkcs11.so": ""}, "o /other/opensc-pkcs11.so readers locked"},
		{"registered and of the table", map[string]string{"a/o.module": "module: DIR/lib/opensc-pkcs11.so\n", "lib/opensc-pkcs11.so": ""}, "OpenSC /lib/opensc-pkcs11.so readers locked"},
		{"registered and gone", map[string]string{"a/x.module": "module: /none/x.so"}, "x /none/x.so: missing"},
		{"registered without a module", map[string]string{"a/x.module": "managed: yes"}, ""},
		{"hidden", map[string]string{"a/x.module": "module: DIR/lib/a.so", "b/x.module": "module: DIR/lib/b.so", "lib/a.so": "", "lib/b.so": ""}, "x /lib/a.so"},
		{"hidden by nothing", map[string]string{"a/x.module": "", "b/x.module": "module: DIR/lib/b.so", "lib/b.so": ""}, ""},
		{"trust", map[string]string{"a/x.module": "module: DIR/lib/a.so\ntrust-policy: yes", "lib/a.so": ""}, "x /lib/a.so: no_keys"},
		{"no trust", map[string]string{"a/x.module": "module: DIR/lib/a.so\ntrust-policy: no", "lib/a.so": ""}, "x /lib/a.so"},
		{"no UTF-8", map[string]string{"list": "DIR/lib/modulo-\xe0.so\nDIR/gone-\xe8.so", "lib/modulo-\xe0.so": ""},
			"modulo-à.so /lib/modulo-\xe0.so\ngone-è.so /gone-\xe8.so: missing"},
		{"without keys", map[string]string{"a/x.module": "module: DIR/lib/p11-kit-proxy.so", "lib/p11-kit-proxy.so": ""}, "x /lib/p11-kit-proxy.so: no_keys"},
		{"p11-kit's by another name", map[string]string{"list": "DIR/lib/a.so", "lib/a.so": "->DIR/lib2/libp11-kit.so.0", "lib2/libp11-kit.so.0": ""},
			"a.so /lib2/libp11-kit.so.0: no_keys"},
		{"p11-kit's, listed", map[string]string{"list": "DIR/lib/p11-kit-proxy.so", "lib/p11-kit-proxy.so": "->DIR/lib2/x.so", "lib2/x.so": ""},
			"p11-kit-proxy.so /lib2/x.so: no_keys"},
		{"for others", map[string]string{"a/x.module": "module: DIR/lib/a.so\nenable-in: firefox, crsx", "lib/a.so": ""}, ""},
		{"for us", map[string]string{"a/x.module": "enable-in: firefox, crs\nmodule: DIR/lib/a.so", "lib/a.so": ""}, "x /lib/a.so"},
		{"not for us", map[string]string{"a/x.module": "disable-in: crs\nmodule: DIR/lib/a.so", "lib/a.so": ""}, ""},
		{"not for others", map[string]string{"a/x.module": "disable-in: firefox\nmodule: DIR/lib/a.so", "lib/a.so": ""}, "x /lib/a.so"},
		{"listed", map[string]string{"list": "\n# DIR/lib/b.so\n  DIR/lib/a.so\nDIR/lib/opensc-pkcs11.so", "lib/a.so": "", "lib/b.so": "", "lib/opensc-pkcs11.so": ""},
			"OpenSC /lib/opensc-pkcs11.so readers locked\na.so /lib/a.so"},
		{"listed and known", map[string]string{"list": "DIR/other/opensc-pkcs11.so", "other/opensc-pkcs11.so": ""}, "opensc-pkcs11.so /other/opensc-pkcs11.so readers locked"},
		{"listed too long", map[string]string{"list": long}, "list /list: failed: too long"},
		{"a directory", map[string]string{"list": "DIR/lib", "lib/a.so": ""}, "lib /lib: failed: no file"},
		{"at home", map[string]string{"list": "DIR/home/a.so", "home/a.so": ""}, "a.so /home/a.so: at_home: ~/a.so"},
		{"a link at home", map[string]string{"list": "DIR/home/b.so", "home/b.so": "->DIR/lib/a.so", "lib/a.so": ""}, "b.so /lib/a.so: at_home: ~/b.so"},
		{"a link to home", map[string]string{"list": "DIR/lib/b.so", "lib/b.so": "->DIR/home/a.so", "home/a.so": ""}, "b.so /home/a.so: at_home: ~/a.so"},
		{"beside home", map[string]string{"list": "DIR/homes/a.so", "homes/a.so": ""}, "a.so /homes/a.so"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := lay(t, test.files)
			p := places{
				libraries:     []string{dir + "/lib", dir + "/lib2"},
				registrations: []string{dir + "/a", dir + "/b"}, list: dir + "/list", home: dir + "/home/",
			}
			if got := described(p.find("linux"), dir); got != test.want {
				t.Errorf("%s:\n%s\nnot\n%s", test.name, got, test.want)
			}
		})
	}
}

// A user without a home directory has no module in it.
func TestNoHome(t *testing.T) {
	if found := (places{list: "/none"}).find("darwin"); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

// TestT18OnlyAdministratorsNameModules: neither a list nor a registration is followed that others
// can change, no matter how they are reached.
func TestT18OnlyAdministratorsNameModules(t *testing.T) {
	files := map[string]string{
		"list": "->DIR/open/list", "open/list": "DIR/lib/a.so", "lib/a.so": "",
		"a/x.module": "->DIR/open/x.module", "open/x.module": "module: DIR/lib/a.so",
	}
	for name, change := range map[string]func(dir string) error{
		"/open":          func(dir string) error { return os.Chmod(dir+"/open", 0o777) },
		"/open/list":     func(dir string) error { return os.Chmod(dir+"/open/list", 0o646) },
		"/open/x.module": func(dir string) error { return os.Chown(dir+"/open/x.module", 12345, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := lay(t, files)
			p := places{registrations: []string{dir + "/a"}, list: dir + "/list"}
			if got := described(p.find("linux"), dir); got != "x /lib/a.so" {
				t.Errorf("before: %s", got)
			}
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			if got := described(p.find("linux"), dir); !strings.Contains(got, "writable: "+name) {
				t.Errorf("%s", got)
			}
		})
	}
}
