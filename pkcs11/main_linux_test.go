package pkcs11

import (
	"testing"

	"github.com/crs-bridge/crs/internal/testns"
)

// runTests: the tests of this package have a pcscd of their own.
func runTests(m *testing.M) { testns.Main(m) }
