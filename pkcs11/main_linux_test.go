package pkcs11

import (
	"os"
	"testing"

	"github.com/crs-bridge/crs/internal/testns"
)

// The tests of this package have a pcscd of their own. The test binary is the worker too.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "worker" {
		os.Exit(Serve(os.Args[3]))
	}
	testns.Main(m)
}

var workerCommand = []string{"crs", "worker", "pkcs11"}
