// Package tokens makes tokens for tests: those of SoftHSM, and those of a module written in C
// that can crash, hang and lie. It is for Linux and wants what scripts/bootstrap installs.
package tokens

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// Token is a token of the fake module, or of SoftHSM.
type Token struct {
	Label, Serial  string
	Slot           string // slotDescription of the fake module, "": one of its own
	PIN            string
	MinPIN, MaxPIN int
	Flags          uint // of CK_TOKEN_INFO, besides those that the module sets itself
	Objects        []Object
}

// Object is a certificate, its key, or both.
type Object struct {
	ID          []byte
	Certificate *x509.Certificate // nil: none
	Key         crypto.Signer     // nil: none; of RSA for the fake module
	Public      bool              // a public key shows before the PIN
	Always      bool              // CKA_ALWAYS_AUTHENTICATE
}

// Person returns the objects of a person's card.
func Person(p *virtualcard.Person) []Object {
	return []Object{{ID: []byte{1}, Certificate: p.Certificate, Key: p.Key}}
}

// Fake is the fake module in a file.
type Fake struct {
	Path string
	t    testing.TB
}

// compiled is the module, compiled once for all tests of a package.
var compiled struct {
	once   sync.Once
	module []byte
}

// NewFake puts the module into a file of its own in dir, or in the directory for modules that only
// root can change if that is "".
func NewFake(t testing.TB, dir string) *Fake {
	t.Helper()
	if dir == "" {
		dir = privateDir(t)
	}
	compiled.once.Do(func() {
		if runtime.GOOS == "windows" { // there is no compiler: the module was built along with the test
			self, _ := os.Executable()
			compiled.module, _ = os.ReadFile(filepath.Join(filepath.Dir(self), "fake.dll"))
			return
		}
		file := filepath.Join(t.TempDir(), "fake.so")
		Compile(t, file, "gcc", "-fPIC")
		compiled.module, _ = os.ReadFile(file)
	})
	if len(compiled.module) == 0 {
		t.Fatal("there is no fake module")
	}
	name := "fake.so"
	if runtime.GOOS == "windows" {
		name = "fake.dll"
	}
	f := &Fake{Path: filepath.Join(dir, name), t: t}
	if err := os.WriteFile(f.Path, compiled.module, 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

// privateDir makes a directory of its own for a test's modules, which on Linux only root can
// change. Not by t.TempDir: what Go 1.26 removes directories with is not in Wine 8.
func privateDir(t testing.TB) string {
	t.Helper()
	parent := ""
	if runtime.GOOS == "linux" {
		ns.Need(t)
		parent = ns.Modules
	}
	dir, err := os.MkdirTemp(parent, "modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Compile compiles the fake module.
func Compile(t testing.TB, to, compiler string, args ...string) {
	t.Helper()
	ns.NeedProgram(t, compiler)
	root := moduleRoot(t)
	args = append(args, "-shared", "-O2", "-o", to, filepath.Join(root, "internal/test/tokens/testdata/fake.c"))
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, out)
	}
}

func moduleRoot(t testing.TB) string {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

func (f *Fake) write(suffix, text string) {
	f.t.Helper()
	temporary := f.Path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(temporary, f.Path+suffix); err != nil {
		f.t.Fatal(err)
	}
}

// Insert makes these the tokens of the module, with all their tries.
func (f *Fake) Insert(tokens ...Token) {
	f.t.Helper()
	var b strings.Builder
	for slot, t := range tokens {
		if t.MaxPIN == 0 {
			t.MinPIN, t.MaxPIN = 5, 8
		}
		fmt.Fprintf(&b, "token %x %x %x %d %d %x\n", t.Label, t.Serial, t.Flags, t.MinPIN, t.MaxPIN, t.Slot)
		for _, o := range t.Objects {
			id := cmp.Or(hex.EncodeToString(o.ID), "-")
			if o.Certificate != nil {
				fmt.Fprintf(&b, "cert %s %x\n", id, o.Certificate.Raw)
			}
			if o.Public {
				fmt.Fprintf(&b, "public %s\n", id)
			}
			if key, ok := o.Key.(*rsa.PrivateKey); ok {
				always := 0
				if o.Always {
					always = 1
				}
				d := make([]byte, key.Size())
				key.D.FillBytes(d)
				fmt.Fprintf(&b, "key %s %x %x %d\n", id, key.N.Bytes(), d, always)
			}
		}
		f.SetTries(slot, 3, t.PIN)
	}
	f.write(".conf", b.String())
}

// SetTries sets the tries left and the PIN of a token.
func (f *Fake) SetTries(slot, tries int, pin string) {
	f.t.Helper()
	f.write(fmt.Sprintf(".pin.%d", slot), fmt.Sprintf("%d %s\n", tries, pin))
}

// Tries returns the tries left of a token.
func (f *Fake) Tries(slot int) int {
	f.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("%s.pin.%d", f.Path, slot))
	if err != nil {
		f.t.Fatal(err)
	}
	var tries int
	fmt.Sscan(string(b), &tries)
	return tries
}

// Type types a PIN on the device.
func (f *Fake) Type(pin string) { f.write(".pad", pin) }

// Fault makes something go wrong in a call: see fake.c. An empty kind ends that.
func (f *Fake) Fault(call, kind string) {
	f.t.Helper()
	f.write(".fault", call+" "+kind)
}

// Log returns what became of the PINs.
func (f *Fake) Log() []string {
	b, _ := os.ReadFile(f.Path + ".log")
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(b)), " ", ":"))
}

// Secrets returns how many PINs came.
func (f *Fake) Secrets() int {
	n := 0
	for _, line := range f.Log() {
		if strings.HasPrefix(line, "login:") || strings.HasPrefix(line, "set:") {
			n++
		}
	}
	return n
}
