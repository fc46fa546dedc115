// Package portal is the server's side of a login with a card.
//
// A [Verifier] checks the token that a citizen's browser hands in and says who sent it. [Login]
// is the HTTP handler around it: it hands out challenges, takes each back once, and serves
// crs.js, the client for the page. [Sessions] remembers who logged in, for portals without sessions
// of their own.
//
// # Compatibility
//
// Package portal is for other modules to import, and follows semantic versioning: before version 1
// a minor version may change it, and the change log says how to follow. It needs package crs and the
// standard library, and no cgo. A [Reason] may be added to the list: a page shows one that it does
// not know as a refusal. What [Login] serves to pages, and takes from them, changes only together
// with crs.js, and a page that was loaded before an update still logs in after it. A token of a
// newer minor version of the Web eID format is read like one of a known version.
package portal

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crs-bridge/crs"
)

// Verifier checks the tokens of one origin. It is safe for concurrent use as long as nobody
// changes its fields. The zero value refuses every token.
type Verifier struct {
	// Origin is the portal's own origin, from its configuration and never from a request: it
	// is what makes a token that was signed for another site worthless here.
	Origin crs.Origin

	// Issuers are the CAs whose cards may log in, self-signed or not. There is no default:
	// the roots of the operating system are never used.
	Issuers *x509.CertPool

	// AllowLegacyRSA accepts RSA keys from 1024 to 2047 bits, those of the first cards.
	AllowLegacyRSA bool

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Identity is the person who logged in. All of it comes from the verified certificate; given name
// and surname are "" on cards whose certificate has none.
type Identity struct {
	crs.Subject
	Certificate *x509.Certificate
}

// Verify returns the person whose card signed the challenge for the verifier's origin. The challenge
// must be the one that was handed to this browser, and must have left its store already: Verify
// cannot know whether it was used before.
//
// A refusal is an *Error, whose reason is the first of the checks below that failed. Whether the
// issuer revoked the certificate is not checked.
func (v *Verifier) Verify(tokenJSON []byte, challenge crs.Challenge) (Identity, error) {
	statement, err := crs.NewStatement(v.Origin, challenge)
	if err != nil || v.Issuers == nil || v.Issuers.Equal(x509.NewCertPool()) {
		return Identity{}, refuse(ReasonUnconfigured, "a verifier needs an origin, issuers and a challenge")
	}
	now := time.Now()
	if v.Now != nil {
		now = v.Now()
	}

	// 1. and 2. The token can be read, and its algorithm and key are fit for use.
	sig, err := v.read(tokenJSON)
	if err != nil {
		return Identity{}, err
	}
	cert := sig.Certificate

	// 3. The key signed this challenge for this origin.
	if sig.Verify(statement) != nil {
		return Identity{}, refuse(ReasonSignature, "the signature is not over this origin and challenge")
	}

	// 4. The certificate is valid now.
	if now.Add(clockLeeway).Before(cert.NotBefore) {
		return Identity{}, refuse(ReasonNotYetValid, "the certificate is valid from "+cert.NotBefore.UTC().Format(time.DateTime))
	}
	if now.After(cert.NotAfter) {
		return Identity{}, refuse(ReasonExpired, "the certificate was valid until "+cert.NotAfter.UTC().Format(time.DateTime))
	}

	// 5. It is made for logging in with a CNS.
	if err := crs.CheckCNSProfile(cert); err != nil {
		return Identity{}, refuse(ReasonProfile, err.Error())
	}

	// 6. One of the issuers signed it.
	if err := v.checkChain(cert, now); err != nil {
		return Identity{}, err
	}

	// 7. Its subject names a person.
	subject, err := crs.ParseSubject(cert)
	if err == nil {
		err = crs.CheckCodiceFiscale(subject.CodiceFiscale)
	}
	if err != nil {
		return Identity{}, refuse(ReasonSubject, err.Error())
	}
	return Identity{Subject: subject, Certificate: cert}, nil
}

// read returns the signature of a token. Nothing vouches for it yet.
func (v *Verifier) read(tokenJSON []byte) (crs.Signature, error) {
	// 1. The token is well-formed, in a known version.
	token, err := crs.ParseToken(tokenJSON)
	if err != nil {
		return crs.Signature{}, refuse(ReasonMalformed, err.Error())
	}
	if token.Format != "web-eid:1" && !strings.HasPrefix(token.Format, "web-eid:1.") {
		return crs.Signature{}, refuse(ReasonFormat, "the format is not web-eid:1")
	}
	cert, err := x509.ParseCertificate(token.UnverifiedCertificate)
	if err != nil {
		if c, err := crs.ParseCertificate(token.UnverifiedCertificate); err == nil && len(c.Raw) == len(token.UnverifiedCertificate) {
			return crs.Signature{}, refuse(ReasonCertificate, "crypto/x509 refuses the form of the certificate")
		}
		return crs.Signature{}, refuse(ReasonMalformed, "the certificate cannot be read")
	}

	// 2. The algorithm is known, fits the key, and the key is neither weak nor a burden.
	if err := v.checkKey(token.Algorithm, cert); err != nil {
		return crs.Signature{}, err
	}
	return crs.Signature{Algorithm: token.Algorithm, Certificate: cert, Bytes: token.Signature}, nil
}

// Sizes of RSA keys, in bits, and the largest public exponent. The certificate is not trusted yet when
// its key is used, and Login may try a signature on several challenges: a key that takes long to
// compute with is refused as well. A key of 8192 bits with the exponent 2^31-1 takes twenty times as
// long as that of a card.
const (
	minLegacyRSA = 1024
	minRSA       = 2048
	maxRSA       = 4096
	maxExponent  = 65537
)

func (v *Verifier) checkKey(a crs.Algorithm, cert *x509.Certificate) error {
	fits := false
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		least := minRSA
		if v.AllowLegacyRSA {
			least = minLegacyRSA
		}
		if bits := key.N.BitLen(); bits < least || bits > maxRSA {
			return refuse(ReasonKey, fmt.Sprintf("RSA key of %d bits, not %d to %d", bits, least, maxRSA))
		}
		if key.E > maxExponent {
			return refuse(ReasonKey, "RSA key with a public exponent above 65537")
		}
		fits = a == crs.RS256 || a == crs.PS256
	case *ecdsa.PublicKey:
		bits := key.Curve.Params().BitSize
		fits = a == crs.ES256 && bits == 256 || a == crs.ES384 && bits == 384
	}
	if !fits {
		return refuse(ReasonAlgorithm, "the algorithm is unknown or does not fit the key")
	}
	return nil
}

// clockLeeway is how far this computer's clock may lag behind that of a CA that has just issued a
// card, or whose own certificate is new. The end of a validity gets no leeway: a CA sets it years
// ahead, and afterwards no longer says whether it revoked the certificate.
const clockLeeway = time.Minute

func (v *Verifier) checkChain(cert *x509.Certificate, now time.Time) error {
	at := func(t time.Time) error {
		_, err := cert.Verify(x509.VerifyOptions{
			Roots:       v.Issuers,
			CurrentTime: t,
			KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		return err
	}
	err := at(now)
	if err != nil && at(now.Add(clockLeeway)) == nil {
		return nil // a later time helps only what was not valid yet
	}
	// The texts of crypto/x509 may name a subject: they are not passed on.
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(x509.UnhandledCriticalExtension)):
		return refuse(ReasonCriticalExtension, "a critical extension of the certificate is unknown")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refuse(ReasonIssuer, "the issuer's certificate is not valid now")
	}
	return refuse(ReasonIssuer, "none of the configured issuers signed the certificate")
}
