// Package changes wakes those who wait for something to change.
package changes

import "sync"

// Signal is announced at each change. The zero value is ready to use.
type Signal struct {
	mu   sync.Mutex
	next chan struct{} // nil while nobody waits
}

// Next returns a channel that is closed at the next change. Get it before looking at the state that
// it is about, or under the same lock: otherwise a change in between would be missed.
func (s *Signal) Next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Announce wakes all who wait.
func (s *Signal) Announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
