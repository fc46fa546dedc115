package crs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// Challenge is the portal's nonce: 44 to 128 characters of standard base64, at least 256
// random bits. The text is signed, not what it decodes to.
type Challenge struct{ s string }

// ParseChallenge checks length and alphabet. It cannot tell whether the bits are random.
func ParseChallenge(s string) (Challenge, error) {
	if len(s) < 44 || len(s) > 128 {
		return Challenge{}, fmt.Errorf("challenge of %d characters, not 44 to 128", len(s))
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return Challenge{}, errors.New("challenge is not standard base64")
	}
	if len(b) < 32 {
		return Challenge{}, errors.New("challenge of less than 256 bits")
	}
	return Challenge{s}, nil
}

// String returns the base64 text, "" for the zero value.
func (c Challenge) String() string { return c.s }

// Algorithm names a signature algorithm as in RFC 7518, section 3.1.
type Algorithm string

// The algorithms of this software. None uses SHA-1.
const (
	RS256 Algorithm = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256
	PS256 Algorithm = "PS256" // RSASSA-PSS with SHA-256, for tokens without PKCS#1 v1.5
	ES256 Algorithm = "ES256" // ECDSA P-256 with SHA-256, raw r||s
	ES384 Algorithm = "ES384" // ECDSA P-384 with SHA-384, raw r||s
)

// Hash returns the hash of the algorithm, 0 if this software does not use it.
func (a Algorithm) Hash() crypto.Hash {
	switch a {
	case RS256, PS256, ES256:
		return crypto.SHA256
	case ES384:
		return crypto.SHA384
	}
	return 0
}

// Statement is what a card signs: this origin asked, with this challenge. No API of this
// software signs anything else with an authentication key.
type Statement struct {
	origin    Origin
	challenge Challenge
}

// NewStatement refuses zero values.
func NewStatement(o Origin, c Challenge) (Statement, error) {
	if o.IsZero() || c.s == "" {
		return Statement{}, errors.New("statement without origin or challenge")
	}
	return Statement{o, c}, nil
}

// Digest returns H(H(origin) || H(challenge)), H the hash of the algorithm. Hashing first
// keeps the fields apart; it is the Web eID format, see
// https://github.com/web-eid/web-eid-system-architecture-doc#web-eid-authentication-token-specification.
// This is the one place where the bytes of a signature are computed, for cards and verifier.
func (s Statement) Digest(a Algorithm) ([]byte, error) {
	h := a.Hash()
	if h == 0 {
		return nil, fmt.Errorf("unknown algorithm %q", a)
	}
	if s.origin.IsZero() || s.challenge.s == "" {
		return nil, errors.New("statement without origin or challenge")
	}
	sum := func(b []byte) []byte {
		d := h.New()
		d.Write(b)
		return d.Sum(nil)
	}
	return sum(append(sum([]byte(s.origin.s)), sum([]byte(s.challenge.s))...)), nil
}

// Signature is a signed statement.
type Signature struct {
	Algorithm   Algorithm
	Certificate *x509.Certificate
	Bytes       []byte
}

// Verify reports whether the key of the certificate signed s. It says nothing about the
// certificate.
func (sig Signature) Verify(s Statement) error {
	digest, err := s.Digest(sig.Algorithm)
	if err != nil {
		return err
	}
	if sig.Certificate == nil {
		return errors.New("signature without certificate")
	}
	wrong := errors.New("the signature does not match")
	switch key := sig.Certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		switch sig.Algorithm {
		case RS256:
			err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, sig.Bytes)
		case PS256:
			err = rsa.VerifyPSS(key, crypto.SHA256, digest, sig.Bytes, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		default:
			return fmt.Errorf("algorithm %s does not fit an RSA key", sig.Algorithm)
		}
		if err != nil {
			return wrong
		}
	case *ecdsa.PublicKey:
		size := map[Algorithm]int{ES256: 32, ES384: 48}[sig.Algorithm]
		if size == 0 || key.Curve.Params().BitSize != size*8 {
			return fmt.Errorf("algorithm %s does not fit the key", sig.Algorithm)
		}
		if len(sig.Bytes) != 2*size {
			return wrong
		}
		r, t := new(big.Int).SetBytes(sig.Bytes[:size]), new(big.Int).SetBytes(sig.Bytes[size:])
		if !ecdsa.Verify(key, digest, r, t) {
			return wrong
		}
	default:
		return fmt.Errorf("key of type %T", key)
	}
	return nil
}

// Token is a Web eID authentication token. It shows that its sender can sign with a card.
// Nothing in it may be trusted before the portal's Verifier returned.
type Token struct {
	UnverifiedCertificate []byte    `json:"unverifiedCertificate"` // DER
	Algorithm             Algorithm `json:"algorithm"`
	Signature             []byte    `json:"signature"`
	Format                string    `json:"format"`
	AppVersion            string    `json:"appVersion"`
}

// TokenFormat is the value of Token.Format.
const TokenFormat = "web-eid:1.0"

// NewToken makes the token of a signature. The application version is a URL, as the format
// asks for; no validator reads it.
func NewToken(sig Signature, appVersion string) Token {
	return Token{
		UnverifiedCertificate: sig.Certificate.Raw,
		Algorithm:             sig.Algorithm,
		Signature:             sig.Bytes,
		Format:                TokenFormat,
		AppVersion:            appVersion,
	}
}

// Bounds of a token's JSON, those of the Java validator.
const (
	minTokenJSON = 100
	maxTokenJSON = 10_000
)

// ParseToken reads a token's JSON. Unknown fields are ignored, as in the other validators.
func ParseToken(b []byte) (Token, error) {
	if len(b) < minTokenJSON || len(b) > maxTokenJSON {
		return Token{}, fmt.Errorf("token of %d bytes, not %d to %d", len(b), minTokenJSON, maxTokenJSON)
	}
	var t Token
	if err := json.Unmarshal(b, &t); err != nil {
		return Token{}, fmt.Errorf("token is not JSON of the right shape")
	}
	if len(t.UnverifiedCertificate) == 0 || len(t.Signature) == 0 || t.Algorithm == "" || t.Format == "" {
		return Token{}, errors.New("token lacks a field")
	}
	return t, nil
}
