package virtualcard

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
)

// Person is an invented citizen and the authentication certificate issued to them. A person
// may hold any number of cards.
type Person struct {
	Data        crs.PersonalData
	CardID      string // 16 characters, EF_IDCarta
	Certificate *x509.Certificate
	CA          *CA
	Key         *rsa.PrivateKey
}

// Identity says to whom a certificate is issued, and how. The zero value is a regular CNS of Ada
// Esempio, with a new key.
type Identity struct {
	GivenName, Surname string // "" is ADA ESEMPIO; upper case, Latin-1

	// EncodeName, if not nil, writes the two into the certificate, in a form that crypto/x509 may
	// refuse, as some issuers do.
	EncodeName func(string) asn1.RawValue

	CA   *CA             // nil: the CA that all share
	Key  *rsa.PrivateKey // nil: a new one of Bits
	Bits int             // 0 is 2048

	// Issuer stands in the organization, the administration and the address of the
	// certificate; "" is TEST.
	Issuer string

	NotBefore, NotAfter time.Time     // zero: since yesterday, for six years
	KeyUsage            x509.KeyUsage // 0: digitalSignature and keyEncipherment
	Policies            []string      // dotted; nil: the CNS policy
}

// Policies of authentication certificates.
const (
	PolicyCNS       = "1.3.76.16.2.1"
	PolicyLombardy  = "1.3.159.6.1.3.2.10"
	PolicyLombardy2 = "1.3.76.12.1.1.10.2.2.10"
)

// Shared returns the person of cards without one of their own, one for each key size. Making a key
// takes a while; making it once serves all tests of a package.
func Shared(bits int) *Person {
	shared.Lock()
	defer shared.Unlock()
	if p := shared.people[bits]; p != nil {
		return p
	}
	p, err := NewPerson(Identity{Bits: bits})
	if err != nil {
		panic(fmt.Sprintf("virtualcard: %v", err)) // the zero Identity is right for every key size of a profile
	}
	shared.people[bits] = p
	return p
}

var shared = struct {
	sync.Mutex
	people map[int]*Person
}{people: map[int]*Person{}}

// SharedCA returns the CA of all people without one of their own.
var SharedCA = sync.OnceValue(func() *CA {
	ca, err := NewCA("TEST")
	if err != nil {
		panic(fmt.Sprintf("virtualcard: %v", err)) // its template is constant
	}
	return ca
})

// NewPerson invents a person and issues their certificate.
func NewPerson(id Identity) (*Person, error) {
	if id.GivenName == "" && id.Surname == "" {
		id.GivenName, id.Surname = "ADA", "ESEMPIO"
	}
	if id.CA == nil {
		id.CA = SharedCA()
	}
	if id.Key == nil {
		bits := id.Bits
		if bits == 0 {
			bits = 2048
		}
		var err error
		if id.Key, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
			return nil, err
		}
	}
	if id.Issuer == "" {
		id.Issuer = "TEST"
	}
	if id.NotBefore.IsZero() {
		id.NotBefore = time.Now().Add(-24 * time.Hour)
	}
	if id.NotAfter.IsZero() {
		id.NotAfter = id.NotBefore.AddDate(6, 0, 0)
	}
	if id.KeyUsage == 0 {
		id.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	if id.Policies == nil {
		id.Policies = []string{PolicyCNS}
	}

	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 48))
	if err != nil {
		return nil, err
	}
	p := &Person{CA: id.CA, Key: id.Key, Data: personalData(id)}
	p.CardID = fmt.Sprintf("6%015d", serial) // 6: issued by a public administration
	content, err := p.Data.Encode()
	if err != nil {
		return nil, err
	}
	hash := sha1.Sum(content)
	cn := p.Data.CodiceFiscale + "/" + p.CardID + "." + base64.StdEncoding.EncodeToString(hash[:])
	p.Certificate, err = id.CA.issue(id, cn)
	return p, err
}

// personalData makes up the fields that a card carries. Nobody is born in 1870 and in X999,
// which is the code of no municipality and no country.
func personalData(id Identity) crs.PersonalData {
	return crs.PersonalData{
		IssuerCode:            "9999",
		IssueDate:             id.NotBefore.Format("02012006"),
		ExpiryDate:            id.NotAfter.Format("02012006"),
		Surname:               id.Surname,
		Name:                  id.GivenName,
		BirthDate:             "01011870",
		Sex:                   "F",
		CodiceFiscale:         codiceFiscale(id.Surname, id.GivenName),
		BirthMunicipality:     "X999",
		ResidenceMunicipality: "X999",
		ResidenceAddress:      "VIA DELLA PROVA 1",
	}
}

// codiceFiscale computes the code of a woman born on 1 January '70 in X999 (decree of 23
// December 1976).
func codiceFiscale(surname, givenName string) string {
	code := threeLetters(surname, 3) + threeLetters(givenName, 4) + "70A41X999"
	for check := 'A'; check <= 'Z'; check++ {
		if crs.CheckCodiceFiscale(code+string(check)) == nil {
			return code + string(check)
		}
	}
	return code + "?" // a name with characters that no codice fiscale has
}

// threeLetters takes consonants, then vowels, then X. For a given name with four consonants or more
// it leaves out the second.
func threeLetters(name string, leaveOutAt int) string {
	var consonants, vowels string
	for _, r := range name {
		switch {
		case strings.ContainsRune("AEIOU", r):
			vowels += string(r)
		case 'A' <= r && r <= 'Z':
			consonants += string(r)
		}
	}
	if leaveOutAt == 4 && len(consonants) >= 4 {
		consonants = consonants[:1] + consonants[2:]
	}
	return (consonants + vowels + "XXX")[:3]
}

// PersonalDataFile returns EF_DatiPersonali: 400 bytes, padded with 00.
func (p *Person) PersonalDataFile() []byte {
	content, err := p.Data.Encode()
	if err != nil {
		panic(fmt.Sprintf("virtualcard: %v", err)) // NewPerson encoded it before
	}
	return padded(content, 400, 0x00)
}

// padded returns b extended to n bytes; b itself if it is longer.
func padded(b []byte, n int, with byte) []byte {
	out := append([]byte(nil), b...)
	for len(out) < n {
		out = append(out, with)
	}
	return out
}
