package changes

import "testing"

func TestSignal(t *testing.T) {
	woken := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var s Signal
	s.Announce() // nobody waits
	first, second := s.Next(), s.Next()
	if woken(first) || woken(second) {
		t.Error("woken by a change of before")
	}
	s.Announce()
	third := s.Next()
	if !woken(first) || !woken(second) || woken(third) {
		t.Error("not exactly those who waited were woken")
	}
	s.Announce()
	s.Announce()
	if !woken(third) || woken(s.Next()) {
		t.Error("the second change is not told")
	}
}
