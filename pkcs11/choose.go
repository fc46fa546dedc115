package pkcs11

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/outside"
)

// chosen is the certificate of a token that logs in.
type chosen struct {
	certificate
	parsed    *x509.Certificate
	algorithm crs.Algorithm
	kind      string
	holder    string
	id        string
}

// Policy of the certificate of an identity card.
var ciePolicy = asn1.ObjectIdentifier{1, 3, 76, 47, 4}

// choose picks the certificate to log in with. One for signing documents is never picked, nor one
// whose key turned out to be missing. Valid ones come before expired ones, those of a CNS or CIE
// before others, those whose key is visible before the rest, and the newest first.
func choose(t token, keyless func(certificate) bool, now time.Time) (chosen, error) {
	var best chosen
	var rank [4]int64
	why := fmt.Errorf("%w: the token holds no certificate for it", crs.ErrNoCNS)
	for _, c := range t.Certificates {
		if len(c.ID) == 0 || keyless(c) {
			continue
		}
		candidate, ok, err := forLogin(c, t.Algorithms)
		if err != nil {
			why = err
		}
		if !ok {
			continue
		}
		r := [4]int64{
			truth(!now.Before(candidate.parsed.NotBefore) && !now.After(candidate.parsed.NotAfter)),
			truth(candidate.kind != crs.KindToken),
			truth(slices.ContainsFunc(t.Keys, func(id []byte) bool { return bytes.Equal(id, c.ID) })),
			candidate.parsed.NotAfter.Unix(),
		}
		if best.parsed == nil || slices.Compare(r[:], rank[:]) > 0 {
			best, rank = candidate, r
		}
	}
	if best.parsed == nil {
		return chosen{}, why
	}
	return best, nil
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// forLogin reports whether a certificate is for logging in. The error says that it cannot be read.
func forLogin(c certificate, algorithms []crs.Algorithm) (chosen, bool, error) {
	cert, err := crs.ParseCertificate(c.DER)
	if err != nil {
		return chosen{}, false, err
	}
	if cert.IsCA ||
		cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 || cert.KeyUsage&x509.KeyUsageContentCommitment != 0 ||
		!slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return chosen{}, false, nil
	}
	algorithm := algorithmFor(cert, algorithms)
	if algorithm == "" {
		return chosen{}, false, nil
	}
	kind := crs.KindToken
	switch {
	case crs.CheckCNSProfile(cert) == nil:
		kind = crs.KindCNS
	case slices.ContainsFunc(cert.PolicyIdentifiers, ciePolicy.Equal):
		kind = crs.KindCIE
	}
	return chosen{c, cert, algorithm, kind, holder(cert), identity(cert)}, true, nil
}

// algorithmFor returns how the key of a certificate signs, "" if it cannot be used: PSS only if the
// token says that it has nothing else.
func algorithmFor(cert *x509.Certificate, algorithms []crs.Algorithm) crs.Algorithm {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		switch {
		case key.Size() < 128 || key.Size() > 512:
			return ""
		case slices.Contains(algorithms, crs.PS256) && !slices.Contains(algorithms, crs.RS256):
			return crs.PS256
		}
		return crs.RS256
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return crs.ES256
		case elliptic.P384():
			return crs.ES384
		}
	}
	return ""
}

// fiscalCode finds a codice fiscale, which is not part of a name.
var fiscalCode = regexp.MustCompile(`(?i)[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]`)

// holder returns the name on a certificate, "" when it has none that may be shown.
func holder(cert *x509.Certificate) string {
	var s crs.Subject
	for _, name := range cert.Subject.Names {
		value, _ := name.Value.(string)
		value = outside.Text(value)
		switch {
		case name.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 42}):
			s.GivenName = value
		case name.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 4}):
			s.Surname = value
		}
	}
	for _, name := range []string{s.FullName(), outside.Text(cert.Subject.CommonName)} {
		if name != "" && !fiscalCode.MatchString(name) {
			return name
		}
	}
	return ""
}
