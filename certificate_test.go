package crs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
)

func subjectOf(names ...pkix.AttributeTypeAndValue) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{Names: names}}
}

func TestParseSubject(t *testing.T) {
	const cn = "BNCDVS96B69Z999X/6090012345678901.dGhpcyBpcyBub3QgYSBoYXNoISE="
	cert := subjectOf(
		pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "IT"},
		pkix.AttributeTypeAndValue{Type: oidCommonName, Value: cn},
		pkix.AttributeTypeAndValue{Type: oidGivenName, Value: "ADA NIVES"},
		pkix.AttributeTypeAndValue{Type: oidSurname, Value: "BIANCHI"})
	s, err := ParseSubject(cert)
	if err != nil || s.CodiceFiscale != "BNCDVS96B69Z999X" || s.CardID != "6090012345678901" ||
		string(s.PersonalDataHash) != "this is not a hash!!" || s.FullName() != "ADA NIVES BIANCHI" {
		t.Errorf("%+v %v", s, err)
	}
	s, err = ParseSubject(subjectOf(pkix.AttributeTypeAndValue{Type: oidCommonName, Value: cn}))
	if err != nil || s.FullName() != "" {
		t.Errorf("only a common name: %+v %v", s, err)
	}
	for _, bad := range []string{
		"", cn[1:], cn + "=", strings.ToLower(cn), strings.Replace(cn, "/", ".", 1), strings.Replace(cn, ".", "/", 1),
		strings.Replace(cn, "dGhp", "dGh!", 1), strings.Replace(cn, "ISE=", "ISEh", 1), strings.Replace(cn, "6090", "60 0", 1),
		"b" + cn[1:], cn + "\n", strings.Replace(cn, "ISE=", "ISF=", 1),
	} {
		if s, err := ParseSubject(subjectOf(pkix.AttributeTypeAndValue{Type: oidCommonName, Value: bad},
			pkix.AttributeTypeAndValue{Type: oidSurname, Value: "BIANCHI"})); err == nil || s.CardID+s.FullName() != "" {
			t.Errorf("%q was accepted", bad)
		}
	}
	twice := pkix.AttributeTypeAndValue{Type: oidCommonName, Value: cn}
	if _, err := ParseSubject(subjectOf(twice, twice)); err == nil {
		t.Error("two common names were accepted")
	}
	if _, err := ParseSubject(subjectOf()); err == nil {
		t.Error("no common name was accepted")
	}
}

func TestCodiceFiscale(t *testing.T) {
	for s, ok := range map[string]bool{
		// Invented people of encyclopaedia articles about the codice fiscale.
		"MRTMTT25D09F205Z": true, "MLLSNT82P65Z404U": true,
		"MRTMTT25D09F205Y": false, "": false, "bncdvs96b69z999x": false, "BNCDVS96B69Z999": false,
		"1NCDVS96B69Z999X": false, "BNCDVSA6B69Z999X": false, "12345678901": false,
	} {
		t.Run(s, func(t *testing.T) {
			if err := CheckCodiceFiscale(s); (err == nil) != ok {
				t.Errorf("%v", err)
			}
		})
	}
	// One of the 26 check characters is right, and it differs when a digit is replaced.
	var right, replaced []string
	for c := 'A'; c <= 'Z'; c++ {
		if CheckCodiceFiscale("BNCDVS96B69Z999"+string(c)) == nil {
			right = append(right, string(c))
		}
		if CheckCodiceFiscale("BNCDVS96B69Z99V"+string(c)) == nil {
			replaced = append(replaced, string(c))
		}
	}
	if len(right) != 1 || len(replaced) != 1 || right[0] == replaced[0] {
		t.Errorf("check characters %v and %v", right, replaced)
	}
	// For any check character, a digit is replaced only by one of ten letters.
	for c := 'A'; c <= 'Z'; c++ {
		if CheckCodiceFiscale("BNCDVSA6B69Z999"+string(c)) == nil || CheckCodiceFiscale("BNCDVS96B69Z999"+right[0]+string(c)) == nil {
			t.Errorf("accepted with %c", c)
		}
	}
}

func TestCNSProfile(t *testing.T) {
	good := func() *x509.Certificate {
		return &x509.Certificate{
			KeyUsage:          x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
			ExtKeyUsage:       []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageClientAuth},
			PolicyIdentifiers: []asn1.ObjectIdentifier{{1, 2, 3}, {1, 3, 76, 16, 2, 1}},
		}
	}
	for i, policy := range cnsPolicies {
		cert := good()
		cert.PolicyIdentifiers = []asn1.ObjectIdentifier{policy}
		if err := CheckCNSProfile(cert); err != nil {
			t.Errorf("policy %v: %v", policy, err)
		}
		if IssuedInTwoParts(cert) != (i > 0) {
			t.Errorf("policy %v: two parts %v", policy, i == 0)
		}
	}
	for name, spoil := range map[string]func(*x509.Certificate){
		"nonRepudiation":      func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment },
		"no digitalSignature": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment },
		"no key usage":        func(c *x509.Certificate) { c.KeyUsage = 0 },
		"no clientAuth":       func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] },
		"no policy":           func(c *x509.Certificate) { c.PolicyIdentifiers = c.PolicyIdentifiers[:1] },
		"a policy beside":     func(c *x509.Certificate) { c.PolicyIdentifiers[1] = asn1.ObjectIdentifier{1, 3, 76, 16, 2, 2} },
		"a policy below":      func(c *x509.Certificate) { c.PolicyIdentifiers[1] = asn1.ObjectIdentifier{1, 3, 76, 16, 2, 1, 1} },
	} {
		t.Run(name, func(t *testing.T) {
			cert := good()
			spoil(cert)
			if CheckCNSProfile(cert) == nil {
				t.Errorf("%s was accepted", name)
			}
		})
	}
}

func TestIssuedInTwoParts(t *testing.T) {
	for name, cert := range map[string]*x509.Certificate{
		"subject's unit": {Subject: pkix.Name{OrganizationalUnit: []string{"Regione Lombardia"}}},
		"issuer's name":  {Issuer: pkix.Name{CommonName: "Regione LOMBARDIA CA"}},
		"issuer":         {Issuer: pkix.Name{Organization: []string{"x", "lombardia"}}},
		"issuer's unit":  {Issuer: pkix.Name{OrganizationalUnit: []string{"Lombardia"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if !IssuedInTwoParts(cert) {
				t.Error("in one")
			}
		})
	}
	if IssuedInTwoParts(&x509.Certificate{Subject: pkix.Name{CommonName: "LOMBARDIA"}, Issuer: pkix.Name{CommonName: "Regione Esempio"}}) {
		t.Error("another issuer's in two")
	}
}

func FuzzT17Subject(f *testing.F) {
	f.Add("BNCDVS96B69Z999X/6090012345678901.dGhpcyBpcyBub3QgYSBoYXNoISE=")
	f.Fuzz(func(t *testing.T, cn string) {
		s, err := ParseSubject(subjectOf(pkix.AttributeTypeAndValue{Type: oidCommonName, Value: cn}))
		if err != nil {
			if s.CardID != "" || s.CodiceFiscale != "" {
				t.Error("a subject beside an error")
			}
			return
		}
		if s.CodiceFiscale+"/"+s.CardID+"." != cn[:34] || len(s.PersonalDataHash) != 20 {
			t.Errorf("%q: %+v", cn, s)
		}
		_ = CheckCodiceFiscale(s.CodiceFiscale)
	})
}
