package portal

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crs-bridge/crs"
)

// An attempt is a login that a browser began. It has a cookie of its own: a page that is loaded
// again, or that stands open twice, asks for a second challenge while the card is signing the first.
// The cookie ties the challenge to the browser; the challenge that a token is checked against comes
// out of the store.
type attempt struct {
	cookie    string // its name
	key       string // in the store; only the browser knows it
	challenge crs.Challenge
}

// attemptCookie begins the names of the cookies, and a part of the key ends them.
const attemptCookie = "__Host-crs-challenge-"

// attemptMemory is how long a browser keeps the cookie, used or not. It is longer than the challenge
// lives, so that a token that comes twice or too late differs from one that was never asked for.
const attemptMemory = time.Hour

// maxAttempts keeps the cookies that go with every request to the portal below 1 KB. Further clicks
// push out the oldest attempt.
const maxAttempts = 8

func newAttempt() attempt {
	key := randomText(base64.RawURLEncoding)
	return attempt{attemptCookie + key[:8], key, newChallenge()}
}

// remember sets the cookie. It is Strict, because only the portal's own pages ever need it.
func (a attempt) remember(w http.ResponseWriter) {
	setCookie(w, a.cookie, a.key+"."+a.challenge.String(), http.SameSiteStrictMode, attemptMemory)
}

func (a attempt) forget(w http.ResponseWriter) {
	setCookie(w, a.cookie, "", http.SameSiteStrictMode, 0)
}

// attempts returns the attempts of a browser, the oldest first: browsers send cookies in the order
// in which they got them (RFC 6265, section 5.4).
func attempts(r *http.Request) (all []attempt) {
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, attemptCookie) {
			continue
		}
		key, text, _ := strings.Cut(c.Value, ".")
		if challenge, err := crs.ParseChallenge(text); err == nil {
			all = append(all, attempt{c.Name, key, challenge})
		}
	}
	return all
}

// attemptOf finds the attempt that a token belongs to. A token does not name its challenge, but its
// signature fits only one.
func (l *Login) attemptOf(open []attempt, token []byte) (attempt, error) {
	if len(open) == 0 {
		return attempt{}, refuse(ReasonChallenge, "no challenge waits for this browser")
	}
	open = open[max(0, len(open)-maxAttempts):] // the signatures that one request may cost
	newest := open[len(open)-1]
	if len(open) == 1 {
		return newest, nil
	}
	signature, err := l.Verifier.read(token)
	if err != nil {
		return newest, nil // Verify refuses it for the same reason
	}
	for _, a := range slices.Backward(open) { // the newest is likely the one
		if statement, err := crs.NewStatement(l.Verifier.Origin, a.challenge); err == nil && signature.Verify(statement) == nil {
			return a, nil
		}
	}
	if len(open) == maxAttempts {
		return attempt{}, refuse(ReasonChallenge, "the challenge was overtaken by later ones of this browser")
	}
	return newest, nil // all of this browser's are known: Verify refuses the signature
}
