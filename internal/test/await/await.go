// Package await lets tests wait for a state, and never for a time.
package await

import (
	"testing"
	"time"
)

// Limit is far more than anything takes that a test waits for, also on an old and busy computer.
const Limit = 2 * time.Minute

// That returns when a condition holds, and ends the test when it does not within Limit.
func That(t testing.TB, what string, holds func() bool) {
	t.Helper()
	pause := time.Millisecond
	for end := time.Now().Add(Limit); !holds(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
}
