package pkcs11

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/ns"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// TestWindows runs the tests of this package that are not Linux's own once more, made for Windows
// and run by Wine: this program, its workers and their modules are Windows programs then.
func TestWindows(t *testing.T) {
	dir := t.TempDir()
	const compiler = "x86_64-w64-mingw32-gcc"
	ns.NeedProgram(t, compiler, "wine")
	run := func(cmd *exec.Cmd) {
		t.Helper()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	compile := func(to, source string, args ...string) {
		t.Helper()
		c := filepath.Join(dir, to+".c")
		if err := os.WriteFile(c, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		run(exec.Command(compiler, append([]string{"-shared", "-o", filepath.Join(dir, to), c}, args...)...))
	}
	tokentest.Compile(t, filepath.Join(dir, "fake.dll"), compiler)
	compile("needed.dll", "int needed(void) { return 1; }")
	compile("needs.dll", "int needed(void); __declspec(dllexport) int C_GetFunctionList(void *p) { return needed(); }", filepath.Join(dir, "needed.dll"))
	// Go programs want their random numbers from a library that is not in Wine 8.
	compile("bcryptprimitives.dll", `__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long);
__declspec(dllexport) int __stdcall ProcessPrng(void *to, unsigned long long n) { return SystemFunction036(to, n); }`, "-ladvapi32")
	// internal/trust judges their files.
	for program, source := range map[string]string{"pkcs11.exe": ".", "trust.exe": "../internal/trust"} {
		build := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, program), source)
		build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=1", "CC="+compiler)
		run(build)
	}

	for _, empty := range []string{"home", "prefix"} {
		if err := os.Mkdir(filepath.Join(dir, empty), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// All that Wine starts ends with the shell, which is the first process of a namespace.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	wine := exec.CommandContext(ctx, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-ec", `
		wine wineboot --init
		mv bcryptprimitives.dll prefix/drive_c/windows/system32
		wine trust.exe -test.v -test.timeout=2m || exit 1
		wine pkcs11.exe -test.v -test.timeout=2m || exit 1`)
	wine.Dir = dir
	// Without a display, and so without what would use it.
	wine.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "LC_ALL=C.UTF-8",
		"WINEPREFIX=" + filepath.Join(dir, "prefix"), "WINEARCH=win64", "WINEDEBUG=-all",
		"WINEDLLOVERRIDES=mscoree=;mshtml=;winemenubuilder.exe=d;winedbg.exe=d"}
	wine.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	b, err := wine.CombinedOutput()
	out := strings.ReplaceAll(string(b), "\r", "")
	if err != nil || strings.Contains(out, "--- SKIP") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, test := range []string{
		"TestConformanceFake/sign", "TestT18AModuleCannotHurt/C_Sign_crash", "TestT18OnlyAdministratorsModules", "TestT18ReducedWorker",
		"TestT18TheWorkerEndsWithItsParent", "TestT24ThePINIsNowhere", "TestBadModules",
		"TestAdminsAlone", "TestSameUserOnWindows",
	} {
		if !strings.Contains(out, "--- PASS: "+test+" (") {
			t.Errorf("%s did not pass", test)
		}
	}
}
