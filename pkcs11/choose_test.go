package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// authority issues the certificates of these tests.
var authority = sync.OnceValues(func() (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Now().AddDate(-20, 0, 0), NotAfter: time.Now().AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert, key
})

// issue makes the certificate of a CNS, changed by edit.
func issue(t testing.TB, public crypto.PublicKey, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	ca, key := authority()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject: pkix.Name{
			CommonName: "SMPDAA70A41X999X/6000000000000001.AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 42}, Value: "ADA"}, {Type: []int{2, 5, 4, 4}, Value: "ESEMPIO"}},
		},
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Policies: []x509.OID{policy(t, 1, 3, 76, 16, 2, 1)},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func policy(t testing.TB, oid ...uint64) x509.OID {
	t.Helper()
	p, err := x509.OIDFromInts(oid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rsaKey is a public key of a size. Nobody knows the private one.
func rsaKey(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func curveKey(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

// TestChoose: which of the certificates of a token logs in, and how.
func TestChoose(t *testing.T) {
	key := rsaKey(2048)
	plain := func(c *x509.Certificate) { c.Policies = nil }
	until := func(year int) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(year, 0, 0) }
	}
	expired := issue(t, key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 0, -1)
	})
	longExpired := issue(t, key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-9, 0, 0), time.Now().AddDate(-3, 0, 0)
	})
	notYet := issue(t, key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, 1), time.Now().AddDate(9, 0, 0)
	})
	cns, newer := issue(t, key, until(1)), issue(t, key, until(2))
	token := issue(t, key, func(c *x509.Certificate) { plain(c); until(5)(c) })
	cie := issue(t, key, func(c *x509.Certificate) {
		c.Policies = []x509.OID{policy(t, 1, 3, 76, 47, 4)}
		c.NotAfter = time.Now().AddDate(3, 0, 0)
	})
	type list = []*x509.Certificate
	for _, test := range []struct {
		name         string
		certificates list
		keys         []byte // CKA_ID of those that show; the certificates have 1, 2, …
		missing      int    // CKA_ID of the certificate whose key turned out to be missing
		algorithms   []crs.Algorithm
		want         *x509.Certificate
		kind         string
		algorithm    crs.Algorithm
	}{
		{name: "a CNS", certificates: list{cns}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "a good one after an expired one", certificates: list{expired, cns}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "a good one before an expired one", certificates: list{cns, expired}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "a good one before one that is not valid yet", certificates: list{cns, notYet}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		// The native driver takes an expired one too: the portal is who refuses it, and says why.
		{name: "none but expired ones", certificates: list{longExpired, expired}, want: expired, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "none but one that is not valid yet", certificates: list{notYet}, want: notYet, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "the newest", certificates: list{cns, newer}, want: newer, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "a CNS before another certificate", certificates: list{token, cns}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "a CIE before another certificate", certificates: list{token, cie}, want: cie, kind: crs.KindCIE, algorithm: crs.RS256},
		{name: "a valid one before a CNS that is expired", certificates: list{expired, token}, want: token, kind: crs.KindToken, algorithm: crs.RS256},
		{name: "one whose key shows", certificates: list{newer, cns}, keys: []byte{2}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "a CNS whose key does not show", certificates: list{token, cns}, keys: []byte{1}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "not one whose key is missing", certificates: list{newer, cns}, missing: 1, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "none whose key is missing", certificates: list{cns}, missing: 1},
		{name: "none that signs documents", certificates: list{issue(t, key, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment })}},
		{name: "none that signs nothing", certificates: list{issue(t, key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })}},
		{name: "none that is not for clients", certificates: list{issue(t, key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })}},
		{name: "none of an authority", certificates: list{issue(t, key, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })}},
		{name: "RSA of 512 bits", certificates: list{issue(t, rsaKey(512), nil)}},
		{name: "RSA of 8192 bits", certificates: list{issue(t, rsaKey(8192), nil)}},
		{name: "P-224", certificates: list{issue(t, curveKey(t, elliptic.P224()), nil)}},
		{name: "P-521", certificates: list{issue(t, curveKey(t, elliptic.P521()), nil)}},
		{name: "none", certificates: nil},
		{name: "PKCS#1 where both are there", certificates: list{cns}, algorithms: []crs.Algorithm{crs.PS256, crs.RS256}, want: cns, kind: crs.KindCNS, algorithm: crs.RS256},
		{name: "PSS where nothing else is there", certificates: list{cns}, algorithms: []crs.Algorithm{crs.PS256}, want: cns, kind: crs.KindCNS, algorithm: crs.PS256},
	} {
		t.Run(test.name, func(t *testing.T) {
			tok := token11(test.certificates, test.keys, test.algorithms)
			got, err := choose(tok, func(c certificate) bool { return test.missing != 0 && int(c.ID[0]) == test.missing }, time.Now())
			switch {
			case test.want == nil:
				if !errors.Is(err, crs.ErrNoCNS) {
					t.Errorf("%v", err)
				}
			case err != nil || !got.parsed.Equal(test.want) || got.kind != test.kind || got.algorithm != test.algorithm:
				t.Errorf("the wrong one: %v %s %s", err, got.kind, got.algorithm)
			}
		})
	}
	for want, public := range map[crs.Algorithm]crypto.PublicKey{
		crs.RS256: rsaKey(1024), crs.ES256: curveKey(t, elliptic.P256()), crs.ES384: curveKey(t, elliptic.P384()),
	} {
		c := issue(t, public, nil)
		if got, err := choose(token11(list{c}, nil, nil), func(certificate) bool { return false }, time.Now()); err != nil || got.algorithm != want {
			t.Errorf("%T: %s %v", public, got.algorithm, err)
		}
	}
	if got := algorithmFor(issue(t, rsaKey(4096), nil), nil); got != crs.RS256 {
		t.Errorf("RSA of 4096 bits: %q", got)
	}
}

func token11(certificates []*x509.Certificate, keys []byte, algorithms []crs.Algorithm) token {
	tok := token{Algorithms: algorithms}
	for i, c := range certificates {
		tok.Certificates = append(tok.Certificates, certificate{[]byte{byte(i + 1)}, c.Raw})
	}
	for _, id := range keys {
		tok.Keys = append(tok.Keys, []byte{id})
	}
	return tok
}

// Without a CKA_ID nothing leads from a certificate to its key; what is no certificate is left out.
func TestChooseAmongOddities(t *testing.T) {
	good := issue(t, rsaKey(2048), nil)
	odd := token{Certificates: []certificate{{nil, good.Raw}, {[]byte{}, good.Raw}, {[]byte{1}, []byte("no certificate")}, {[]byte{2}, nil}}}
	never := func(certificate) bool { return false }
	if _, err := choose(odd, never, time.Now()); !errors.Is(err, crs.ErrCertificate) {
		t.Error(err)
	}
	// One that crypto/x509 refuses, because of its negative serial number, is as good as any.
	refused := bytes.Clone(good.Raw)
	refused[bytes.Index(refused, good.SerialNumber.Bytes())] |= 0x80
	if _, err := x509.ParseCertificate(refused); err == nil {
		t.Error("crypto/x509 reads it")
	}
	if got, err := choose(token{Certificates: []certificate{{[]byte{1}, refused}}}, never, time.Now()); err != nil || !bytes.Equal(got.parsed.Raw, refused) {
		t.Errorf("%v", err)
	}
	odd.Certificates = append(odd.Certificates, certificate{[]byte{3}, good.Raw})
	if got, err := choose(odd, never, time.Now()); err != nil || !slices.Equal(got.ID, []byte{3}) {
		t.Errorf("%v %v", got.ID, err)
	}
}

// TestHolder: whose token it is, without a codice fiscale.
func TestHolder(t *testing.T) {
	named := func(common string, extra ...string) *x509.Certificate {
		return issue(t, rsaKey(2048), func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: common}
			for i, value := range extra {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: []int{2, 5, 4, []int{42, 4}[i]}, Value: value})
			}
		})
	}
	for want, cert := range map[string]*x509.Certificate{
		"ADA ESEMPIO":   named("SMPDAA70A41X999X/6000000000000001.AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "ADA", "ESEMPIO"),
		"BRUNO":         named("x", "BRUNO"),
		"Bruno Prova":   named("Bruno Prova"),
		"not the other": named("not the other", "smpdaa70a41x999x", "ESEMPIO"),
		"":              named("ESEMPIO/smpdaa70a41x999x/2"),
	} {
		t.Run(want, func(t *testing.T) {
			if got := holder(cert); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	a, b := identity(named("a")), identity(named("b"))
	if a == b || len(a) != 16 || identity(issue(t, rsaKey(2048), nil)) != "6000000000000001" {
		t.Errorf("%q %q", a, b)
	}
}

// TestPINFormat: what a token says of the length of its PIN, as far as it can be believed.
func TestPINFormat(t *testing.T) {
	for _, test := range []struct {
		min, max uint
		want     crs.PINFormat
	}{
		{5, 8, crs.PINFormat{Min: 5, Max: 8}},
		{0, 0, crs.PINFormat{Min: 1, Max: maxSecret}},
		{4, 0, crs.PINFormat{Min: 4, Max: maxSecret}},
		{9, 8, crs.PINFormat{Min: 1, Max: 8}},
		{4, maxSecret + 1, crs.PINFormat{Min: 4, Max: maxSecret}},
		{^uint(0), ^uint(0), crs.PINFormat{Min: 1, Max: maxSecret}}, // CK_UNAVAILABLE_INFORMATION
	} {
		c := &card{token: token{MinPIN: test.min, MaxPIN: test.max}}
		if got := c.pinFormat(); got != test.want {
			t.Errorf("%d to %d: %+v", test.min, test.max, got)
		}
	}
}
