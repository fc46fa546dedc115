package portal

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/ns"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// login is everything that a verification needs, for tests to spoil one part of it.
type login struct {
	t         *testing.T
	ca        *portaltest.CA
	verifier  *Verifier
	card      *portaltest.Card
	challenge crs.Challenge
	origin    crs.Origin // that the card signs for
	token     []byte     // nil: the card makes it
}

func newLogin(t *testing.T) *login {
	ca := portaltest.NewCA(t)
	origin := portaltest.Origin(t, "https://portale.example")
	return &login{
		t:         t,
		ca:        ca,
		verifier:  &Verifier{Origin: origin, Issuers: ca.Pool()},
		card:      ca.NewCard(t, portaltest.EC(t, elliptic.P256()), nil),
		challenge: portaltest.Challenge(t),
		origin:    origin,
	}
}

// oddCertificate is that of the login's card with a serial number below zero.
func oddCertificate(l *login) []byte {
	der := bytes.Clone(l.card.Certificate.Raw)
	serial := l.card.Certificate.SerialNumber.Bytes()
	at := bytes.Index(der, serial)
	der[at] |= 0x80
	return der
}

// reissue gives the login another card.
func (l *login) reissue(edit func(*x509.Certificate)) {
	l.card = l.ca.NewCard(l.t, l.card.Key, edit)
}

// editToken changes members of the token's JSON.
func (l *login) editToken(edit func(map[string]any)) {
	var m map[string]any
	if err := json.Unmarshal(l.card.Token(l.t, l.origin, l.challenge), &m); err != nil {
		l.t.Fatal(err)
	}
	edit(m)
	token, err := json.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	l.token = token
}

func (l *login) verify() (Identity, error) {
	if l.token == nil {
		l.token = l.card.Token(l.t, l.origin, l.challenge)
	}
	return l.verifier.Verify(l.token, l.challenge)
}

func set(key string, value any) func(*login) {
	return func(l *login) { l.editToken(func(m map[string]any) { m[key] = value }) }
}

func reissue(edit func(*x509.Certificate)) func(*login) {
	return func(l *login) { l.reissue(edit) }
}

func commonName(cn string) func(*login) {
	return reissue(func(c *x509.Certificate) { c.Subject.ExtraNames[0].Value = cn })
}

const second = time.Second // in which certificates count

// at sets the clock of the verifier, to a full second, and returns it.
func (l *login) at() time.Time {
	now := time.Now().Truncate(second)
	l.verifier.Now = func() time.Time { return now }
	return now
}

// clocks reissues card and CA with a validity that begins that much later than now.
func clocks(card, ca time.Duration) func(*login) {
	return func(l *login) {
		now := l.at()
		l.ca = portaltest.NewCA(l.t, func(c *x509.Certificate) { c.NotBefore = now.Add(ca) })
		l.verifier.Issuers = l.ca.Pool()
		l.reissue(func(c *x509.Certificate) { c.NotBefore = now.Add(card) })
	}
}

// ends is clocks for the end of the validity.
func ends(card, ca time.Duration) func(*login) {
	return func(l *login) {
		now := l.at()
		l.ca = portaltest.NewCA(l.t, func(c *x509.Certificate) { c.NotAfter = now.Add(ca) })
		l.verifier.Issuers = l.ca.Pool()
		l.reissue(func(c *x509.Certificate) { c.NotAfter = now.Add(card) })
	}
}

// publicKey is a key that nobody can sign with.
type publicKey struct{ *rsa.PublicKey }

func (k publicKey) Public() crypto.PublicKey { return k.PublicKey }
func (k publicKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no private key")
}

// accepted is the empty reason.
const accepted Reason = ""

func TestVerify(t *testing.T) {
	t.Parallel()
	validName := portaltest.Subject(nil).ExtraNames[0].Value.(string)
	tests := []struct {
		name  string
		spoil func(*login)
		want  Reason
	}{
		{"P-256", func(*login) {}, accepted},
		{"P-384", func(l *login) { l.card.Key = portaltest.EC(t, elliptic.P384()); l.reissue(nil) }, accepted},
		{"RSA-2048", func(l *login) { l.card.Key = portaltest.RSA(t, 2048); l.reissue(nil) }, accepted},
		{"further usages", reissue(func(c *x509.Certificate) {
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageEmailProtection)
		}), accepted},
		{"first policy of Lombardy", reissue(func(c *x509.Certificate) {
			c.Policies = []x509.OID{portaltest.OID(t, "1.3.159.6.1.3.2.10")}
		}), accepted},
		{"second policy of Lombardy", reissue(func(c *x509.Certificate) {
			c.Policies = []x509.OID{portaltest.OID(t, "1.3.76.12.1.1.10.2.2.10")}
		}), accepted},
		{"no names", reissue(func(c *x509.Certificate) { c.Subject.ExtraNames = c.Subject.ExtraNames[:1] }), accepted},
		{"later minor format", set("format", "web-eid:1.1"), accepted},
		{"unknown member", set("crs", map[string]any{"a": 1}), accepted},

		{"no origin", func(l *login) { l.verifier.Origin = crs.Origin{} }, ReasonUnconfigured},
		{"no challenge", func(l *login) { l.verify(); l.challenge = crs.Challenge{} }, ReasonUnconfigured},
		{"no issuers", func(l *login) { l.verifier.Issuers = nil }, ReasonUnconfigured},
		{"empty issuers", func(l *login) { l.verifier.Issuers = x509.NewCertPool() }, ReasonUnconfigured},

		{"empty", func(l *login) { l.token = []byte{} }, ReasonMalformed},
		{"not JSON", func(l *login) { l.token = bytes.Repeat([]byte("a"), 200) }, ReasonMalformed},
		{"too long", func(l *login) { set("appVersion", strings.Repeat("a", 10_000))(l) }, ReasonMalformed},
		{"no signature", set("signature", ""), ReasonMalformed},
		{"URL base64", set("signature", "_-_-"), ReasonMalformed},
		{"certificate is none", set("unverifiedCertificate", strings.Repeat("AAAA", 40)), ReasonMalformed},
		{"bytes after the certificate", func(l *login) {
			set("unverifiedCertificate", append(bytes.Clone(l.card.Certificate.Raw), 0))(l)
		}, ReasonMalformed},

		// It may be a genuine card, so its reason differs from that for a page's mistake.
		{"certificate that crypto/x509 refuses", func(l *login) { set("unverifiedCertificate", oddCertificate(l))(l) }, ReasonCertificate},
		{"such a certificate and a byte", func(l *login) { set("unverifiedCertificate", append(oddCertificate(l), 0))(l) }, ReasonMalformed},

		{"format 2", set("format", "web-eid:2.0"), ReasonFormat},
		{"format 10", set("format", "web-eid:10.0"), ReasonFormat},
		{"format elsewhere", set("format", "x web-eid:1.0"), ReasonFormat},

		{"SHA-1", set("algorithm", "RS1"), ReasonAlgorithm},
		{"none", set("algorithm", "none"), ReasonAlgorithm},
		{"HMAC", set("algorithm", "HS256"), ReasonAlgorithm},
		{"lower case", set("algorithm", "es256"), ReasonAlgorithm},
		{"RSA algorithm, EC key", set("algorithm", "RS256"), ReasonAlgorithm},
		{"other curve's algorithm", set("algorithm", "ES384"), ReasonAlgorithm},
		{"other curve", func(l *login) {
			l.card.Key = portaltest.EC(t, elliptic.P521())
			l.reissue(nil)
			der := l.card.Certificate.Raw
			l.card = l.ca.NewCard(t, portaltest.EC(t, elliptic.P256()), nil)
			set("unverifiedCertificate", der)(l)
		}, ReasonAlgorithm},
		{"EC algorithm, RSA key", func(l *login) {
			l.card.Key = portaltest.RSA(t, 2048)
			l.reissue(nil)
			set("algorithm", "ES256")(l)
		}, ReasonAlgorithm},

		{"RSA-1024", func(l *login) { l.card.Key = portaltest.RSA(t, 1024); l.reissue(nil) }, ReasonKey},
		{"RSA-2047", func(l *login) { l.card.Key = portaltest.RSA(t, 2047); l.reissue(nil) }, ReasonKey},
		{"RSA-4097", func(l *login) {
			n := new(big.Int).Lsh(big.NewInt(1), 4096)
			huge := publicKey{&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}}
			set("unverifiedCertificate", l.ca.NewCard(t, huge, nil).Certificate.Raw)(l)
		}, ReasonKey},
		{"RSA with a huge exponent", func(l *login) {
			n := new(big.Int).Lsh(big.NewInt(1), 2047)
			slow := publicKey{&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65539}}
			set("unverifiedCertificate", l.ca.NewCard(t, slow, nil).Certificate.Raw)(l)
		}, ReasonKey},
		{"RSA-1023 allowed", func(l *login) {
			l.verifier.AllowLegacyRSA = true
			n := new(big.Int).Lsh(big.NewInt(1), 1022)
			small := publicKey{&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}}
			set("unverifiedCertificate", l.ca.NewCard(t, small, nil).Certificate.Raw)(l)
		}, ReasonKey},
		{"RSA-1024 allowed", func(l *login) {
			l.verifier.AllowLegacyRSA = true
			l.card.Key = portaltest.RSA(t, 1024)
			l.reissue(nil)
		}, accepted},

		{"other challenge", func(l *login) { l.verify(); l.challenge = portaltest.Challenge(t) }, ReasonSignature},
		{"signature bit flipped", func(l *login) {
			l.editToken(func(m map[string]any) {
				b, err := base64.StdEncoding.DecodeString(m["signature"].(string))
				if err != nil {
					l.t.Fatal(err)
				}
				b[5] ^= 1
				m["signature"] = b
			})
		}, ReasonSignature},
		{"somebody else's certificate", func(l *login) {
			der := l.card.Certificate.Raw
			l.card = l.ca.NewCard(t, portaltest.EC(t, elliptic.P256()), nil)
			set("unverifiedCertificate", der)(l)
		}, ReasonSignature},

		// The portal's clock is somewhat behind the CA's, or more than that.
		{"valid in a second", clocks(second, -time.Hour), accepted},
		{"valid in a minute", clocks(time.Minute, -time.Hour), accepted},
		{"valid in more than a minute", clocks(time.Minute+second, -time.Hour), ReasonNotYetValid},
		{"issuer valid in a second", clocks(-time.Hour, second), accepted},
		{"issuer valid in a minute", clocks(-time.Hour, time.Minute), accepted},
		{"issuer valid in more than a minute", clocks(-time.Hour, time.Minute+second), ReasonIssuer},
		{"both valid in a minute", clocks(time.Minute, time.Minute), accepted},
		// An end has no leeway.
		{"valid until now", ends(0, time.Hour), accepted},
		{"expired for a second", ends(-second, time.Hour), ReasonExpired},
		{"issuer valid until now", ends(time.Hour, 0), accepted},
		{"issuer expired for a second", ends(time.Hour, -second), ReasonIssuer},
		{"expired later", func(l *login) {
			l.verifier.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		}, ReasonExpired},

		{"signs documents", reissue(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment }), ReasonProfile},
		{"does not sign", reissue(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), ReasonProfile},
		{"no key usage", reissue(func(c *x509.Certificate) { c.KeyUsage = 0 }), ReasonProfile},
		{"server", reissue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), ReasonProfile},
		{"no extended key usage", reissue(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), ReasonProfile},
		{"no policy", reissue(func(c *x509.Certificate) { c.Policies = nil }), ReasonProfile},
		{"policy of another card", reissue(func(c *x509.Certificate) {
			c.Policies = []x509.OID{portaltest.OID(t, "1.3.76.16.2.2")}
		}), ReasonProfile},

		{"critical extension", reissue(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999}, Critical: true, Value: []byte{5, 0}}}
		}), ReasonCriticalExtension},

		// What the README suggests to begin with.
		{"the card's own certificate for an issuer", func(l *login) {
			l.verifier.Issuers = x509.NewCertPool()
			l.verifier.Issuers.AddCert(l.card.Certificate)
		}, accepted},
		{"that of another card", func(l *login) {
			l.verifier.Issuers = x509.NewCertPool()
			l.verifier.Issuers.AddCert(l.card.Certificate)
			l.reissue(nil)
		}, ReasonIssuer},
		{"foreign issuer", func(l *login) { l.ca = portaltest.NewCA(t); l.reissue(nil) }, ReasonIssuer},
		{"issuer of servers", func(l *login) {
			l.ca = portaltest.NewCA(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
			l.verifier.Issuers = l.ca.Pool()
			l.reissue(nil)
		}, ReasonIssuer},
		{"issuer that is none", func(l *login) {
			l.ca = portaltest.NewCA(t, func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = x509.KeyUsageDigitalSignature })
			l.verifier.Issuers = l.ca.Pool()
			l.reissue(nil)
		}, ReasonIssuer},
		{"issuer expired", func(l *login) {
			l.reissue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(72 * time.Hour) })
			l.verifier.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
		}, ReasonIssuer},

		{"no card id", commonName(portaltest.CodiceFiscale), ReasonSubject},
		{"wrong check character", commonName(strings.Replace(validName, "X999X", "X999Y", 1)), ReasonSubject},
		{"two common names", reissue(func(c *x509.Certificate) {
			c.Subject.ExtraNames = append(c.Subject.ExtraNames, c.Subject.ExtraNames[0])
		}), ReasonSubject},
	}
	tested := map[Reason]bool{}
	for _, tt := range tests {
		tested[tt.want] = true
		t.Run(tt.name, func(t *testing.T) {
			l := newLogin(t)
			tt.spoil(l)
			id, err := l.verify()
			if tt.want == accepted {
				if err != nil {
					t.Fatal(err)
				}
				if id.CodiceFiscale != portaltest.CodiceFiscale || id.CardID != portaltest.CardID || id.Certificate == nil {
					t.Errorf("identity %+v", id.Subject)
				}
				return
			}
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Reason != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if id.Certificate != nil || id.CodiceFiscale != "" {
				t.Error("a refusal came with an identity")
			}
			for _, personal := range []string{portaltest.CodiceFiscale, portaltest.Surname, portaltest.CardID, l.challenge.String()} {
				if personal != "" && strings.Contains(err.Error(), personal) {
					t.Errorf("the error holds %q: %v", personal, err)
				}
			}
		})
	}
	for _, r := range verifierReasons {
		if !tested[r] {
			t.Errorf("no test for reason %q", r)
		}
	}
}

// verifierReasons are those that Verify can give.
var verifierReasons = []Reason{
	ReasonUnconfigured, ReasonMalformed, ReasonCertificate, ReasonFormat, ReasonAlgorithm, ReasonKey, ReasonSignature,
	ReasonNotYetValid, ReasonExpired, ReasonProfile, ReasonCriticalExtension, ReasonIssuer, ReasonSubject,
}

// A site that looks like the portal passes the portal's challenge on to a citizen. What the
// citizen's card signs there names the other site, and is worth nothing at the portal.
func TestT04TokenOfAnotherSite(t *testing.T) {
	t.Parallel()
	for _, other := range []string{
		"https://portale.example.evil.example",
		"https://portale.example:8443",
		"https://www.portale.example",
		"https://xn--prtale-1ra.example",
	} {
		t.Run(other, func(t *testing.T) {
			l := newLogin(t)
			l.origin = portaltest.Origin(t, other)
			_, err := l.verify()
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Reason != ReasonSignature {
				t.Error(err)
			}
		})
	}
}

// What is signed is checked by a program that shares no code with this one.
func TestSignedBytesByOpenSSL(t *testing.T) {
	t.Parallel()
	l := newLogin(t)
	l.card = l.ca.NewCard(t, portaltest.RSA(t, 2048), nil)
	if _, err := l.verify(); err != nil {
		t.Fatal(err)
	}
	token, err := crs.ParseToken(l.token)
	if err != nil {
		t.Fatal(err)
	}
	ns.NeedProgram(t, "openssl")
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	openssl := func(stdin string, args ...string) []byte {
		cmd := exec.Command("openssl", args...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl %v: %v %s%s", args, err, out, &stderr)
		}
		return out
	}
	signed := append(openssl("https://portale.example", "dgst", "-sha256", "-binary"),
		openssl(l.challenge.String(), "dgst", "-sha256", "-binary")...)
	key := openssl("", "x509", "-inform", "DER", "-in", file("cert", token.UnverifiedCertificate), "-noout", "-pubkey")
	out := openssl(string(signed), "dgst", "-sha256", "-verify", file("key", key), "-signature", file("signature", token.Signature))
	if string(out) != "Verified OK\n" {
		t.Errorf("openssl says %q", out)
	}
}

// A portal that imports this package gets the package and crs, nothing from elsewhere, no C.
func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{.CgoFiles}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "github.com/crs-bridge/crs[]\ngithub.com/crs-bridge/crs/portal[]\n"; got != want {
		t.Errorf("imports:\n%swant:\n%s", got, want)
	}
}

func TestVerifierIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	l := newLogin(t)
	if _, err := l.verify(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := l.verifier.Verify(l.token, l.challenge); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A token with several faults names the first, in the order in which Verify checks.
func TestFirstFaultIsNamed(t *testing.T) {
	t.Parallel()
	l := newLogin(t)
	l.ca = portaltest.NewCA(t) // foreign, and
	l.reissue(func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(-time.Minute) // expired, and
		c.Policies = nil                          // no CNS
	})
	for _, step := range []struct {
		want Reason
		mend func(*x509.Certificate)
	}{
		{ReasonExpired, func(c *x509.Certificate) { c.Policies = nil }},
		{ReasonProfile, nil},
		{ReasonIssuer, nil},
	} {
		l.token = nil
		_, err := l.verify()
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Reason != step.want {
			t.Fatalf("got %v, want %s", err, step.want)
		}
		l.reissue(step.mend)
	}
}

// For any bytes, Verify returns, and accepts only what the card signed.
func FuzzVerify(f *testing.F) {
	ca := portaltest.NewCA(f)
	origin := portaltest.Origin(f, "https://portale.example")
	challenge := portaltest.Challenge(f)
	card := ca.NewCard(f, portaltest.EC(f, elliptic.P256()), nil)
	valid := card.Token(f, origin, challenge)
	signed, err := crs.ParseToken(valid)
	if err != nil {
		f.Fatal(err)
	}
	v := &Verifier{Origin: origin, Issuers: ca.Pool()}
	if _, err := v.Verify(valid, challenge); err != nil {
		f.Fatal(err)
	}
	// The card is made anew in every process, so the input is a change to its token.
	f.Add(uint(0), uint(len(valid)), valid)
	f.Add(uint(30), uint(1), []byte("A"))
	f.Add(uint(len(valid)-30), uint(3), []byte(`1.9`))
	f.Add(uint(0), uint(0), []byte(`{"format":"web-eid:1.0",`))
	f.Fuzz(func(t *testing.T, at, drop uint, put []byte) {
		at = min(at, uint(len(valid)))
		drop = min(drop, uint(len(valid))-at)
		token := fmt.Appendf(nil, "%s%s%s", valid[:at], put, valid[at+drop:])
		id, err := v.Verify(token, challenge)
		if err != nil {
			if id.Certificate != nil || id.CodiceFiscale != "" {
				t.Fatal("a refusal came with an identity")
			}
			return
		}
		got, err := crs.ParseToken(token)
		if err != nil || !bytes.Equal(got.UnverifiedCertificate, signed.UnverifiedCertificate) {
			t.Fatalf("accepted a token that the card did not make: %s", token)
		}
	})
}
