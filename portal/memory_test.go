package portal

import (
	"strconv"
	"testing"
	"time"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	var m memory[int]
	now := time.Now()
	const lifetime = time.Minute

	if _, ok := m.get("a", now); ok {
		t.Error("found something in an empty memory")
	}
	m.put("a", 1, now, lifetime)
	m.put("a", 2, now, lifetime)
	if v, ok := m.get("a", now); v != 2 || !ok {
		t.Errorf("got %d %v, want the later value", v, ok)
	}
	if v, ok := m.take("a", now); v != 2 || !ok {
		t.Errorf("took %d %v", v, ok)
	}
	if _, ok := m.take("a", now); ok {
		t.Error("took it twice")
	}
	m.put("a", 1, now, lifetime)
	if _, ok := m.get("a", now.Add(lifetime)); ok {
		t.Error("found what is too old")
	}
	m.put("b", 1, now.Add(lifetime), lifetime)
	if len(m.entries) != 1 || m.order.Len() != 1 {
		t.Errorf("%d entries: what is too old was not forgotten", len(m.entries))
	}
}

// A flood costs bounded memory, and those who come after it are served.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory[int]
	now := time.Now()
	m.put("early", 0, now, time.Hour)
	for i := range maxEntries {
		m.put(strconv.Itoa(i), i, now, time.Hour)
	}
	if len(m.entries) != maxEntries || m.order.Len() != maxEntries {
		t.Errorf("%d entries, want %d", len(m.entries), maxEntries)
	}
	if _, ok := m.get("early", now); ok {
		t.Error("the oldest is still there")
	}
	for _, i := range []int{0, maxEntries - 1} {
		if v, ok := m.get(strconv.Itoa(i), now); !ok || v != i {
			t.Errorf("entry %d is %d %v", i, v, ok)
		}
	}
}
