package portal

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"time"
)

// Login is the part of a portal that crs.js and the page talk to. Mount it under a path that
// ends in a slash; below it there are
//
//	GET  crs.js         the client, an ES module
//	GET  crs-login.js   the same with its own button, <crs-login>
//	POST challenge      {"challenge":"…"}
//	POST login          {"token":{…},"personalData":"…"?}; 204 when the citizen is logged in
//
// A refusal is {"error":"…"} with a Reason. The page's Content-Security-Policy needs
// ConnectSrc, and should have frame-ancestors 'none': in a frame the citizen cannot see whose
// button it is.
type Login struct {
	Verifier *Verifier

	// OnLogin begins the session: Sessions.Start, or the portal's own. It may set cookies; it must
	// not write a body. The session id must be a new one.
	OnLogin func(http.ResponseWriter, *http.Request, Citizen) error

	// Challenges is where challenges wait; nil is the memory of this process.
	Challenges ChallengeStore

	// Log gets refusals and their reasons; nil is slog.Default.
	Log *slog.Logger

	memory Challenges
}

// ConnectSrc is what the connect-src of a page's Content-Security-Policy must name for crs.js:
// the ports where the bridge may listen.
const ConnectSrc = "ws://127.0.0.1:27770 ws://127.0.0.1:27771 ws://127.0.0.1:27772"

// maxBody holds a token (10,000 bytes) and EF.DatiPersonali (below 4,200 bytes) in base64.
const maxBody = 32 << 10

// ServeHTTP implements http.Handler.
func (l *Login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var serve func(http.ResponseWriter, *http.Request) error
	method := http.MethodPost
	switch path.Base(r.URL.Path) {
	case "crs.js", "crs-login.js":
		serve, method = serveClient, http.MethodGet
	case "challenge":
		serve = l.serveChallenge
	case "login":
		serve = l.serveLogin
	default:
		http.NotFound(w, r)
		return
	}
	if r.Method != method && !(r.Method == http.MethodHead && method == http.MethodGet) {
		w.Header().Set("Allow", method)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if err := serve(w, r); err != nil {
		l.refuse(w, r, err)
	}
}

func (l *Login) serveChallenge(w http.ResponseWriter, r *http.Request) error {
	if err := l.checkSameOrigin(r); err != nil {
		return err
	}
	a := newAttempt()
	if err := l.challenges().Put(r.Context(), a.key, a.challenge); err != nil {
		return fmt.Errorf("keep the challenge: %w", err)
	}
	open := attempts(r)
	for _, old := range open[:max(0, len(open)-maxAttempts+1)] {
		old.forget(w)
	}
	a.remember(w)
	return reply(w, http.StatusOK, map[string]string{"challenge": a.challenge.String()})
}

func (l *Login) serveLogin(w http.ResponseWriter, r *http.Request) error {
	if err := l.checkSameOrigin(r); err != nil {
		return err
	}
	var body struct {
		Token        json.RawMessage `json:"token"`
		PersonalData []byte          `json:"personalData"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return refuse(ReasonMalformed, "the request is not the JSON of a login")
	}

	// The challenge is taken out of the store before anything is believed, so it can never be tried
	// again. The cookie's copy only served to find it.
	a, err := l.attemptOf(attempts(r), body.Token)
	if err != nil {
		return err
	}
	challenge, ok, err := l.challenges().Take(r.Context(), a.key)
	if err != nil {
		return fmt.Errorf("take the challenge: %w", err)
	}
	if !ok {
		return refuse(ReasonChallenge, "the challenge was used, or it is too old")
	}

	identity, err := l.Verifier.Verify(body.Token, challenge)
	if err != nil {
		return err
	}
	citizen := Citizen{Identity: identity}
	if len(body.PersonalData) > 0 {
		data, err := CheckPersonalData(identity, body.PersonalData)
		var refusal *Error
		switch {
		case err == nil:
			citizen.PersonalData = &data
		case errors.As(err, &refusal) && refusal.Reason == ReasonPersonalData:
			// The certificate says who the holder is: a strange data file is no reason to turn the
			// citizen away.
			l.log().Warn("login without personal data", "reason", refusal.Reason)
		default:
			return err
		}
	}
	if err := l.OnLogin(w, r, citizen); err != nil {
		return fmt.Errorf("begin the session: %w", err)
	}
	l.log().Info("login")
	noStore(w)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkSameOrigin keeps another site from logging a citizen in as somebody else, with a token
// of its own. Browsers send the Origin of every POST, and pages cannot choose it.
func (l *Login) checkSameOrigin(r *http.Request) error {
	if l.Verifier == nil || l.Verifier.Origin.IsZero() || l.OnLogin == nil {
		return refuse(ReasonUnconfigured, "a login needs a verifier with an origin, and OnLogin")
	}
	if origin := r.Header["Origin"]; len(origin) != 1 || origin[0] != l.Verifier.Origin.String() {
		return refuse(ReasonCrossSite, "the request is not from a page of "+l.Verifier.Origin.String())
	}
	return nil
}

func (l *Login) challenges() ChallengeStore {
	if l.Challenges != nil {
		return l.Challenges
	}
	return &l.memory
}

func (l *Login) log() *slog.Logger {
	if l.Log != nil {
		return l.Log
	}
	return slog.Default()
}

// refuse logs what went wrong and sends the page the reason.
func (l *Login) refuse(w http.ResponseWriter, r *http.Request, err error) {
	reason, status := ReasonInternal, http.StatusInternalServerError
	var refusal *Error
	if errors.As(err, &refusal) {
		reason = refusal.Reason
		switch reason {
		case ReasonUnconfigured, ReasonInternal:
		case ReasonMalformed:
			status = http.StatusBadRequest
		default:
			status = http.StatusForbidden
		}
	}
	if status == http.StatusInternalServerError {
		l.log().Error("login failed", "error", err)
	} else {
		l.log().Info("login refused", "reason", reason, "detail", refusal.Detail)
	}
	reply(w, status, map[string]Reason{"error": reason})
}

// readJSON reads one JSON value of bounded size. It insists on the media type, which a form of
// another site cannot send.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errors.New("not application/json")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func reply(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	noStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b) // a browser that left needs no answer
	return nil
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

//go:embed js/crs.js js/crs-login.js
var clients embed.FS

func serveClient(w http.ResponseWriter, r *http.Request) error {
	name := path.Base(r.URL.Path)
	client, err := clients.ReadFile("js/" + name)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache") // asked for again after every update
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(client))
	return nil
}
