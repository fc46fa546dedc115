package pkcs11

import (
	"os"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// runTests: the tests of this package have a pcscd of their own.
func runTests(m *testing.M) { os.Exit(ns.World{Tests: m, Users: true}.Run()) }
