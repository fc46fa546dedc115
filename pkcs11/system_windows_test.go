package pkcs11

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/crs-bridge/crs/internal/test/await"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// TestT18OnlyAdministratorsModules: what others can change is refused. Wine knows no other owner of
// files than the user who runs it.
func TestT18OnlyAdministratorsModules(t *testing.T) {
	f := tokentest.NewFake(t, "")
	path, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, unused := (places{}).check(f.Path); unused == nil || *unused != (Unused{Writable, path}) {
		t.Errorf("a module of the user's: %v", unused)
	}
	if _, unused := (places{home: filepath.Dir(path)}).check(f.Path); unused == nil || unused.Why != AtHome {
		t.Errorf("a module below the home directory: %v", unused)
	}
}

// TestBadModules: why a file that may be loaded cannot be.
func TestBadModules(t *testing.T) {
	f := tokentest.NewFake(t, "")
	dir := filepath.Dir(f.Path)
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	library := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Beside this program is what the library needs. That is not where it is looked for.
	needs := write("needs.dll", library(filepath.Join(filepath.Dir(self), "needs.dll")))
	foreign := library(f.Path)
	binary.LittleEndian.PutUint16(foreign[binary.LittleEndian.Uint32(foreign[60:])+4:], 0x14C) // x86
	for path, want := range map[string]Why{
		write("text.dll", []byte(strings.Repeat("no library\n", 10))): NotPKCS11,
		write("foreign.dll", foreign):                                 Machine,
		filepath.Join(systemDir(), "version.dll"):                     NotPKCS11,
		needs: Dependency,
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if got := whyUnused(t, path); got == nil || got.Why != want {
				t.Errorf("%s: %v", filepath.Base(path), got)
			}
		})
	}
	write("needed.dll", library(filepath.Join(filepath.Dir(self), "needed.dll")))
	if got := whyUnused(t, needs); got == nil || got.Why != NotPKCS11 {
		t.Errorf("needs.dll beside what it needs: %v", got)
	}
}

// A directory that the system's code page has no letters for.
func TestNamesInUnicode(t *testing.T) {
	dir := filepath.Join(filepath.Dir(tokentest.NewFake(t, "").Path), "città 卡")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := whyUnused(t, tokentest.NewFake(t, dir).Path); got != nil {
		t.Error(got)
	}
}

func whyUnused(t *testing.T, path string) *Unused {
	t.Helper()
	tokens := tokensOf(t, Module{Name: "module", Path: path})
	tokens.List(context.Background(), true)
	return tokens.Modules()[0].Unused
}

// TestT18ReducedWorker: a worker gets few variables, no files, and a job that ends it.
func TestT18ReducedWorker(t *testing.T) {
	t.Setenv("CRS_TEST_SECRET", "x")
	leak, err := os.Open(filepath.Join(systemDir(), "version.dll"))
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	// A handle keeps its number when it is inherited. This one is higher than a worker has any.
	handle := windows.Handle(leak.Fd())
	for range 2000 {
		if handle, err = duplicate(windows.CurrentProcess(), handle, true); err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(handle)
	}
	f, tokens := faked(t, oneToken())
	f.Fault("C_Initialize", "environ")
	c := theCard(t, tokens)
	worker, err := windows.OpenProcess(windows.PROCESS_DUP_HANDLE|windows.PROCESS_QUERY_INFORMATION, false, uint32(c.host.running().process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(worker)
	if there, err := duplicate(worker, handle, false); err == nil {
		windows.CloseHandle(there)
		t.Error("a file of the parent is open")
	}
	var inJob uint32
	isProcessInJob := windows.NewLazySystemDLL("kernel32.dll").NewProc("IsProcessInJob")
	if ok, _, err := isProcessInJob.Call(uintptr(worker), 0, uintptr(unsafe.Pointer(&inJob))); ok == 0 || inJob == 0 {
		t.Errorf("the worker is in no job: %v", err)
	}
	var environ []string
	await.That(t, "the environment that the module wrote", func() bool {
		environ = tokens.Modules()[0].Output
		return slices.ContainsFunc(environ, isSystemRoot)
	})
	s := strings.Join(environ, "\n")
	if strings.Contains(s, "SECRET") || !strings.Contains(s, "PATH="+systemDir()) {
		t.Errorf("environment:\n%s", s)
	}
	for _, line := range environ {
		name, _, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(name, "WINE") { // Wine's own
			continue
		}
		if !slices.ContainsFunc(append(kept, "PATH", pipesVariable), func(k string) bool { return strings.EqualFold(k, name) }) {
			t.Errorf("the worker has %s", line)
		}
	}
}

// endOf returns what waits for the end of a process.
func endOf(t *testing.T, pid int) (ends func() bool) {
	t.Helper()
	process, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.CloseHandle(process) })
	return func() bool {
		event, err := windows.WaitForSingleObject(process, 10_000)
		return event == windows.WAIT_OBJECT_0 && err == nil
	}
}

func isSystemRoot(line string) bool { return strings.HasPrefix(strings.ToUpper(line), "SYSTEMROOT=") }

func duplicate(of, handle windows.Handle, inherit bool) (fresh windows.Handle, err error) {
	return fresh, windows.DuplicateHandle(of, handle, windows.CurrentProcess(), &fresh, 0, inherit, windows.DUPLICATE_SAME_ACCESS)
}
