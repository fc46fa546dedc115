package pcsc

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"github.com/crs-bridge/crs/internal/virtualcard"
)

// Certificates that crypto/x509 refuses, as issuers make them: the card logs in, and its certificate
// is handed on as it is.
func TestCertificateThatX509Refuses(t *testing.T) {
	encode := func(tag int) func(string) asn1.RawValue {
		return func(s string) asn1.RawValue {
			var b []byte
			for _, r := range s {
				switch tag {
				case 28: // UniversalString
					b = append(b, 0, 0, 0)
				case asn1.TagBMPString:
					b = append(b, 0)
				}
				b = append(b, byte(r))
			}
			return asn1.RawValue{Tag: tag, Bytes: b}
		}
	}
	for name, test := range map[string]struct {
		given, surname string
		tag            int
		known          bool // to crypto/x509
	}{
		"PrintableString, Latin-1": {"NICCOLÒ", "DI PROVA", asn1.TagPrintableString, false},
		"PrintableString, _":       {"ADA_NIVES", "ESEMPIO", asn1.TagPrintableString, false},
		"IA5String, Latin-1":       {"NICCOLÒ", "DI PROVA", asn1.TagIA5String, false},
		"UTF8String, Latin-1":      {"NICCOLÒ", "DI PROVA", asn1.TagUTF8String, false},
		"UniversalString":          {"NICCOLÒ", "DI PROVA", 28, false},
		"VisibleString":            {"NICCOLO", "DI PROVA", 26, false},
		"BMPString":                {"NICCOLÒ", "DI PROVA", asn1.TagBMPString, true},
		"TeletexString":            {"NICCOLÒ", "DI PROVA", asn1.TagT61String, true},
	} {
		for _, profile := range []string{"st", "idemia", "infocamere"} {
			t.Run(name+"/"+profile, func(t *testing.T) {
				person, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: test.given, Surname: test.surname,
					EncodeName: encode(test.tag), Key: virtualcard.Shared(2048).Key})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := x509.ParseCertificate(person.Certificate.Raw); (err == nil) != test.known {
					t.Errorf("crypto/x509: %v", err)
				}
				v := newVirtual(virtualcard.Config{Profile: profile, Person: person})
				card := v.open(t)
				if got, want := card.Info().Holder, test.given+" "+test.surname; got != want {
					t.Errorf("holder %q, want %q", got, want)
				}
				cert, err := card.Certificate(context.Background())
				if err != nil || !bytes.Equal(cert.Raw, person.Certificate.Raw) {
					t.Errorf("certificate: %v", err)
				}
				v.mustLogin(t)
				if v.Count(insVerify) != 1 {
					t.Errorf("%d VERIFY", v.Count(insVerify))
				}
			})
		}
	}
}
