package virtualcard

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

func TestPersonIsConsistent(t *testing.T) {
	for _, bits := range []int{1024, 2048} {
		p := Shared(bits)
		if p != Shared(bits) {
			t.Error("the shared person is made twice")
		}
		if err := crs.CheckCNSProfile(p.Certificate); err != nil {
			t.Error(err)
		}
		subject, err := crs.ParseSubject(p.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if err := crs.CheckCodiceFiscale(subject.CodiceFiscale); err != nil {
			t.Error(err)
		}
		if subject.CardID != p.CardID || subject.FullName() != "ADA ESEMPIO" {
			t.Errorf("subject %+v", subject)
		}
		file := p.PersonalDataFile()
		if len(file) != 400 {
			t.Errorf("EF_DatiPersonali of %d bytes", len(file))
		}
		data, err := crs.ParsePersonalData(file)
		if err != nil || data != p.Data || data.CodiceFiscale != subject.CodiceFiscale {
			t.Errorf("personal data %+v, %v", data, err)
		}
		content, err := crs.PersonalDataContent(file)
		if hash := sha1.Sum(content); err != nil || !bytes.Equal(hash[:], subject.PersonalDataHash) {
			t.Errorf("the certificate's hash is not that of the personal data (%v)", err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(p.CA.Certificate)
		if _, err := p.Certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
	}
	// The budget of a first login counts on it.
	if n := len(Shared(2048).Certificate.Raw); n < 1400 || n > 1450 {
		t.Errorf("certificate of %d bytes, not 1,400 to 1,450", n)
	}
}

func TestPersonVariants(t *testing.T) {
	key := Shared(2048).Key
	foreign, err := NewCA("ALTRA")
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().AddDate(-8, 0, 0)
	for _, test := range []struct {
		name     string
		identity Identity
		ok       func(*Person) bool
	}{
		{"expired", Identity{NotBefore: past}, func(p *Person) bool { return p.Certificate.NotAfter.Before(time.Now()) }},
		{"foreign CA", Identity{CA: foreign}, func(p *Person) bool {
			return p.Certificate.CheckSignatureFrom(foreign.Certificate) == nil && p.Certificate.CheckSignatureFrom(SharedCA().Certificate) != nil
		}},
		{"document signature", Identity{KeyUsage: x509.KeyUsageContentCommitment}, func(p *Person) bool { return crs.CheckCNSProfile(p.Certificate) != nil }},
		{"no policy", Identity{Policies: []string{}}, func(p *Person) bool {
			return len(p.Certificate.PolicyIdentifiers) == 0 && crs.CheckCNSProfile(p.Certificate) != nil
		}},
		{"Lombardy", Identity{Policies: []string{PolicyLombardy, PolicyLombardy2}}, func(p *Person) bool {
			return crs.CheckCNSProfile(p.Certificate) == nil && crs.IssuedInTwoParts(p.Certificate)
		}},
		{"demonstration", Identity{Issuer: "DEMO"}, func(p *Person) bool {
			return p.Certificate.Subject.Organization[0] == "DEMO S.p.A." && len(p.Certificate.Raw) <= 1450
		}},
		{"another name", Identity{GivenName: "GIANFRANCA", Surname: "BO"}, func(p *Person) bool {
			return p.Data.CodiceFiscale[:6] == "BOXGFR" && crs.CheckCodiceFiscale(p.Data.CodiceFiscale) == nil &&
				p.CardID != Shared(2048).CardID
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.identity.Key = key
			p, err := NewPerson(test.identity)
			if err != nil || !test.ok(p) {
				t.Errorf("%v %+v", err, p.Certificate.Subject)
			}
		})
	}
	if _, err := NewPerson(Identity{Key: key, Policies: []string{"no OID"}}); err == nil {
		t.Error("a policy that is no OID was accepted")
	}
}
