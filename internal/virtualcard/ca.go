package virtualcard

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/crs-bridge/crs"
)

// CA is a throw-away certification authority. Its key lives in memory and nowhere else.
type CA struct {
	Certificate *x509.Certificate
	key         *rsa.PrivateKey
}

// NewCA makes a CA with a new key. The label stands in its name.
func NewCA(label string) (*CA, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{Country: []string{"IT"}, Organization: []string{label + " S.p.A."},
			OrganizationalUnit: []string{"Servizi di Certificazione"}, CommonName: label + " - CA Cittadini"},
		// Wide, so that expired certificates can be issued too.
		NotBefore:             now.AddDate(-20, 0, 0),
		NotAfter:              now.AddDate(20, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert, key}, nil
}

// issue makes an authentication certificate as the AgID profile wants it. With the key sizes
// of real cards it is 1,400 to 1,450 bytes long.
func (ca *CA) issue(id Identity, cn string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	serial.SetBit(serial, 126, 1) // 16 bytes, always
	policies, err := policyExtension(id.Policies, id.Issuer)
	if err != nil {
		return nil, err
	}
	host := strings.ToLower(strings.ReplaceAll(id.Issuer, " ", "-")) + ".invalid" // RFC 2606: resolves nowhere
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Country:            []string{"IT"},
			Organization:       []string{id.Issuer + " S.p.A."},
			OrganizationalUnit: []string{id.Issuer + " - carta inventata"},
			CommonName:         cn,
			ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: id.name(id.GivenName)},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: id.name(id.Surname)},
			},
		},
		NotBefore:             id.NotBefore,
		NotAfter:              id.NotAfter,
		KeyUsage:              id.KeyUsage,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection},
		OCSPServer:            []string{"http://ocsp." + host + "/cittadini"},
		IssuingCertificateURL: []string{"http://ca." + host + "/cittadini/authentication.cer"},
		CRLDistributionPoints: []string{"http://crl." + host + "/cittadini/authentication.crl"},
		ExtraExtensions:       policies,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Certificate, id.Key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	if id.EncodeName != nil {
		return crs.ParseCertificate(der)
	}
	return x509.ParseCertificate(der)
}

// name returns a name as the certificate has it.
func (id Identity) name(s string) any {
	if id.EncodeName == nil {
		return s
	}
	return id.EncodeName(s)
}

// policyExtension returns certificatePolicies (RFC 5280, section 4.2.1.4) with a notice for
// the reader, which crypto/x509 cannot write; nothing when there are no policies.
func policyExtension(policies []string, issuer string) ([]pkix.Extension, error) {
	if len(policies) == 0 {
		return nil, nil
	}
	type notice struct {
		ExplicitText string `asn1:"utf8"`
	}
	type noticeQualifier struct {
		ID     asn1.ObjectIdentifier
		Notice notice
	}
	type policy struct {
		ID         asn1.ObjectIdentifier
		Qualifiers []noticeQualifier `asn1:"omitempty"`
	}
	var all []policy
	for i, dotted := range policies {
		oid, err := parseOID(dotted)
		if err != nil {
			return nil, err
		}
		p := policy{ID: oid}
		if i == 0 {
			text := issuer + ": certificate of an invented person, for authentication with an invented National Service Card (CNS). It proves nothing about anybody, anywhere."
			p.Qualifiers = []noticeQualifier{{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 2, 2}, notice{text}}}
		}
		all = append(all, p)
	}
	der, err := asn1.Marshal(all)
	if err != nil {
		return nil, err
	}
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 32}, Value: der}}, nil
}

func parseOID(dotted string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	for _, part := range strings.Split(dotted, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("policy %q is no object identifier", dotted)
		}
		oid = append(oid, n)
	}
	return oid, nil
}
