//go:build !linux

package ns

import "testing"

// Need fails the test: worlds are made of Linux's namespaces.
func Need(t testing.TB) {
	t.Helper()
	skipShort(t)
	t.Fatal("this test needs the private namespaces of Linux")
}
