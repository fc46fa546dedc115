//go:build !linux

package pkcs11

import (
	"os"
	"testing"
)

func runTests(m *testing.M) { os.Exit(m.Run()) }
