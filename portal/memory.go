package portal

import (
	"container/list"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

// memory is a map that forgets. An entry is gone after its lifetime; when there are too many,
// the oldest goes, so that a flood of new ones costs those that waited longest, not those that come
// next.
type memory[V any] struct {
	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // of entry[V], the oldest first; all live equally long
}

type entry[V any] struct {
	key     string
	value   V
	expires time.Time
}

// maxEntries bounds what a flood costs. A challenge is driven out only by that many later ones: at
// a thousand requests a second, after 100 s.
const maxEntries = 100_000

// put keeps the value under the key, replacing any other.
func (m *memory[V]) put(key string, value V, now time.Time, lifetime time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = map[string]*list.Element{}
	}
	m.remove(key)
	for oldest := m.order.Front(); oldest != nil; oldest = m.order.Front() {
		e := oldest.Value.(entry[V])
		if len(m.entries) < maxEntries && now.Before(e.expires) {
			break
		}
		m.remove(e.key)
	}
	m.entries[key] = m.order.PushBack(entry[V]{key, value, now.Add(lifetime)})
}

// get returns what is kept under the key.
func (m *memory[V]) get(key string, now time.Time) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peek(key, now)
}

// take returns what is kept under the key and deletes it: of two calls at once, one gets it.
func (m *memory[V]) take(key string, now time.Time) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.remove(key)
	return m.peek(key, now)
}

func (m *memory[V]) peek(key string, now time.Time) (V, bool) {
	if element, ok := m.entries[key]; ok {
		if e := element.Value.(entry[V]); now.Before(e.expires) {
			return e.value, true
		}
	}
	var none V
	return none, false
}

func (m *memory[V]) remove(key string) {
	if element, ok := m.entries[key]; ok {
		m.order.Remove(element)
		delete(m.entries, key)
	}
}

// randomText returns 256 random bits in base64.
func randomText(encoding *base64.Encoding) string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return encoding.EncodeToString(b[:])
}

// setCookie sets a cookie that only this very host can have set (__Host-), that scripts cannot read
// and that travels over https alone; browsers count localhost as https here. A lifetime of 0 means
// the browser's session. The empty value deletes the cookie.
func setCookie(w http.ResponseWriter, name, value string, sameSite http.SameSite, lifetime time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: sameSite}
	if c.MaxAge = int(lifetime / time.Second); value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
