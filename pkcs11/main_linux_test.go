package pkcs11

import (
	"os"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// runTests: the tests of this package have a pcscd of their own.
func runTests(m *testing.M) {
	if os.Getuid() != 0 {
		os.Exit(ns.AsRoot()) // TestT18OnlyAdministratorsModules needs a second user
	}
	ns.Main(m)
}
