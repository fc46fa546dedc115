package portal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// One browser may have several logins open: the portal stands open in two tabs, a page was loaded
// again. Each of its challenges is worth one login, in any order.
func TestT22Attempts(t *testing.T) {
	t.Parallel()

	// begin asks for n challenges, and returns the token of each.
	begin := func(s *site, n int) (bodies []map[string]any) {
		for range n {
			bodies = append(bodies, s.ask())
		}
		return bodies
	}

	for name, order := range map[string][]int{"first first": {0, 1, 2}, "last first": {2, 1, 0}, "crossed": {1, 2, 0}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			bodies := begin(s, 3)
			for _, i := range order {
				s.expect(s.post("login", bodies[i], nil), accepted)
				if _, ok := s.citizen(); !ok {
					t.Error("nobody is logged in")
				}
			}
			for _, body := range bodies {
				s.expect(s.post("login", body, nil), ReasonChallenge)
			}
		})
	}

	t.Run("used while another waits", func(t *testing.T) {
		s := newSite(t)
		bodies := begin(s, 2)
		s.expect(s.post("login", bodies[0], nil), accepted)
		s.expect(s.post("login", bodies[0], nil), ReasonChallenge)
		s.expect(s.post("login", bodies[1], nil), accepted)
	})

	t.Run("too late, with another beside it", func(t *testing.T) {
		s := newSite(t)
		now := time.Now()
		s.handler.Challenges = &Challenges{now: func() time.Time { return now }}
		late := s.ask()
		now = now.Add(ChallengeLifetime)
		fresh := s.ask()
		s.expect(s.post("login", late, nil), ReasonChallenge)
		s.expect(s.post("login", fresh, nil), accepted)
	})

	t.Run("overtaken", func(t *testing.T) {
		s := newSite(t)
		bodies := begin(s, maxAttempts+2)
		if len(s.cookies) != maxAttempts {
			t.Errorf("the browser keeps %d cookies", len(s.cookies))
		}
		for i, body := range bodies {
			want := accepted
			if i < 2 {
				want = ReasonChallenge
			}
			s.expect(s.post("login", body, nil), want)
		}
	})

	t.Run("a wrong token leaves the others alone", func(t *testing.T) {
		for name, wrong := range map[string]struct {
			token func(*site) []byte
			want  Reason
		}{
			"of another site": {func(s *site) []byte {
				return s.card.Token(t, portaltest.Origin(t, "https://other.example"), s.challenge)
			}, ReasonSignature},
			"never asked for": {func(s *site) []byte { return s.card.Token(t, s.origin, portaltest.Challenge(t)) }, ReasonSignature},
			"unreadable":      {func(*site) []byte { return []byte(`{}`) }, ReasonMalformed},
		} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t)
				bodies := begin(s, 2)
				s.expect(s.post("login", map[string]any{"token": json.RawMessage(wrong.token(s))}, nil), wrong.want)
				s.expect(s.post("login", bodies[0], nil), accepted)
				s.expect(s.post("login", bodies[1], nil), ReasonChallenge) // it was the wrong token's
			})
		}
	})

	t.Run("of another browser", func(t *testing.T) {
		s := newSite(t)
		body := s.ask()
		s.cookies = nil
		begin(s, 2)
		s.expect(s.post("login", body, nil), ReasonSignature)
	})
}

// What a browser says of its challenges is a hint: a token is checked against what the portal itself
// handed to this browser.
func TestT22MadeUpCookies(t *testing.T) {
	t.Parallel()
	plant := func(s *site, n int, key string, c crs.Challenge) {
		s.keep(&http.Cookie{Name: fmt.Sprint(attemptCookie, "made-up", n), Value: key + "." + c.String()})
	}

	t.Run("a challenge of the browser's own", func(t *testing.T) {
		s := newSite(t)
		own := portaltest.Challenge(t)
		body := map[string]any{"token": json.RawMessage(s.card.Token(t, s.origin, own))}
		plant(s, 1, newAttempt().key, own)
		s.expect(s.post("login", body, nil), ReasonChallenge)
		s.ask()
		s.expect(s.post("login", body, nil), ReasonChallenge)
	})
	t.Run("with the key of another challenge", func(t *testing.T) {
		s := newSite(t)
		s.ask()
		key, _, _ := strings.Cut(s.cookie(attemptCookie), ".")
		own := portaltest.Challenge(t)
		plant(s, 1, key, own)
		s.expect(s.post("login", map[string]any{"token": json.RawMessage(s.card.Token(t, s.origin, own))}, nil), ReasonSignature)
	})
	t.Run("the challenge of another browser", func(t *testing.T) {
		s := newSite(t)
		body, theirs := s.ask(), s.challenge
		s.cookies = nil
		s.ask()
		key, _, _ := strings.Cut(s.cookie(attemptCookie), ".")
		plant(s, 1, newAttempt().key, theirs)
		plant(s, 2, key, theirs)
		s.expect(s.post("login", body, nil), ReasonSignature)
		s.expect(s.post("login", body, nil), ReasonChallenge)
	})
	t.Run("garbage", func(t *testing.T) {
		s := newSite(t)
		for i, value := range []string{"", ".", "x", "x.y", "." + strings.Repeat("A", 44), strings.Repeat(".", 100)} {
			s.keep(&http.Cookie{Name: attemptCookie + strconv.Itoa(i), Value: value})
		}
		s.expect(s.post("login", s.ask(), nil), accepted)
	})
	t.Run("very many", func(t *testing.T) {
		s := newSite(t)
		body := s.ask()
		for i := range 500 {
			plant(s, i, "x", portaltest.Challenge(t))
		}
		s.expect(s.post("login", body, nil), ReasonChallenge)
		s.expect(s.post("login", s.ask(), nil), accepted)
		if n := len(s.cookies); n > maxAttempts+1 { // and the session's
			t.Errorf("the browser still keeps %d cookies", n)
		}
	})
}

// Tabs that ask and log in at the same moment, over a real connection with a real cookie jar.
func TestAttemptsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := httptest.NewTLSServer(s.handler)
	t.Cleanup(server.Close)
	browser := server.Client()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser.Jar = jar
	post := func(path string, body []byte) (*http.Response, error) {
		r, err := http.NewRequest("POST", server.URL+"/crs/"+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Origin", s.origin.String())
		r.Header.Set("Content-Type", "application/json")
		return browser.Do(r)
	}

	var mu sync.Mutex
	var tokens [][]byte
	var wg sync.WaitGroup
	for range maxAttempts {
		wg.Go(func() {
			w, err := post("challenge", nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Body.Close()
			var reply struct{ Challenge string }
			json.NewDecoder(w.Body).Decode(&reply)
			challenge, err := crs.ParseChallenge(reply.Challenge)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			tokens = append(tokens, s.card.Token(t, s.origin, challenge))
		})
	}
	wg.Wait()
	for _, token := range tokens {
		wg.Go(func() {
			body, _ := json.Marshal(map[string]any{"token": json.RawMessage(token)})
			w, err := post("login", body)
			if err != nil {
				t.Error(err)
				return
			}
			w.Body.Close()
			if w.StatusCode != http.StatusNoContent {
				t.Errorf("answer %s", w.Status)
			}
		})
	}
	wg.Wait()
}

// A token that the bridge still hands out must not be too late for the portal.
func TestChallengeOutlivesALogin(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../bridge/limits.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`Login: +cmp\.Or\(l\.Login, (\d+)\*time\.Minute\)`).FindSubmatch(source)
	if m == nil {
		t.Fatal("bridge/limits.go does not say how long a login may take")
	}
	minutes, _ := strconv.Atoi(string(m[1]))
	if login := time.Duration(minutes) * time.Minute; ChallengeLifetime < login+time.Minute {
		t.Errorf("a login takes up to %v, its challenge lives for %v", login, ChallengeLifetime)
	}
}
