package pkcs11

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/crs-bridge/crs/internal/outside"
	"github.com/crs-bridge/crs/internal/trust"
)

// Module is a PKCS#11 module that is on this computer, and why it is not used, if it is not.
type Module struct {
	Name   string
	Path   string  // of the file itself, behind all links; raw bytes, because it is loaded by them
	Unused *Unused // nil: it is used

	// Output is what the module's process wrote to stderr before it was sent a PIN. It may name the
	// holder of the card, so it is for the user only and never for a log.
	Output []string

	readers     bool // its tokens are cards in readers of PC/SC
	falseLocked bool // it says CKF_USER_PIN_LOCKED of healthy cards
}

// known is a row of the table of modules. A name without a directory is searched for where the
// system keeps libraries.
type known struct {
	name                   string
	windows, linux, darwin []string
	falseLocked            bool
}

// table lists what citizens of Italy get with their cards and tokens. All of these modules drive
// what is in a reader of PC/SC, also those of USB tokens. (Names and paths: the sources and
// packages of OpenSC, of cie-middleware, and of programs that ship lists of modules.)
var table = []known{
	{name: "Bit4id",
		windows: []string{`bit4xpki.dll`, `bit4ipki.dll`, `bit4cpki.dll`, `bit4p11.dll`},
		linux:   []string{"libbit4xpki.so", "/usr/lib/bit4id/libbit4xpki.so", "libbit4ipki.so"},
		darwin:  []string{"/Library/bit4id/pkcs11/libbit4xpki.dylib", "/System/Library/Bit4id/pkcs11/libbit4ipki.dylib"}},
	{name: "Bit4id (IDEMIA)",
		windows: []string{`bit4opki.dll`, `OCSCryptoki.dll`},
		linux:   []string{"/usr/lib/bit4id/libbit4opki.so", "libbit4opki.so"},
		darwin:  []string{"/Library/bit4id/pkcs11/libbit4opki.dylib"}},
	{name: "STMicroelectronics", linux: []string{"libstpkcs11.so"}},
	{name: "Athena",
		windows: []string{`asepkcs.dll`},
		linux:   []string{"libASEP11.so", "/usr/lib/x64-athena/libASEP11.so"},
		darwin:  []string{"/Library/Application Support/Athena/libASEP11.dylib"}},
	{name: "Incard", windows: []string{`incryptoki2.dll`, `inp11lib.dll`}},
	{name: "CardOS", windows: []string{`SI_PKCS11.dll`, `siecap11.dll`}, linux: []string{"libsiecap11.so"}},
	{name: "Charismathics", windows: []string{`cvP11.dll`, `cvcP11.dll`, `cmP11.dll`, `cmP11_M4.dll`}, linux: []string{"libcmP11.so"}},
	{name: "IDPrime",
		windows: []string{`%ProgramFiles%\SafeNet\Authentication\SAC\x64\IDPrimePKCS1164.dll`, `IDPrimePKCS11.dll`},
		linux:   []string{"libIDPrimePKCS11.so"},
		darwin:  []string{"/usr/local/lib/libIDPrimePKCS11.dylib"}},
	{name: "SafeNet eToken",
		windows: []string{`eTPKCS11.dll`},
		linux:   []string{"libeTPkcs11.so", "libeToken.so"},
		darwin:  []string{"/usr/local/lib/libeTPkcs11.dylib"}},
	{name: "Namirial", windows: []string{`OkiPKCS11.dll`}},
	{name: "Italtel", windows: []string{`IpmPki32.dll`, `IPMpkiLC.dll`, `IpmPkiLU.dll`}},
	{name: "CIE",
		windows: []string{`CIEPKI.dll`},
		linux:   []string{"/usr/local/lib/libcie-pkcs11.so", "libcie-pkcs11.so"},
		darwin: []string{"/Applications/CIE ID.app/Contents/Frameworks/libcie-pkcs11.dylib",
			// The App Store version copies it here at each start: any program of the user could put
			// another one there.
			"~/Library/Group Containers/group.it.ipzs.SoftwareCIE/Library/Caches/libcie-pkcs11.dylib"}},
	{name: "OpenCIE", windows: []string{`libopencie-pkcs11.dll`}, linux: []string{"libopencie-pkcs11.so"}, darwin: []string{"/usr/local/lib/libopencie-pkcs11.dylib"}},
	{name: "OpenSC", falseLocked: true,
		windows: []string{`%ProgramFiles%\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll`},
		linux:   []string{"opensc-pkcs11.so"},
		darwin:  []string{"/Library/OpenSC/lib/opensc-pkcs11.so"}},
}

// keylessModules are modules that p11-kit knows and that hold no personal keys, or only those that
// another module holds too.
var keylessModules = []string{"gnome-keyring-pkcs11.so", "libnssckbi.so", "onepin-opensc-pkcs11.so"}

// ofP11Kit reports whether a file is p11-kit's own. Its modules hold no personal keys, and most of
// them pass requests on to any module that the user's own files name, anywhere.
func ofP11Kit(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, "p11-kit-") || strings.HasPrefix(name, "libp11-kit.")
}

// Find returns the modules on this computer: those of the table that exist, those that p11-kit
// knows, and those that an administrator lists. Find only looks at files; whether a module loads
// shows when it is used.
func Find() []Module {
	home, _ := os.UserHomeDir()
	return places{
		libraries: libraryDirs(runtime.GOOS, runtime.GOARCH), registrations: registrationDirs,
		list: administratorsList(), home: home,
	}.find(runtime.GOOS)
}

// places are where modules are looked for.
type places struct {
	libraries     []string // directories of libraries
	registrations []string // directories of p11-kit; a file in the first hides one of that name in the next
	list          string   // the administrator's list: a path a line
	home          string
}

// registrationDirs leaves out those of the user.
var registrationDirs = []string{"/etc/pkcs11/modules", "/usr/share/p11-kit/modules"}

// administratorsList returns the file in which an administrator names further modules.
func administratorsList() string {
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(os.Getenv("ProgramData"), "crs", "modules.txt")
	case "darwin":
		return "/Library/Application Support/crs/modules.txt"
	}
	return "/etc/crs/modules.txt"
}

// libraryDirs returns where a system keeps libraries for programs of an architecture.
func libraryDirs(system, arch string) []string {
	switch system {
	case "windows":
		return []string{filepath.Join(os.Getenv("SystemRoot"), "System32")}
	case "darwin":
		return []string{"/usr/local/lib"}
	}
	dirs := []string{"/usr/lib"}
	if debian := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i386"}[arch]; debian != "" {
		dirs = append(dirs, "/usr/lib/"+debian+"-linux-gnu")
	}
	if strings.HasSuffix(arch, "64") {
		dirs = append(dirs, "/usr/lib64")
	}
	for _, dir := range slices.Clone(dirs) {
		dirs = append(dirs, dir+"/pkcs11")
	}
	return append(dirs, "/usr/local/lib")
}

func (p places) find(system string) []Module {
	var found []Module
	add := func(name, path string, row known, certain bool) {
		m := Module{Name: name, readers: row.name != "", falseLocked: row.falseLocked}
		m.Path, m.Unused = p.check(path)
		if m.Unused != nil && m.Unused.Why == Missing && !certain {
			return
		}
		if ofP11Kit(path) || ofP11Kit(m.Path) {
			m.Unused = &Unused{Why: Trust}
		}
		if !slices.ContainsFunc(found, func(other Module) bool { return other.Path == m.Path }) {
			found = append(found, m)
		}
	}
	for _, row := range table {
		for _, file := range map[string][]string{"windows": row.windows, "linux": row.linux, "darwin": row.darwin}[system] {
			for _, path := range p.expand(file) {
				add(row.name, path, row, false)
			}
		}
	}
	for _, r := range p.registered() {
		m := r.module
		switch {
		case r.trust || slices.Contains(keylessModules, filepath.Base(m)):
			found = append(found, Module{Name: r.name, Path: m, Unused: &Unused{Why: Trust}})
		case r.unsafe != "":
			found = append(found, Module{Name: r.name, Path: m, Unused: &Unused{Writable, r.unsafe}})
		default:
			add(r.name, m, rowOf(m), true)
		}
	}
	listed, err := readAdminFile(p.list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		found = append(found, Module{Name: filepath.Base(p.list), Path: p.list, Unused: unusedFor(err)})
	}
	for line := range strings.Lines(listed) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			add(filepath.Base(line), line, rowOf(line), true)
		}
	}
	for i := range found {
		found[i].Name = outside.Text(found[i].Name)
		if u := found[i].Unused; u != nil {
			found[i].Unused = &Unused{u.Why, outside.Text(u.Detail)}
		}
	}
	return found
}

// rowOf returns the row of the table that names a file, in any directory.
func rowOf(path string) known {
	for _, row := range table {
		for _, file := range slices.Concat(row.windows, row.linux, row.darwin) {
			if file[strings.LastIndexAny(file, `/\`)+1:] == filepath.Base(path) {
				return row
			}
		}
	}
	return known{}
}

// expand returns the paths where a file of the table may be.
func (p places) expand(file string) []string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		if p.home == "" {
			return nil
		}
		return []string{filepath.Join(p.home, rest)}
	}
	if rest, ok := strings.CutPrefix(file, `%ProgramFiles%\`); ok {
		return []string{filepath.Join(os.Getenv("ProgramFiles"), rest)}
	}
	if filepath.IsAbs(file) {
		return []string{file}
	}
	var paths []string
	for _, dir := range p.libraries {
		paths = append(paths, filepath.Join(dir, file))
	}
	return paths
}

// check returns the file behind a path, and why it must not be loaded, if so (T18).
func (p places) check(path string) (string, *Unused) {
	file, err := filepath.EvalSymlinks(path)
	switch {
	case !filepath.IsAbs(path):
		return path, &Unused{Failed, "no absolute path"}
	case errors.Is(err, fs.ErrNotExist):
		return path, &Unused{Why: Missing}
	case err != nil:
		return path, &Unused{Failed, err.Error()}
	}
	for _, at := range []string{path, file} {
		if p.home != "" && strings.HasPrefix(at, filepath.Clean(p.home)+string(filepath.Separator)) {
			return file, &Unused{AtHome, "~" + strings.TrimPrefix(at, filepath.Clean(p.home))} // not whose it is
		}
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return file, &Unused{Failed, "no file"}
	}
	_, err = trust.AdminOnlyCode(file)
	return file, unusedFor(err)
}

func unusedFor(err error) *Unused {
	var writable *trust.WritableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &writable):
		return &Unused{Writable, writable.Path}
	}
	return &Unused{Failed, err.Error()}
}

// readAdminFile reads a small file that only administrators can change.
func readAdminFile(path string) (string, error) {
	file, err := trust.AdminOnly(path)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(file)
	if len(b) > 64<<10 {
		err = errors.New("too long")
	}
	return string(b), err
}

// registration is a module that p11-kit knows.
type registration struct {
	name, module string
	trust        bool   // certificates of authorities
	unsafe       string // the registration itself could have been changed: where
}

// registered reads the registrations of p11-kit (p11-kit manual, pkcs11.conf). It leaves out those
// that are not for this program.
func (p places) registered() []registration {
	var all []registration
	seen := map[string]bool{}
	for _, dir := range p.registrations {
		files, _ := filepath.Glob(filepath.Join(dir, "*.module"))
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".module")
			if seen[name] {
				continue
			}
			seen[name] = true
			text, err := readAdminFile(file)
			var writable *trust.WritableError
			switch {
			case errors.As(err, &writable):
				all = append(all, registration{name: name, module: file, unsafe: writable.Path})
				continue
			case err != nil:
				continue
			}
			if r, ok := p.parseRegistration(name, text); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

func (p places) parseRegistration(name, text string) (registration, bool) {
	r := registration{name: name}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		programs := strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
		switch strings.TrimSpace(key) {
		case "module":
			r.module = value
		case "trust-policy":
			r.trust = value == "yes"
		case "enable-in":
			ok = slices.Contains(programs, "crs")
		case "disable-in":
			ok = !slices.Contains(programs, "crs")
		}
		if !ok {
			return r, false
		}
	}
	if r.module != "" && !filepath.IsAbs(r.module) && len(p.libraries) > 0 {
		in := func(dir string) string { return filepath.Join(dir, r.module) }
		at := slices.IndexFunc(p.libraries, func(dir string) bool { return exists(in(dir)) })
		r.module = in(p.libraries[max(at, 0)]) // where a missing one would be
	}
	return r, r.module != ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
