//go:build linux

package citizen

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// Main runs the tests of a package in a world of their own, in which crs is the program of these
// sources, and exits.
func Main(m *testing.M) { os.Exit(ns.World{Tests: withProgram{m}}.Run()) }

type withProgram struct{ *testing.M }

func (w withProgram) Run() int {
	if testing.Short() { // no test will have a home
		return w.M.Run()
	}
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return w.M.Run()
}

// build builds the program and makes it the crs of the PATH. With the race detector it is another
// file, in the same way as the tests.
func build() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "build", "tested"+raceSuffix)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Packages are tested side by side. The one that comes second has nothing to build.
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	program := filepath.Join(dir, "crs")
	build := exec.Command("go", append(append([]string{"build"}, raceFlags...), "-buildvcs=false", "-o", program+".new", "./cmd/crs")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(build.Args, " "), err, out)
	}
	// The go command writes the file anew even when nothing has changed, and a service that runs from
	// the old one, in a test of another package, would take this one for another program.
	if err := exec.Command("cmp", "-s", program+".new", program).Run(); err != nil {
		if err := os.Rename(program+".new", program); err != nil {
			return err
		}
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	// Otherwise a program that is built with the race detector waits for a second at its end.
	os.Setenv("GORACE", cmp.Or(os.Getenv("GORACE"), "atexit_sleep_ms=10"))
	return nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
}

// sources makes `go test` run a test again when the program has changed: what a test reads within the
// module decides whether its last result still holds.
var sources = sync.OnceFunc(func() {
	root, err := moduleRoot()
	if err != nil {
		return
	}
	filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && (path == filepath.Join(root, "build") || strings.HasPrefix(e.Name(), ".")) {
			return filepath.SkipDir
		}
		return nil
	})
})
