// Package demo is the portal of the demonstration: the municipality of Valdoria, which does
// not exist. It is a portal like any other: it knows nothing of the bridge or of cards, and
// uses package portal and crs.js as a real one does.
package demo

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/portal"
)

//go:embed static
var static embed.FS

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// New returns the portal. It answers at the given origins and at no other host, accepts cards
// of the issuers, and keeps who logged in in memory.
func New(issuers *x509.CertPool, log *slog.Logger, origins ...crs.Origin) http.Handler {
	sessions := &portal.Sessions{}
	logins := map[string]*portal.Login{}
	for _, o := range origins {
		logins[o.Host()] = &portal.Login{
			Verifier: &portal.Verifier{Origin: o, Issuers: issuers},
			OnLogin:  sessions.Start,
			Log:      log,
		}
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/crs/", func(w http.ResponseWriter, r *http.Request) { logins[r.Host].ServeHTTP(w, r) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { servePage(w, r, sessions, log) })
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		sessions.End(w, r)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /selftest", serveSelftest)
	mux.Handle("GET /static/", http.FileServerFS(static))

	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		if logins[r.Host] == nil {
			http.Error(w, "this portal is not at this address", http.StatusMisdirectedRequest)
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self' "+portal.ConnectSrc+"; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// servePage shows the start page, or the citizen's own page after a login.
func servePage(w http.ResponseWriter, r *http.Request, sessions *portal.Sessions, log *slog.Logger) {
	if lang := r.URL.Query().Get("lang"); texts()[lang] != nil {
		http.SetCookie(w, &http.Cookie{Name: langCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	t := texts()[language(r)]
	view := struct {
		*text
		Host  string
		Sheet *sheet // nil until somebody logged in
	}{text: t, Host: r.Host}
	if citizen, ok := sessions.Citizen(r); ok {
		view.Sheet = newSheet(t, citizen)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, view); err != nil {
		log.Error("page of the demonstration", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

// sheet is what the page of a citizen shows.
type sheet struct {
	Name     string
	Identity []row // from the certificate
	Personal []row // from EF.DatiPersonali; nil if there are none
	Verified bool  // the certificate vouches for Personal
}

type row struct{ Label, Value string }

func newSheet(t *text, c portal.Citizen) *sheet {
	s := &sheet{Name: c.FullName()}
	field := func(key, value string) row { return row{t.Say("field." + key), value} }
	s.Identity = rows(
		field("name", c.FullName()),
		field("codice_fiscale", c.CodiceFiscale),
		field("card_id", c.CardID),
		field("certificate_expiry", c.Certificate.NotAfter.Format(t.Say("date"))),
	)
	p := c.PersonalData
	if p == nil {
		return s
	}
	s.Verified = p.Verified
	s.Personal = rows(
		field("surname", p.Surname),
		field("given_name", p.Name),
		field("birth_date", date(t, p.BirthDate)),
		field("birth_municipality", p.BirthMunicipality),
		field("birth_country", p.BirthCountry),
		field("birth_act", p.BirthAct),
		field("sex", cmp.Or(t.says["sex."+p.Sex], p.Sex)),
		field("height", p.Height),
		field("codice_fiscale", p.CodiceFiscale),
		field("citizenship", p.Citizenship),
		field("residence_municipality", p.ResidenceMunicipality),
		field("residence_address", p.ResidenceAddress),
		field("card_issuer", p.IssuerCode),
		field("card_issued", date(t, p.IssueDate)),
		field("card_expiry", date(t, p.ExpiryDate)),
		field("expatriation_note", p.ExpatriationNote),
	)
	return s
}

// rows leaves out what the card does not have.
func rows(all ...row) []row {
	var told []row
	for _, r := range all {
		if r.Value != "" {
			told = append(told, r)
		}
	}
	return told
}

// date writes a date of EF.DatiPersonali as people do. Anything else stays as it is.
func date(t *text, ddmmyyyy string) string {
	d, err := time.Parse("02012006", ddmmyyyy)
	if err != nil {
		return ddmmyyyy
	}
	return d.Format(t.Say("date"))
}
