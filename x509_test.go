package crs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var testKeys = sync.OnceValues(func() (*rsa.PrivateKey, *ecdsa.PrivateKey) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key, curve
})

const testCN = "BNCNCL96B69Z999X/6090000000000001.AAAAAAAAAAAAAAAAAAAAAAAAAAA="

// issued returns a certificate as a CNS has it, with a name of these strings.
func issued(t testing.TB, public crypto.PublicKey, names ...pkix.AttributeTypeAndValue) []byte {
	t.Helper()
	return issuedWith(t, public, func(c *x509.Certificate) { c.Subject.ExtraNames = names })
}

func issuedWith(t testing.TB, public crypto.PublicKey, edit func(*x509.Certificate)) []byte {
	t.Helper()
	_, ca := testKeys()
	policy, err := x509.OIDFromInts([]uint64{1, 3, 76, 16, 2, 1})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x1234567),
		Subject:      pkix.Name{Country: []string{"IT"}, OrganizationalUnit: []string{"Regione Esempio"}, CommonName: testCN},
		NotBefore:    time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2051, 1, 2, 3, 4, 5, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageClientAuth},
		Policies:    []x509.OID{policy},
	}
	edit(template)
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "CA di prova", Organization: []string{"Lombardia Esempio"}}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, ca)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func surname(tag int, value string) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oidSurname, Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)}}
}

// replace changes bytes of the same number in a certificate, whose signature then is wrong; nobody looks.
func replace(t testing.TB, der []byte, old, with string) []byte {
	t.Helper()
	if len(old) != len(with) || bytes.Count(der, []byte(old)) != 1 {
		t.Fatalf("% X stands %d times in it", old, bytes.Count(der, []byte(old)))
	}
	return bytes.Replace(der, []byte(old), []byte(with), 1)
}

// A certificate that crypto/x509 refuses can still be read: every field that is used is right.
func TestParseCertificateThatX509Refuses(t *testing.T) {
	key, ec := testKeys()
	public := &key.PublicKey
	for name, test := range map[string]struct {
		der     []byte
		surname string
	}{
		"PrintableString with a letter of Latin-1": {issued(t, public, surname(asn1.TagPrintableString, "NICCOL\xd2")), "NICCOLÒ"},
		"PrintableString with _":                   {issued(t, public, surname(asn1.TagPrintableString, "DE_NICOLA")), "DE_NICOLA"},
		"PrintableString with UTF-8":               {issued(t, public, surname(asn1.TagPrintableString, "NICCOLÒ")), "NICCOLÒ"},
		"PrintableString with Windows-1252":        {issued(t, public, surname(asn1.TagPrintableString, "D\x92ALI")), "D’ALI"},
		"UTF8String with Latin-1":                  {issued(t, public, surname(asn1.TagUTF8String, "NICCOL\xd2")), "NICCOLÒ"},
		"IA5String with Latin-1":                   {issued(t, public, surname(asn1.TagIA5String, "NICCOL\xd2")), "NICCOLÒ"},
		"NumericString with letters":               {issued(t, public, surname(asn1.TagNumericString, "ROSSI")), "ROSSI"},
		"UniversalString":                          {issued(t, public, surname(tagUniversalString, "\x00\x00\x00N\x00\x00\x00\xd2")), "NÒ"},
		"UniversalString beyond Unicode":           {issued(t, public, surname(tagUniversalString, "\x00\x00\x00N\xff\xff\xff\xff")), "N\ufffd"},
		"VisibleString":                            {issued(t, public, surname(26, "ROSSI")), "ROSSI"},
		"BMPString of odd length":                  {issued(t, public, surname(asn1.TagBMPString, "\x00R\x00")), "R"},
		"negative serial number":                   {replace(t, issued(t, public), "\x02\x04\x01\x23\x45\x67", "\x02\x04\xff\x23\x45\x67"), ""},
		"serial number that is not minimal":        {replace(t, issued(t, public), "\x02\x04\x01\x23\x45\x67", "\x02\x04\x00\x00\x45\x67"), ""},
		"negative modulus":                         {withoutZero(t, issued(t, public), public), ""},
		"curve that is written out":                {explicitCurve(t, issued(t, &ec.PublicKey), nil), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := x509.ParseCertificate(test.der); err == nil {
				t.Error("crypto/x509 reads it: the test shows nothing")
			}
			cert, err := ParseCertificate(test.der)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseSubject(cert)
			if err != nil || s.Surname != test.surname || s.CardID != "6090000000000001" {
				t.Errorf("subject %+v, %v", s, err)
			}
			if err := CheckCNSProfile(cert); err != nil {
				t.Error(err)
			}
			switch key := cert.PublicKey.(type) {
			case *rsa.PublicKey:
				if !key.Equal(public) {
					t.Error("another key")
				}
			case *ecdsa.PublicKey:
				if !key.Equal(&ec.PublicKey) {
					t.Error("another key")
				}
			default:
				t.Errorf("key %T", key)
			}
			if !bytes.Equal(cert.Raw, test.der) {
				t.Error("Raw is not the certificate")
			}
			if NewToken(Signature{Certificate: cert}, "").UnverifiedCertificate == nil {
				t.Error("no certificate in the token")
			}
		})
	}
}

// withoutZero leaves out the zero before the modulus, as if it were a negative number; a NULL grows to
// keep the lengths.
func withoutZero(t testing.TB, der []byte, key *rsa.PublicKey) []byte {
	n := key.N.Bytes()
	old := "\x05\x00\x03\x81\x8d\x00\x30\x81\x89\x02\x81\x81\x00" + string(n[:4])
	return replace(t, der, old, "\x05\x00\x03\x81\x8d\x00\x30\x81\x89\x02\x82\x00\x80"+string(n[:4]))
}

// explicitCurve replaces the name of P-256 by what it is made of, with a change of the base point.
func explicitCurve(t testing.TB, der []byte, change func(base []byte)) []byte {
	t.Helper()
	c := elliptic.P256().Params()
	base := append(c.Gx.FillBytes(append([]byte{4}, make([]byte, 32)...)[1:33]), c.Gy.FillBytes(make([]byte, 32))...)
	base = append([]byte{4}, base...)
	if change != nil {
		change(base)
	}
	written, err := asn1.Marshal(struct {
		Version int
		Field   struct {
			ID asn1.ObjectIdentifier
			P  *big.Int
		}
		Curve struct{ A, B []byte }
		Base  []byte
		Order *big.Int
		One   int
	}{1, struct {
		ID asn1.ObjectIdentifier
		P  *big.Int
	}{asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}, c.P},
		struct{ A, B []byte }{new(big.Int).Sub(c.P, big.NewInt(3)).Bytes(), c.B.Bytes()}, base, c.N, 1})
	if err != nil {
		t.Fatal(err)
	}
	name, err := asn1.Marshal(oidP256)
	if err != nil {
		t.Fatal(err)
	}
	var cert struct {
		TBS struct {
			Version   int `asn1:"explicit,tag:0"`
			Serial    *big.Int
			Algorithm asn1.RawValue
			Issuer    asn1.RawValue
			Validity  asn1.RawValue
			Subject   asn1.RawValue
			Key       struct {
				Algorithm struct {
					ID     asn1.ObjectIdentifier
					Params asn1.RawValue
				}
				Bits asn1.BitString
			}
			Extensions asn1.RawValue `asn1:"tag:3"`
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		t.Fatal(err)
	}
	params := &cert.TBS.Key.Algorithm.Params
	if !bytes.Equal(params.FullBytes, name) {
		t.Fatalf("parameters % X", params.FullBytes)
	}
	*params = asn1.RawValue{FullBytes: written}
	der, err = asn1.Marshal(cert)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A curve that only looks like P-256 gives no key: with a base point of his own anybody signs for any
// public key (CVE-2020-0601).
func TestParseCertificateCurveOfItsOwn(t *testing.T) {
	_, ec := testKeys()
	cert, err := ParseCertificate(explicitCurve(t, issued(t, &ec.PublicKey), func(base []byte) { base[64] ^= 1 }))
	if err != nil || cert.PublicKey != nil {
		t.Errorf("%v, key %v", err, cert.PublicKey)
	}
}

// sameAsX509 compares what ParseCertificate promises with what crypto/x509 reads.
func sameAsX509(got, want *x509.Certificate) error {
	clientAuth := slices.Contains(want.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	switch {
	case got.Subject.String() != want.Subject.String():
		return fmt.Errorf("subject %q, not %q", got.Subject, want.Subject)
	case got.Issuer.String() != want.Issuer.String():
		return fmt.Errorf("issuer %q, not %q", got.Issuer, want.Issuer)
	case !got.NotBefore.Equal(want.NotBefore) || !got.NotAfter.Equal(want.NotAfter):
		return fmt.Errorf("validity %v to %v, not %v to %v", got.NotBefore, got.NotAfter, want.NotBefore, want.NotAfter)
	case got.KeyUsage != want.KeyUsage, slices.Contains(got.ExtKeyUsage, x509.ExtKeyUsageClientAuth) != clientAuth, got.IsCA != want.IsCA:
		return fmt.Errorf("usage %b, %v, not %b, %v", got.KeyUsage, got.ExtKeyUsage, want.KeyUsage, want.ExtKeyUsage)
	case got.PublicKey != nil && got.PublicKeyAlgorithm != want.PublicKeyAlgorithm:
		return fmt.Errorf("key of %v, not %v", got.PublicKeyAlgorithm, want.PublicKeyAlgorithm)
	case hasCNSPolicy(got) != hasCNSPolicy(want):
		return fmt.Errorf("policies %v, not %v", got.PolicyIdentifiers, want.PolicyIdentifiers)
	case !bytes.Equal(got.Raw, want.Raw):
		return errors.New("Raw")
	}
	if key, ok := want.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && got.PublicKey != nil && !key.Equal(got.PublicKey) {
		return errors.New("key")
	}
	return nil
}

// What crypto/x509 reads is read the same.
func TestParseCertificateAsX509(t *testing.T) {
	key, ec := testKeys()
	big384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"RSA-1024":        issued(t, &key.PublicKey),
		"P-256":           issued(t, &ec.PublicKey),
		"P-384":           issued(t, &big384.PublicKey),
		"PrintableString": issued(t, &key.PublicKey, surname(asn1.TagPrintableString, "ROSSI")),
		"UTF8String":      issued(t, &key.PublicKey, surname(asn1.TagUTF8String, "NICCOLÒ")),
		"BMPString":       issued(t, &key.PublicKey, surname(asn1.TagBMPString, "\x00N\x00\xd2")),
		"TeletexString":   issued(t, &key.PublicKey, surname(asn1.TagT61String, "NICCOL\xd2")),
		"IA5String":       issued(t, &key.PublicKey, surname(asn1.TagIA5String, "ROSSI")),
		"NumericString":   issued(t, &key.PublicKey, surname(asn1.TagNumericString, "123")),
	} {
		t.Run(name, func(t *testing.T) {
			want, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameAsX509(got, want); err != nil {
				t.Error(err)
			}
			if got.PublicKey == nil || !IssuedInTwoParts(got) {
				t.Errorf("key %T, issuer %v", got.PublicKey, got.Issuer)
			}
			padded, err := ParseCertificate(append(bytes.Clone(der), 0, 0, 0))
			if err != nil || !bytes.Equal(padded.Raw, der) {
				t.Errorf("with padding: %v", err)
			}
		})
	}
}

// What the verifier of the portal does not see must not make a certificate one of a CNS here: the PIN
// would be typed for a login that is refused.
func TestParseCertificateSeesWhatX509Sees(t *testing.T) {
	key, _ := testKeys()
	plain := issuedWith(t, &key.PublicKey, func(c *x509.Certificate) { c.Policies, c.KeyUsage = nil, 0 })
	parts := func(der []byte) (before, extensions []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		key := bytes.Index(der, cert.RawSubjectPublicKeyInfo) + len(cert.RawSubjectPublicKeyInfo)
		return der[8:key], der[key : bytes.Index(der, cert.RawTBSCertificate)+len(cert.RawTBSCertificate)]
	}
	signature := bytes.TrimPrefix(plain[4:], sequence(parts(plain)))
	before, all := parts(issued(t, &key.PublicKey))
	_, few := parts(plain)
	old := bytes.Replace(before, []byte("\xa0\x03\x02\x01\x02"), []byte("\xa0\x03\x02\x01\x01"), 1)
	for name, inner := range map[string][][]byte{
		"as it is":                      {before, all},
		"policy in a second list":       {before, few, all},
		"key usage in a second list":    {before, all, few},
		"after an unknown field":        {before, {0x84, 1, 0}, all},
		"after unique identifiers":      {before, {0x81, 2, 0, 1, 0x82, 2, 0, 1}, all},
		"in a certificate of version 2": {old, all},
		"in one of version 1":           {before[5:], all},
		"with something behind it":      {before, all, {0x30, 0x7f}},
	} {
		t.Run(name, func(t *testing.T) {
			der := sequence(sequence(inner...), signature)
			want, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameAsX509(got, want); err != nil {
				t.Error(err)
			}
		})
	}
}

// sequence puts parts into a SEQUENCE with a length of two bytes.
func sequence(parts ...[]byte) []byte {
	all := bytes.Join(parts, nil)
	return append([]byte{tagSequence, 0x82, byte(len(all) >> 8), byte(len(all))}, all...)
}

func TestParseCertificateRefuses(t *testing.T) {
	key, _ := testKeys()
	der := issued(t, &key.PublicKey)
	usage := "\x06\x03\x55\x1d\x0f" // key usage
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"zeros":                make([]byte, 2048),
		"FF":                   bytes.Repeat([]byte{0xff}, 2048),
		"cut off":              der[:len(der)-1],
		"length without end":   append([]byte{0x30, 0x80}, der[4:]...),
		"length of five bytes": append([]byte{0x30, 0x85, 0, 0, 0}, der[2:]...),
		"too long":             append(bytes.Clone(der), make([]byte, maxCertificate)...),
		"no time":              replace(t, der, "\x17\x0d240102030405Z", "\x17\x0d241302030405Z"),
		"key usage twice": issuedWith(t, &key.PublicKey, func(c *x509.Certificate) {
			for _, bits := range []byte{0xc0, 0x80} { // with nonRepudiation, and without
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 6, bits}})
			}
		}),
		"key usage no bits": replace(t, der, usage+"\x01\x01\xff\x04\x04\x03\x02", usage+"\x01\x01\xff\x04\x04\x05\x02"),
	} {
		t.Run(name, func(t *testing.T) {
			if cert, err := ParseCertificate(b); cert != nil || !errors.Is(err, ErrCertificate) || CodeOf(err) != ErrCardUnusable {
				t.Errorf("%v, %v", cert, err)
			}
		})
	}
}

// An unknown or odd key leaves a certificate that can be read and no key to use.
func TestParseCertificateWithoutKey(t *testing.T) {
	key, _ := testKeys()
	der := replace(t, issued(t, &key.PublicKey), "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x05\x00")
	cert, err := ParseCertificate(der)
	if err != nil || cert.PublicKey != nil || !strings.HasPrefix(cert.Subject.CommonName, "BNC") {
		t.Errorf("%+v, %v", cert, err)
	}
}

func FuzzT17Certificate(f *testing.F) {
	key, ec := testKeys()
	f.Add(issued(f, &key.PublicKey, surname(asn1.TagPrintableString, "NICCOL\xd2")))
	f.Add(issued(f, &ec.PublicKey))
	f.Add(explicitCurve(f, issued(f, &ec.PublicKey), nil))
	f.Add(issuedWith(f, &key.PublicKey, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }))
	f.Fuzz(func(t *testing.T, b []byte) {
		cert, err := ParseCertificate(b)
		want, x509Err := x509.ParseCertificate(b)
		if err != nil {
			if cert != nil || err != ErrCertificate {
				t.Error("a certificate beside an error")
			}
			if x509Err == nil && len(want.UnhandledCriticalExtensions) == 0 && len(b) < maxCertificate {
				t.Errorf("crypto/x509 reads it")
			}
			return
		}
		if !bytes.HasPrefix(b, cert.Raw) {
			t.Error("Raw is no part of it")
		}
		again, err := ParseCertificate(cert.Raw)
		if err != nil || !bytes.Equal(again.Raw, cert.Raw) || again.Subject.String() != cert.Subject.String() {
			t.Errorf("not stable: %v", err)
		}
		if x509Err != nil || bytes.Contains(b, []byte{tagT61String}) {
			return
		}
		if err := sameAsX509(cert, want); err != nil {
			t.Error(err)
		}
		ParseSubject(cert)
	})
}
