package ns

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// advice is the line that helps.
const advice = "`scripts/bootstrap test` installs what tests need, on Debian and Ubuntu"

// skipShort skips what needs more than Go where tests are run with -short, as `make check` does.
// Nowhere else is a test skipped.
func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs more than Go: not run with -short")
	}
}

// NeedProgram fails the test where one of these programs is not installed. Paths are programs
// too, and so are files that a program loads.
func NeedProgram(t testing.TB, names ...string) {
	t.Helper()
	skipShort(t)
	for _, name := range names {
		_, err := os.Stat(name)
		if !strings.Contains(name, "/") {
			_, err = exec.LookPath(name)
		}
		if err != nil {
			t.Fatalf("this test needs %s, which is not installed; %s", name, advice)
		}
	}
}
