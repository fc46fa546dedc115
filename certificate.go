package crs

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Subject is what the subject of a CNS certificate says of its holder: the common name is
// <codice fiscale>/<card id>.<hash>.
type Subject struct {
	CodiceFiscale string
	CardID        string // 16 characters, equal to EF_IDCarta
	GivenName     string // "" if the certificate has none
	Surname       string // "" if the certificate has none

	// PersonalDataHash is 20 bytes, SHA-1 of EF.DatiPersonali.
	PersonalDataHash []byte
}

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSurname    = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidGivenName  = asn1.ObjectIdentifier{2, 5, 4, 42}
)

// ParseSubject reads the subject of a CNS certificate. It does not check the codice fiscale's
// check character: see CheckCodiceFiscale.
func ParseSubject(cert *x509.Certificate) (Subject, error) {
	var s Subject
	var cn []string
	for _, name := range cert.Subject.Names {
		value, ok := name.Value.(string)
		if !ok {
			continue
		}
		switch {
		case name.Type.Equal(oidCommonName):
			cn = append(cn, value)
		case name.Type.Equal(oidSurname):
			s.Surname = value
		case name.Type.Equal(oidGivenName):
			s.GivenName = value
		}
	}
	if len(cn) != 1 {
		return Subject{}, fmt.Errorf("certificate subject with %d common names", len(cn))
	}
	var err error
	s.CodiceFiscale, s.CardID, s.PersonalDataHash, err = parseCommonName(cn[0])
	if err != nil {
		return Subject{}, err
	}
	return s, nil
}

// parseCommonName splits <16 characters>/<16 characters>.<28 base64 characters>.
func parseCommonName(cn string) (codiceFiscale, cardID string, hash []byte, err error) {
	const cf, id, sum = 16, 16, 28
	bad := errors.New("certificate common name is not <codice fiscale>/<card id>.<hash>")
	if len(cn) != cf+1+id+1+sum || cn[cf] != '/' || cn[cf+1+id] != '.' {
		return "", "", nil, bad
	}
	codiceFiscale, cardID = cn[:cf], cn[cf+1:cf+1+id]
	if !upperAlphanumeric(codiceFiscale) || !upperAlphanumeric(strings.ToUpper(cardID)) {
		return "", "", nil, bad
	}
	hash, err = base64.StdEncoding.Strict().DecodeString(cn[cf+1+id+1:])
	if err != nil || len(hash) != 20 {
		return "", "", nil, bad
	}
	return codiceFiscale, cardID, hash, nil
}

func upperAlphanumeric(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

// FullName returns given name and surname, "" if the certificate has neither.
func (s Subject) FullName() string {
	return strings.TrimSpace(s.GivenName + " " + s.Surname)
}

// Policies under which an authentication certificate of a CNS is issued.
var cnsPolicies = []asn1.ObjectIdentifier{
	{1, 3, 76, 16, 2, 1},               // CNS, AgID profile of the authentication certificate
	{1, 3, 159, 6, 1, 3, 2, 10},        // CRS/SISS of Lombardy, equivalent
	{1, 3, 76, 12, 1, 1, 10, 2, 2, 10}, // CRS/SISS of Lombardy, equivalent
}

// CheckCNSProfile reports why a certificate is not the authentication certificate of a CNS:
// key usage digitalSignature without nonRepudiation, extended key usage clientAuth, a CNS
// policy. It does not check dates, signature or issuer.
func CheckCNSProfile(cert *x509.Certificate) error {
	switch {
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("certificate without key usage digitalSignature")
	case cert.KeyUsage&x509.KeyUsageContentCommitment != 0:
		return errors.New("certificate with key usage nonRepudiation: it signs documents")
	case !hasClientAuth(cert):
		return errors.New("certificate without extended key usage clientAuth")
	case !hasCNSPolicy(cert):
		return errors.New("certificate without a CNS policy")
	}
	return nil
}

func hasClientAuth(cert *x509.Certificate) bool {
	for _, usage := range cert.ExtKeyUsage {
		if usage == x509.ExtKeyUsageClientAuth {
			return true
		}
	}
	return false
}

func hasCNSPolicy(cert *x509.Certificate) bool {
	for _, policy := range cert.PolicyIdentifiers {
		for _, cns := range cnsPolicies {
			if policy.Equal(cns) {
				return true
			}
		}
	}
	return false
}

// IssuedInTwoParts reports whether the card's issuer is known to hand out the PIN in two
// parts, two digits on paper and three in a message: Lombardy.
func IssuedInTwoParts(cert *x509.Certificate) bool {
	for _, policy := range cert.PolicyIdentifiers {
		if policy.Equal(cnsPolicies[1]) || policy.Equal(cnsPolicies[2]) {
			return true
		}
	}
	for _, name := range [][]string{cert.Subject.OrganizationalUnit, cert.Issuer.Organization, cert.Issuer.OrganizationalUnit, {cert.Issuer.CommonName}} {
		for _, s := range name {
			if strings.Contains(strings.ToLower(s), "lombardia") {
				return true
			}
		}
	}
	return false
}

// CheckCodiceFiscale checks form and check character of a personal codice fiscale (16
// characters; decree of 23 December 1976). Digits replaced by letters, as the tax office does
// for namesakes, are accepted.
func CheckCodiceFiscale(s string) error {
	bad := errors.New("codice fiscale of wrong form")
	if len(s) != 16 || !upperAlphanumeric(s) {
		return bad
	}
	// Positions of letters (L), of digits or their replacements (D), and the check character.
	const form = "LLLLLLDDLDDLDDDL"
	for i := range 16 {
		letter := s[i] >= 'A'
		if form[i] == 'L' && !letter || form[i] == 'D' && letter && !strings.Contains("LMNPQRSTUV", s[i:i+1]) {
			return bad
		}
	}
	// Values of the characters at odd positions (the first is 1), for 0-9 and A-Z.
	odd := [36]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
		1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i := range 15 {
		v := int(s[i] - '0')
		if s[i] >= 'A' {
			v = int(s[i]-'A') + 10
		}
		if i%2 == 0 {
			sum += odd[v]
		} else if v >= 10 {
			sum += v - 10
		} else {
			sum += v
		}
	}
	if s[15] != byte('A'+sum%26) {
		return errors.New("codice fiscale with a wrong check character")
	}
	return nil
}
