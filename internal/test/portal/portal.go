// Package portal makes throw-away CAs, cards of invented people, and their tokens.
package portal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// The invented person on the test cards. X999 is no municipality.
const (
	CodiceFiscale = "SMPDAA70A41X999X"
	CardID        = "6090010000000001"
	GivenName     = "ADA"
	Surname       = "ESEMPIO"
)

// A CA signs test cards.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewCA makes a CA whose certificate is valid for a day around now, after the edits changed
// what is signed.
func NewCA(t testing.TB, edits ...func(*x509.Certificate)) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{Country: []string{"IT"}, Organization: []string{"Throw-away"}, CommonName: "Test CA Cittadini"},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, edit := range edits {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &CA{Certificate: cert, key: key}
}

// Pool returns the CA as a verifier's issuers.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// A Card is a key and its certificate.
type Card struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// NewCard makes a card of the invented person. An edit that is not nil changes what is signed.
func (ca *CA) NewCard(t testing.TB, key crypto.Signer, edit func(*x509.Certificate)) *Card {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Policies:     []x509.OID{OID(t, "1.3.76.16.2.1")},
		Subject:      Subject(PersonalData(t)),
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Certificate, key.Public(), ca.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &Card{Certificate: cert, Key: key}
}

// Subject is the invented person's, with the hash of these personal data.
func Subject(personalData []byte) pkix.Name {
	sum := sha1.Sum(personalData)
	return pkix.Name{
		Country:            []string{"IT"},
		OrganizationalUnit: []string{"Comune di Prova"},
		ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: CodiceFiscale + "/" + CardID + "." + base64.StdEncoding.EncodeToString(sum[:])},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: GivenName},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: Surname},
		},
	}
}

// PersonalData is the invented person's EF.DatiPersonali, without padding.
func PersonalData(t testing.TB) []byte {
	t.Helper()
	b, err := crs.PersonalData{
		IssuerCode: "6090", IssueDate: "02032021", ExpiryDate: "01032027",
		Surname: Surname, Name: GivenName, BirthDate: "01011970", Sex: "F",
		CodiceFiscale: CodiceFiscale, BirthMunicipality: "X999", ResidenceMunicipality: "X998",
	}.Encode()
	must(t, err)
	return b
}

// Token signs the challenge for the origin, as a card does, and returns the token's JSON.
func (c *Card) Token(t testing.TB, o crs.Origin, challenge crs.Challenge) []byte {
	t.Helper()
	statement, err := crs.NewStatement(o, challenge)
	must(t, err)
	algorithm := crs.RS256
	if key, ok := c.Key.Public().(*ecdsa.PublicKey); ok {
		algorithm = map[int]crs.Algorithm{256: crs.ES256, 384: crs.ES384}[key.Curve.Params().BitSize]
	}
	digest, err := statement.Digest(algorithm)
	must(t, err)
	b, err := c.Key.Sign(rand.Reader, digest, algorithm.Hash())
	must(t, err)
	if key, ok := c.Key.Public().(*ecdsa.PublicKey); ok {
		var rs struct{ R, S *big.Int }
		_, err := asn1.Unmarshal(b, &rs)
		must(t, err)
		size := key.Curve.Params().BitSize / 8
		b = make([]byte, 2*size)
		rs.R.FillBytes(b[:size])
		rs.S.FillBytes(b[size:])
	}
	sig := crs.Signature{Algorithm: algorithm, Certificate: c.Certificate, Bytes: b}
	token, err := json.Marshal(crs.NewToken(sig, "https://crs.example/test"))
	must(t, err)
	return token
}

// RSA makes a key of the given size.
func RSA(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	must(t, err)
	return key
}

// EC makes a key on a curve.
func EC(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(t, err)
	return key
}

// OID parses a dotted object identifier.
func OID(t testing.TB, s string) x509.OID {
	t.Helper()
	oid, err := x509.ParseOID(s)
	must(t, err)
	return oid
}

// Origin parses an https origin, or one of the loopback interface.
func Origin(t testing.TB, s string) crs.Origin {
	t.Helper()
	var port int
	fmt.Sscanf(s, "http://localhost:%d", &port)
	o, err := crs.ParseDeveloperOrigin(s, port)
	must(t, err)
	return o
}

// Challenge makes a new one.
func Challenge(t testing.TB) crs.Challenge {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	c, err := crs.ParseChallenge(base64.StdEncoding.EncodeToString(b))
	must(t, err)
	return c
}

func serial(t testing.TB) *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	must(t, err)
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Words returns the quoted words of a part of a file, sorted: those of a closed list.
func Words(t testing.TB, path, from, to string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	_, after, _ := strings.Cut(string(b), from)
	part, _, found := strings.Cut(after, to)
	if !found {
		t.Fatalf("%s has no %q … %q", path, from, to)
	}
	var words []string
	for _, m := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(part, -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return slices.Compact(words)
}
