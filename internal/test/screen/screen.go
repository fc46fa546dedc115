// Package screen gives tests what stands at the other end of a dialog: what a program wrote, and
// a user who answers.
package screen

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crs-bridge/crs/internal/test/await"
)

// Text is what a program wrote so far. The zero value is ready to use.
type Text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *Text) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *Text) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Await returns when text was written.
func (s *Text) Await(t testing.TB, text string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("written:\n%s", s)
		}
	})
	await.That(t, strconv.Quote(text), func() bool { return strings.Contains(s.String(), text) })
}
