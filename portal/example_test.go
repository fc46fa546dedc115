package portal_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/portal"
)

// A token is checked for the portal's own origin, and for the challenge that was handed to this
// browser.
func ExampleVerifier_Verify() {
	issuers := x509.NewCertPool()
	issuers.AppendCertsFromPEM(example("ca.pem")) // the CAs whose cards may log in
	origin, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier := &portal.Verifier{Origin: origin, Issuers: issuers}

	challenge, err := crs.ParseChallenge(strings.TrimSpace(string(example("challenge.txt"))))
	if err != nil {
		fmt.Println(err)
		return
	}
	identity, err := verifier.Verify(example("token.json"), challenge)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(identity.FullName(), identity.CodiceFiscale)

	// The same token is worth nothing at another portal.
	verifier.Origin, _ = crs.ParseOrigin("https://other.example")
	_, err = verifier.Verify(example("token.json"), challenge)
	var refusal *portal.Error
	if errors.As(err, &refusal) {
		fmt.Println("refused:", refusal.Reason)
	}
	// Output:
	// ADA ESEMPIO SMPDAA70A41X999X
	// refused: signature
}

// The whole server's side of a login: the page loads /crs/crs-login.js and shows <crs-login
// href="/account">.
func ExampleLogin() {
	issuers := x509.NewCertPool()
	issuers.AppendCertsFromPEM(example("ca.pem"))
	origin, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	sessions := &portal.Sessions{}
	mux := http.NewServeMux()
	mux.Handle("/crs/", &portal.Login{
		Verifier: &portal.Verifier{Origin: origin, Issuers: issuers},
		OnLogin:  sessions.Start,
	})
	mux.HandleFunc("/account", func(w http.ResponseWriter, r *http.Request) {
		citizen, ok := sessions.Citizen(r)
		if !ok {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		fmt.Fprintln(w, "Buongiorno,", citizen.FullName())
	})

	// What a browser gets from it before somebody logged in.
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/crs/crs-login.js", nil),
		httptest.NewRequest("POST", "/crs/challenge", nil), // from a page of another site
		httptest.NewRequest("GET", "/account", nil),
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(r.Method, r.URL.Path, w.Code)
	}
	// Output:
	// GET /crs/crs-login.js 200
	// POST /crs/challenge 403
	// GET /account 303
}

// A portal with sessions of its own begins one in OnLogin.
func ExampleLogin_ownSessions() {
	login := &portal.Login{
		OnLogin: func(w http.ResponseWriter, r *http.Request, c portal.Citizen) error {
			id, err := newSession(c.CodiceFiscale)
			if err != nil {
				return err // the page is told "internal"
			}
			http.SetCookie(w, &http.Cookie{Name: "__Host-session", Value: id, Path: "/", Secure: true, HttpOnly: true})
			return nil
		},
	}
	http.Handle("/crs/", login)
}

// Personal data come beside the token, and nothing signs them on their way: only their hash in the
// certificate vouches for them.
func ExampleCheckPersonalData() {
	identity, err := verified()
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := portal.CheckPersonalData(identity, example("personal-data"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("lives in", data.ResidenceMunicipality, "verified:", data.Verified)

	changed := strings.Replace(string(example("personal-data")), "X998", "X997", 1)
	data, err = portal.CheckPersonalData(identity, []byte(changed))
	fmt.Println("lives in", data.ResidenceMunicipality, "verified:", data.Verified, err)
	// Output:
	// lives in X998 verified: true
	// lives in X997 verified: false <nil>
}

// example reads a file of the examples: a CA, and what the card of an invented person gave.
func example(name string) []byte {
	b, err := os.ReadFile("testdata/example/" + name)
	if err != nil {
		panic(err)
	}
	return b
}

func verified() (portal.Identity, error) {
	issuers := x509.NewCertPool()
	issuers.AppendCertsFromPEM(example("ca.pem"))
	origin, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		return portal.Identity{}, err
	}
	challenge, err := crs.ParseChallenge(strings.TrimSpace(string(example("challenge.txt"))))
	if err != nil {
		return portal.Identity{}, err
	}
	return (&portal.Verifier{Origin: origin, Issuers: issuers}).Verify(example("token.json"), challenge)
}

func newSession(codiceFiscale string) (string, error) { return "id", nil }
