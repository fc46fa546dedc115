package portal

import (
	"encoding/base64"
	"net/http"
	"time"
)

// Citizen is the person who logged in.
type Citizen struct {
	Identity

	// PersonalData are nil when the page did not ask for them, the citizen refused, or the
	// card has none that can be read.
	PersonalData *PersonalData
}

// Sessions remembers who logged in, in the memory of one process. The zero value is ready.
type Sessions struct {
	// Lifetime of a session, from login; 0 is one hour.
	Lifetime time.Duration

	memory memory[Citizen]
	now    func() time.Time // for tests; nil is time.Now
}

const sessionCookie = "__Host-crs-session"

// Start begins the session of a citizen who just logged in: use it as Login's OnLogin. The session
// id is always a new one, never one that the browser brought along, and the session that the
// browser had before ends.
func (s *Sessions) Start(w http.ResponseWriter, r *http.Request, c Citizen) error {
	s.forget(r)
	lifetime := s.Lifetime
	if lifetime == 0 {
		lifetime = time.Hour
	}
	id := randomText(base64.RawURLEncoding)
	s.memory.put(id, c, s.clock(), lifetime)
	// Lax: a citizen who follows a link to the portal is still logged in on arrival.
	setCookie(w, sessionCookie, id, http.SameSiteLaxMode, 0)
	return nil
}

// Citizen returns who is logged in.
func (s *Sessions) Citizen(r *http.Request) (Citizen, bool) {
	return s.memory.get(cookie(r, sessionCookie), s.clock())
}

// End ends the session, if there is one.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) {
	s.forget(r)
	setCookie(w, sessionCookie, "", http.SameSiteLaxMode, 0)
}

func (s *Sessions) forget(r *http.Request) {
	s.memory.take(cookie(r, sessionCookie), s.clock())
}

func (s *Sessions) clock() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}
