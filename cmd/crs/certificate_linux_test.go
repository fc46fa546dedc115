package main

import (
	"bytes"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
	webportal "github.com/crs-bridge/crs/portal"
)

// A certificate that crypto/x509 refuses: its holder logs in, the portal gets the bytes of the card,
// and one that is written in Go says why it cannot take them.
func TestCertificateThatX509Refuses(t *testing.T) {
	person, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "NICCOLÒ", Surname: "DI_PROVA",
		EncodeName: func(s string) asn1.RawValue {
			var latin1 []byte
			for _, r := range s {
				latin1 = append(latin1, byte(r))
			}
			return asn1.RawValue{Tag: asn1.TagPrintableString, Bytes: latin1}
		}})
	if err != nil {
		t.Fatal(err)
	}
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN, Person: person})
	serve.Next(citizen.CardReady)
	serve.Answer("s", citizen.PIN)
	l := open(t, citizen.Portale).mustLogIn()
	var token crs.Token
	if err := json.Unmarshal(l.tokenJSON, &token); err != nil || !bytes.Equal(token.UnverifiedCertificate, person.Certificate.Raw) {
		t.Errorf("the token holds another certificate: %v", err)
	}
	_, err = verify(l, person.CA)
	var refusal *webportal.Error
	if !errors.As(err, &refusal) || refusal.Reason != webportal.ReasonCertificate {
		t.Errorf("the portal says %v", err)
	}
	if card.Secrets() != 1 {
		t.Errorf("%d PINs for one typing", card.Secrets())
	}
	openssl(t, l)
}
