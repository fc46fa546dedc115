package portal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// site is a portal with one browser in front of it.
type site struct {
	*login
	handler  *Login
	sessions *Sessions
	log      *bytes.Buffer
	cookies  []*http.Cookie // the browser's, in the order in which they came
	set      []*http.Cookie // by the last answer
}

func newSite(t *testing.T) *site {
	s := &site{login: newLogin(t), sessions: &Sessions{}, log: &bytes.Buffer{}}
	s.handler = &Login{
		Verifier: s.verifier,
		OnLogin:  s.sessions.Start,
		Log:      slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return s
}

// request is one that the portal's own page makes, until edit changes it.
func (s *site) request(path string, body any, edit func(*http.Request)) *http.Request {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "https://portale.example/crs/"+path, bytes.NewReader(b))
	r.Header.Set("Origin", "https://portale.example")
	r.Header.Set("Content-Type", "application/json")
	for _, c := range s.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	if edit != nil {
		edit(r)
	}
	return r
}

// post sends a request and keeps the cookies of the answer, as a browser does.
func (s *site) post(path string, body any, edit func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, s.request(path, body, edit))
	s.set = w.Result().Cookies()
	for _, c := range s.set {
		s.keep(c)
	}
	return w
}

// keep is what a browser does with a cookie of an answer.
func (s *site) keep(c *http.Cookie) {
	i := slices.IndexFunc(s.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
	switch {
	case i < 0 && c.MaxAge >= 0:
		s.cookies = append(s.cookies, c)
	case i >= 0 && c.MaxAge >= 0:
		s.cookies[i] = c
	case i >= 0:
		s.cookies = slices.Delete(s.cookies, i, i+1)
	}
}

// cookie returns the value of the newest cookie whose name begins so.
func (s *site) cookie(prefix string) string {
	for _, c := range slices.Backward(s.cookies) {
		if strings.HasPrefix(c.Name, prefix) {
			return c.Value
		}
	}
	return ""
}

// ask gets a challenge and has the card sign it.
func (s *site) ask() (body map[string]any) {
	s.t.Helper()
	w := s.post("challenge", nil, nil)
	var reply struct{ Challenge string }
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK {
		s.t.Fatalf("challenge: %d %s", w.Code, w.Body)
	}
	var err error
	if s.challenge, err = crs.ParseChallenge(reply.Challenge); err != nil {
		s.t.Fatal(err)
	}
	return map[string]any{"token": json.RawMessage(s.card.Token(s.t, s.origin, s.challenge))}
}

func (s *site) citizen() (Citizen, bool) {
	return s.sessions.Citizen(s.request("", nil, nil))
}

// expect checks an answer; the empty reason is a login.
func (s *site) expect(w *httptest.ResponseRecorder, want Reason) {
	s.t.Helper()
	var reply struct{ Error Reason }
	json.Unmarshal(w.Body.Bytes(), &reply)
	if reply.Error != want || (want == accepted) != (w.Code == http.StatusNoContent) {
		s.t.Errorf("answer %d %s, want reason %q", w.Code, w.Body, want)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		s.t.Error("the answer may be cached")
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	body := s.ask()
	body["personalData"] = portaltest.PersonalData(t)
	s.expect(s.post("login", body, nil), accepted)
	c, ok := s.citizen()
	if !ok || c.CodiceFiscale != portaltest.CodiceFiscale || c.FullName() != "ADA ESEMPIO" {
		t.Errorf("logged in: %v %v", ok, c.Subject)
	}
	if c.PersonalData == nil || !c.PersonalData.Verified || c.PersonalData.ResidenceMunicipality != "X998" {
		t.Errorf("personal data %+v", c.PersonalData)
	}
}

func TestLoginPersonalData(t *testing.T) {
	t.Parallel()
	content := portaltest.PersonalData(t)
	for _, tt := range []struct {
		name   string
		data   any
		want   Reason
		have   bool
		verify bool
	}{
		{"refused by the citizen", nil, accepted, false, false},
		{"unverified", bytes.Replace(content, []byte("X998"), []byte("X997"), 1), accepted, true, false},
		{"unreadable", []byte("garbage"), accepted, false, false},
		{"of another person", bytes.Replace(content, []byte(portaltest.CodiceFiscale), []byte("VRDBRN65T10X999K"), 1), ReasonOtherPerson, false, false},
		{"not base64", "%%%", ReasonMalformed, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			body := s.ask()
			if tt.data != nil {
				body["personalData"] = tt.data
			}
			s.expect(s.post("login", body, nil), tt.want)
			c, ok := s.citizen()
			if ok != (tt.want == accepted) || (c.PersonalData != nil) != tt.have {
				t.Errorf("logged in %v, personal data %+v", ok, c.PersonalData)
			}
			if c.PersonalData != nil && c.PersonalData.Verified != tt.verify {
				t.Errorf("verified %v", c.PersonalData.Verified)
			}
		})
	}
}

// A token is worth one login: not two, one after the other, from elsewhere, or at once; and a
// challenge is worth one try.
func TestT22Replay(t *testing.T) {
	t.Parallel()

	t.Run("double submit", func(t *testing.T) {
		s := newSite(t)
		body := s.ask()
		s.expect(s.post("login", body, nil), accepted)
		s.expect(s.post("login", body, nil), ReasonChallenge)
		s.ask()
		s.expect(s.post("login", body, nil), ReasonChallenge)
	})

	t.Run("at once", func(t *testing.T) {
		s := newSite(t)
		body := s.ask()
		var accepted atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			r := s.request("login", body, nil)
			wg.Go(func() {
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				if w.Code == http.StatusNoContent {
					accepted.Add(1)
				}
			})
		}
		wg.Wait()
		if accepted.Load() != 1 {
			t.Errorf("%d logins with one token", accepted.Load())
		}
	})

	t.Run("after a wrong token", func(t *testing.T) {
		s := newSite(t)
		body := s.ask()
		s.card = s.ca.NewCard(t, s.card.Key, nil)
		wrong := map[string]any{"token": json.RawMessage(s.card.Token(t, portaltest.Origin(t, "https://other.example"), s.challenge))}
		s.expect(s.post("login", wrong, nil), ReasonSignature)
		s.expect(s.post("login", body, nil), ReasonChallenge)
	})

	t.Run("in another browser", func(t *testing.T) {
		s := newSite(t)
		body := s.ask()
		s.cookies = nil
		s.expect(s.post("login", body, nil), ReasonChallenge)
		s.ask()
		s.expect(s.post("login", body, nil), ReasonSignature)
	})

	t.Run("too late", func(t *testing.T) {
		for _, tt := range []struct {
			after time.Duration
			want  Reason
		}{{ChallengeLifetime - time.Second, accepted}, {ChallengeLifetime, ReasonChallenge}} {
			t.Run(tt.after.String(), func(t *testing.T) {
				s := newSite(t)
				now := time.Now()
				s.handler.Challenges = &Challenges{now: func() time.Time { return now }}
				body := s.ask()
				now = now.Add(tt.after)
				s.expect(s.post("login", body, nil), tt.want)
			})
		}
	})
}

// Another site must not be able to log a citizen in as somebody else.
func TestLoginOfAnotherSite(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*http.Request){
		"no origin":    func(r *http.Request) { r.Header.Del("Origin") },
		"null":         func(r *http.Request) { r.Header.Set("Origin", "null") },
		"other site":   func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"look-alike":   func(r *http.Request) { r.Header.Set("Origin", "https://portale.example.evil.example") },
		"sub-domain":   func(r *http.Request) { r.Header.Set("Origin", "https://www.portale.example") },
		"other port":   func(r *http.Request) { r.Header.Set("Origin", "https://portale.example:8443") },
		"http":         func(r *http.Request) { r.Header.Set("Origin", "http://portale.example") },
		"upper case":   func(r *http.Request) { r.Header.Set("Origin", "https://PORTALE.example") },
		"two origins":  func(r *http.Request) { r.Header.Add("Origin", "https://evil.example") },
		"host of evil": func(r *http.Request) { r.Host = "evil.example"; r.Header.Set("Origin", "https://evil.example") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.expect(s.post("challenge", nil, edit), ReasonCrossSite)
			if len(s.set) != 0 {
				t.Error("a cookie was set")
			}
			body := s.ask()
			s.expect(s.post("login", body, edit), ReasonCrossSite)
		})
	}
}

// A session id that was in the browser before the login is worth nothing after it.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.keep(&http.Cookie{Name: sessionCookie, Value: "planted"})
	s.expect(s.post("login", s.ask(), nil), accepted)
	first := s.cookie(sessionCookie)
	if first == "planted" || len(first) < 43 {
		t.Fatalf("session id %q", first)
	}
	s.expect(s.post("login", s.ask(), nil), accepted)
	if s.cookie(sessionCookie) == first {
		t.Error("a second login kept the session id")
	}
	for _, old := range []string{"planted", first, ""} {
		s.keep(&http.Cookie{Name: sessionCookie, Value: old})
		if _, ok := s.citizen(); ok {
			t.Errorf("session %q is logged in", old)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now := time.Now()
	s.sessions.now = func() time.Time { return now }
	s.expect(s.post("login", s.ask(), nil), accepted)
	now = now.Add(59 * time.Minute)
	if _, ok := s.citizen(); !ok {
		t.Error("logged out too early")
	}
	now = now.Add(time.Minute)
	if _, ok := s.citizen(); ok {
		t.Error("still logged in after an hour")
	}
	s.expect(s.post("login", s.ask(), nil), accepted)
	w := httptest.NewRecorder()
	s.sessions.End(w, s.request("", nil, nil))
	if _, ok := s.citizen(); ok {
		t.Error("still logged in after logging out")
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("cookies after logging out: %v", c)
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	body := s.ask()
	asked := s.set
	s.expect(s.post("login", body, nil), accepted)
	if len(asked) != 1 || !strings.HasPrefix(asked[0].Name, attemptCookie) || len(s.set) != 1 || s.set[0].Name != sessionCookie {
		t.Fatalf("cookies %v, then %v", asked, s.set)
	}
	if age := time.Duration(asked[0].MaxAge) * time.Second; age <= ChallengeLifetime {
		t.Errorf("a browser forgets its challenge after %v", age)
	}
	for _, c := range append(asked, s.set...) {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite < http.SameSiteLaxMode {
			t.Errorf("cookie %v", c)
		}
	}
}

func TestLoginBadRequests(t *testing.T) {
	t.Parallel()
	raw := func(body string) func(*http.Request) {
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body)) }
	}
	for name, edit := range map[string]func(*http.Request){
		"empty":      raw(""),
		"not JSON":   raw("token"),
		"cut":        raw(`{"token":`),
		"array":      raw(`[]`),
		"too long":   raw(`{"token":{},"a":"` + strings.Repeat("a", maxBody) + `"}`),
		"a form":     func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
		"plain text": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"no type":    func(r *http.Request) { r.Header.Del("Content-Type") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			body := s.ask()
			s.expect(s.post("login", body, edit), ReasonMalformed)
			// The request was not one; the challenge still waits.
			s.expect(s.post("login", body, nil), accepted)
		})
	}
	for _, token := range []string{`{"token":null}`, `{}`, `{"token":"x"}`} {
		t.Run(token, func(t *testing.T) {
			s := newSite(t)
			s.ask()
			s.expect(s.post("login", nil, raw(token)), ReasonMalformed)
		})
	}
}

func TestLoginMethodsAndPaths(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "crs.js", 200}, {"HEAD", "crs.js", 200}, {"POST", "crs.js", 405},
		{"GET", "challenge", 405}, {"GET", "login", 405}, {"PUT", "login", 405}, {"OPTIONS", "login", 405},
		{"GET", "", 404}, {"POST", "other", 404},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, s.request(tt.path, nil, func(r *http.Request) { r.Method = tt.method }))
			if w.Code != tt.want {
				t.Errorf("answer %d, want %d", w.Code, tt.want)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("header %s", name)
				}
			}
		})
	}
}

func TestLoginUnconfigured(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*site){
		"no verifier": func(s *site) { s.handler.Verifier = nil },
		"no origin":   func(s *site) { s.handler.Verifier = &Verifier{} },
		"no OnLogin":  func(s *site) { s.handler.OnLogin = nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			spoil(s)
			s.expect(s.post("challenge", nil, nil), ReasonUnconfigured)
		})
	}
}

// brokenStore is a shared store whose server is down.
type brokenStore struct{}

func (brokenStore) Put(context.Context, string, crs.Challenge) error { return errors.New("down") }
func (brokenStore) Take(context.Context, string) (crs.Challenge, bool, error) {
	return crs.Challenge{}, false, errors.New("down")
}

func TestLoginWithBrokenParts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	body := s.ask()
	s.handler.Challenges = brokenStore{}
	s.expect(s.post("challenge", nil, nil), ReasonInternal)
	s.expect(s.post("login", body, nil), ReasonInternal)
	s.handler.Challenges = nil
	s.handler.OnLogin = func(http.ResponseWriter, *http.Request, Citizen) error { return errors.New("no session today") }
	s.expect(s.post("login", s.ask(), nil), ReasonInternal)
}

// The log never holds anything about the person.
func TestT24PortalLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var secrets []string
	submit := func(edit func(map[string]any)) {
		body := s.ask()
		token, err := crs.ParseToken(body["token"].(json.RawMessage))
		if err != nil {
			t.Fatal(err)
		}
		signature, _ := json.Marshal(token.Signature)
		secrets = append(secrets, s.challenge.String(), strings.Trim(string(signature), `"`), strings.Split(s.cookie(attemptCookie), ".")[0])
		if edit != nil {
			edit(body)
		}
		s.post("login", body, nil)
		secrets = append(secrets, s.cookie(sessionCookie))
		s.post("login", body, nil)
	}
	submit(nil)
	submit(func(body map[string]any) { body["personalData"] = portaltest.PersonalData(t) })
	submit(func(body map[string]any) { body["personalData"] = []byte("garbage") })
	submit(func(body map[string]any) {
		body["personalData"] = bytes.Replace(portaltest.PersonalData(t), []byte(portaltest.CodiceFiscale), []byte("VRDBRN65T10X999K"), 1)
	})
	s.ca = portaltest.NewCA(t)
	s.reissue(nil)
	submit(nil)
	log := s.log.String()
	for _, want := range []string{"login refused", "other_person", "issuer", "personal_data", "msg=login\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	for _, secret := range append(secrets, portaltest.CodiceFiscale, "VRDBRN65T10X999K", portaltest.CardID, portaltest.Surname, portaltest.GivenName, "X998") {
		if len(secret) > 0 && strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}
