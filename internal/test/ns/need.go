package ns

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// advice is the line that helps.
const advice = "`scripts/bootstrap test` installs what tests need, on Debian and Ubuntu"

// NeedProgram fails the test where one of these programs is not installed. Paths are programs
// too, and so are files that a program loads.
func NeedProgram(t testing.TB, names ...string) {
	t.Helper()
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
