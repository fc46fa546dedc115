package crs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

func statement(t testing.TB, origin string) Statement {
	t.Helper()
	o, err := ParseOrigin(origin)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseChallenge(strings.Repeat("QUJD", 11))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStatement(o, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The digests were computed with openssl dgst and sha256sum, sha384sum: the bytes that are
// signed are those of the token format, not what this package makes of it.
func TestDigestGolden(t *testing.T) {
	s := statement(t, "https://portale.example")
	const sha256 = "1ef38c4c611c31b94a51867ecf66ac0094d43d8bcc4c333355619b675cf13d8c"
	for algorithm, want := range map[Algorithm]string{
		RS256: sha256, PS256: sha256, ES256: sha256,
		ES384: "b715186c24262edde444625b5c14d46ce055cef9ec2d9d060002fff7a49e62291165766f93b7054d666bc9a5eb35674c",
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			if got, err := s.Digest(algorithm); err != nil || hex.EncodeToString(got) != want {
				t.Errorf("%x, %v", got, err)
			}
		})
	}
}

func TestSignatureVerify(t *testing.T) {
	s, other := statement(t, "https://portale.example"), statement(t, "https://altro.example")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := func(a Algorithm) []byte {
		d, err := s.Digest(a)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	pkcs1, err := rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, digest(RS256))
	if err != nil {
		t.Fatal(err)
	}
	pss := func(salt int) []byte {
		b, err := rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, digest(PS256), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ecKey := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	raw := func(key *ecdsa.PrivateKey, digest []byte, size int) []byte {
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2*size)
		r.FillBytes(b[:size])
		s.FillBytes(b[size:])
		return b
	}
	p256, p384, p521 := ecKey(elliptic.P256()), ecKey(elliptic.P384()), ecKey(elliptic.P521())
	es256, es384 := raw(p256, digest(ES256), 32), raw(p384, digest(ES384), 48)
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	swapped := append(bytes.Clone(es256[32:]), es256[:32]...)
	between := append(append(bytes.Clone(es256[:32]), 0), es256[32:]...)
	for name, test := range map[string]struct {
		algorithm Algorithm
		key       any
		signature []byte
		ok        bool
	}{
		"RS256":                       {RS256, &rsaKey.PublicKey, pkcs1, true},
		"PS256":                       {PS256, &rsaKey.PublicKey, pss(32), true},
		"ES256":                       {ES256, &p256.PublicKey, es256, true},
		"ES384":                       {ES384, &p384.PublicKey, es384, true},
		"RS256 of PSS":                {RS256, &rsaKey.PublicKey, pss(32), false},
		"PS256 of PKCS#1":             {PS256, &rsaKey.PublicKey, pkcs1, false},
		"PS256, other salt":           {PS256, &rsaKey.PublicKey, pss(20), false},
		"RSA key, ES256":              {ES256, &rsaKey.PublicKey, pkcs1, false},
		"RSA key, SHA-1":              {"RS1", &rsaKey.PublicKey, pkcs1, false},
		"P-256 key, RS256":            {RS256, &p256.PublicKey, es256, false},
		"P-256 key, ES384":            {ES384, &p256.PublicKey, raw(p256, digest(ES384), 48), false},
		"P-384 key, ES256":            {ES256, &p384.PublicKey, raw(p384, digest(ES256), 48), false},
		"P-521 key, RS256":            {RS256, &p521.PublicKey, nil, false},
		"r and s swapped":             {ES256, &p256.PublicKey, swapped, false},
		"ES256 cut off":               {ES256, &p256.PublicKey, es256[:63], false},
		"ES256 and a byte":            {ES256, &p256.PublicKey, append(bytes.Clone(es256), 0), false},
		"ES256 and a byte between":    {ES256, &p256.PublicKey, between, false},
		"ES256 without signature":     {ES256, &p256.PublicKey, nil, false},
		"RS256 without signature":     {RS256, &rsaKey.PublicKey, nil, false},
		"a key that no card here has": {ES256, edKey, es256, false},
	} {
		t.Run(name, func(t *testing.T) {
			sig := Signature{test.algorithm, &x509.Certificate{PublicKey: test.key}, test.signature}
			if err := sig.Verify(s); (err == nil) != test.ok {
				t.Errorf("%v", err)
			}
			if sig.Verify(other) == nil {
				t.Error("fits another statement")
			}
		})
	}
}

func TestParseToken(t *testing.T) {
	good := Token{make([]byte, 60), RS256, make([]byte, 60), TokenFormat, "https://example.org"}
	write := func(change func(*Token)) []byte {
		token := good
		change(&token)
		b, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	same := write(func(*Token) {})
	if token, err := ParseToken(same); err != nil || token.Format != TokenFormat || len(token.Signature) != 60 {
		t.Errorf("%+v, %v", token, err)
	}
	if _, err := ParseToken(append(bytes.Repeat([]byte(" "), maxTokenJSON-len(same)), same...)); err != nil {
		t.Errorf("the longest: %v", err)
	}
	for name, b := range map[string][]byte{
		"no certificate": write(func(x *Token) { x.UnverifiedCertificate = nil }),
		"no signature":   write(func(x *Token) { x.Signature = nil }),
		"no algorithm":   write(func(x *Token) { x.Algorithm = "" }),
		"no format":      write(func(x *Token) { x.Format = "" }),
		"one too long":   append(bytes.Repeat([]byte(" "), maxTokenJSON+1-len(same)), same...),
		"too short":      []byte(`{"unverifiedCertificate":"AA==","algorithm":"RS256","signature":"AA==","format":"web-eid:1.0"}`),
		"wrong type":     append(bytes.Repeat([]byte(" "), 100), `{"unverifiedCertificate":"AAAA","algorithm":1}`...),
	} {
		t.Run(name, func(t *testing.T) {
			token, err := ParseToken(b)
			if err == nil || token.UnverifiedCertificate != nil || token.Signature != nil || token.Algorithm+Algorithm(token.Format) != "" {
				t.Errorf("%+v, %v", token, err)
			}
		})
	}
}
