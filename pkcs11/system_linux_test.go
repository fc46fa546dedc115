package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// TestT18OnlyAdministratorsModules: what others can change is refused, and the reason names it.
func TestT18OnlyAdministratorsModules(t *testing.T) {
	ns.NeedUsers(t)
	f := tokentest.NewFake(t, "")
	home := t.TempDir()
	atHome := filepath.Join(home, "fake.so")
	copyFile(t, f.Path, atHome)
	writableDir := filepath.Join(filepath.Dir(f.Path), "open")
	if err := os.Mkdir(writableDir, 0o755); err != nil {
		t.Fatal(err)
	}
	inOpen := filepath.Join(writableDir, "fake.so")
	copyFile(t, f.Path, inOpen)
	if err := os.Chmod(writableDir, 0o777); err != nil {
		t.Fatal(err)
	}
	owned := filepath.Join(filepath.Dir(f.Path), "owned.so")
	copyFile(t, f.Path, owned)
	if err := os.Chown(owned, 12345, 0); err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(filepath.Dir(f.Path), "group.so")
	copyFile(t, f.Path, group)
	if err := errors.Join(os.Chown(group, 0, 50), os.Chmod(group, 0o775)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(filepath.Dir(f.Path), "link.so")
	if err := os.Symlink(inOpen, link); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(filepath.Dir(f.Path), "modules.txt")
	p := places{list: list, home: home}
	for path, want := range map[string]*Unused{
		f.Path:  nil,
		atHome:  {AtHome, "~/fake.so"},
		inOpen:  {Writable, writableDir},
		owned:   {Writable, owned},
		group:   {Writable, group},
		link:    {Writable, writableDir},
		"/none": {Why: Missing},
		"none":  {Failed, "no absolute path"},
	} {
		t.Run(path, func(t *testing.T) {
			if err := os.WriteFile(list, []byte("# ours\n"+path+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			found := p.find("linux")
			if len(found) != 1 || (found[0].Unused == nil) != (want == nil) || want != nil && *found[0].Unused != *want {
				t.Errorf("%+v, want %v", found, want)
				if len(found) == 1 {
					t.Error(found[0].Unused)
				}
			}
		})
	}
	if err := os.Chmod(list, 0o666); err != nil {
		t.Fatal(err)
	}
	if found := p.find("linux"); len(found) != 1 || found[0].Unused == nil || found[0].Unused.Why != Writable {
		t.Errorf("a list that anybody can change: %+v", found)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBadModules: why a file that may be loaded cannot be.
func TestBadModules(t *testing.T) {
	f := tokentest.NewFake(t, "")
	dir := filepath.Dir(f.Path)
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte(strings.Repeat("no library\n", 10)), 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.so")
	b, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	b[18], b[19] = 0xB7, 0 // AArch64
	if err := os.WriteFile(foreign, b, 0o755); err != nil {
		t.Fatal(err)
	}
	compile := func(name, source string, args ...string) string {
		path := filepath.Join(dir, name)
		c := path + ".c"
		if err := os.WriteFile(c, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-o", path, c}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return path
	}
	other := compile("other.so", "int other(void) { return 1; }")
	needed := compile("libneeded.so", "int needed(void) { return 1; }")
	needs := compile("needs.so", "int needed(void); int C_GetFunctionList(void *p) { return needed(); }", "-L"+dir, "-lneeded")
	os.Remove(needed)
	for path, want := range map[string]Why{text: NotPKCS11, foreign: Machine, other: NotPKCS11, needs: Dependency} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			tokens := tokensOf(t, Module{Name: "bad", Path: path})
			tokens.List(context.Background(), true)
			m := tokens.Modules()[0]
			if m.Unused == nil || m.Unused.Why != want {
				t.Errorf("%s: %v", filepath.Base(path), m.Unused)
			}
			if want == Dependency && m.Unused != nil && m.Unused.Detail != "libneeded.so" {
				t.Errorf("needs %q", m.Unused.Detail)
			}
		})
	}
}

// TestT18ReducedWorker: a worker gets few variables, nothing to read, no way to more rights and no dumps.
func TestT18ReducedWorker(t *testing.T) {
	t.Setenv("LD_PRELOAD", "/nowhere.so")
	t.Setenv("CRS_TEST_SECRET", "x")
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_CORE, &core)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: core.Max, Max: core.Max}); err != nil {
		t.Fatal(err)
	}
	f, tokens := faked(t, oneToken())
	f.Fault("C_Initialize", "environ")
	c := theCard(t, tokens)
	proc := filepath.Join("/proc", strconv.Itoa(c.host.running().process.Pid))
	environ, err := os.ReadFile(proc + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(environ); strings.Contains(s, "LD_PRELOAD") || strings.Contains(s, "SECRET") || !strings.Contains(s, "HOME=") {
		t.Errorf("environment %q", s)
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Errorf("%v\n%s", err, status)
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil || !strings.Contains(string(limits), "Max core file size        0 ") {
		t.Errorf("%v\n%s", err, limits)
	}
	for link, want := range map[string]string{"cwd": "/", "fd/0": os.DevNull} {
		t.Run(link, func(t *testing.T) {
			if to, err := os.Readlink(filepath.Join(proc, link)); to != want {
				t.Errorf("%s is %s: %v", link, to, err)
			}
		})
	}
	await.That(t, "its memory is not dumped", func() bool { return slices.Contains(tokens.Modules()[0].Output, "dumpable 0") })
}

// TestT18NoFilesOfOthers: a worker has none of the files that its parent got from the program that
// started it, also of a parent that itself may get no more rights.
func TestT18NoFilesOfOthers(t *testing.T) {
	f, _ := faked(t, oneToken())
	given, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	for _, program := range [][]string{{executable(t)}, {"setpriv", "--no-new-privs", executable(t)}} {
		parent := exec.Command(program[0], append(program[1:], "parent", "pkcs11", f.Path)...)
		parent.ExtraFiles = []*os.File{given}
		proc := fmt.Sprintf("/proc/%d/fd/", workerOf(t, parent))
		files, err := os.ReadDir(proc)
		if err != nil {
			t.Error(err)
		}
		for _, file := range files {
			if to, _ := os.Readlink(proc + file.Name()); to == given.Name() {
				t.Errorf("%s: it is open", program[0])
			}
		}
	}
}

// TestUpdatedProgram: a program whose file another version replaced starts workers of its own version.
func TestUpdatedProgram(t *testing.T) {
	f, _ := faked(t, oneToken())
	program := filepath.Join(t.TempDir(), "crs")
	copyFile(t, executable(t), program)
	workerOf(t, exec.Command(program, "replaced", f.Path))
}

// endOf returns what waits for the end of a process.
func endOf(t *testing.T, pid int) (ends func() bool) {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(process) })
	return func() bool {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, 10_000)
			if err != unix.EINTR {
				return n == 1 && err == nil
			}
		}
	}
}
