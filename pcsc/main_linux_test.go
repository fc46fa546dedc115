package pcsc

import (
	"os"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// The tests of this package have a pcscd of their own; the victim of TestPcscd8SIGKILL shares it.
func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		os.Exit(m.Run())
	}
	ns.Main(m)
}

const victimVariable = "CRS_TEST_VICTIM"
