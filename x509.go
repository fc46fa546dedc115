package crs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseCertificate reads what this software needs of a certificate on a card: names, validity, public
// key, key usage, extended key usage as far as it concerns clients, policies, and whether it
// belongs to an authority. Other fields are zero: crypto/x509 cannot verify it. Raw is the
// certificate as it is, which is what a portal gets, without any bytes after it. PublicKey is nil
// unless it is an RSA key or one on P-256 or P-384.
//
// crypto/x509 refuses a certificate for a letter that its string type does not allow, a negative
// serial number, a length in too long a form, a curve that is written out. Issuers make such
// certificates, and nothing of that keeps a card from logging in. So what is needed is found by its
// place (RFC 5280, section 4.1), and the rest is skipped.
//
// The error is ErrCertificate. On error the result is nil.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	bad := len(der) > maxCertificate
	file := derReader{der, &bad}
	outer := file.enter(tagSequence)
	cert := &x509.Certificate{Raw: der[: len(der)-len(file.rest) : len(der)-len(file.rest)]}

	tbs := outer.enter(tagSequence)
	var version []byte
	if tbs.tag() == tagContext+0 {
		explicit := tbs.enter(tagContext + 0)
		version = explicit.value(tagInteger)
	}
	tbs.skip() // serial number
	tbs.skip() // signature algorithm
	cert.Issuer = tbs.name()
	validity := tbs.enter(tagSequence)
	cert.NotBefore, cert.NotAfter = validity.time(), validity.time()
	cert.Subject = tbs.name()
	cert.PublicKey = tbs.publicKey()
	switch cert.PublicKey.(type) {
	case *rsa.PublicKey:
		cert.PublicKeyAlgorithm = x509.RSA
	case *ecdsa.PublicKey:
		cert.PublicKeyAlgorithm = x509.ECDSA
	}
	for tbs.tag() == tagIssuerID || tbs.tag() == tagSubjectID {
		tbs.skip()
	}
	// The portal's verifier sees extensions only in this place, and only in version 3: others must
	// not make a certificate that of a CNS here.
	if bytes.Equal(version, []byte{2}) && tbs.tag() == tagContext+3 {
		explicit := tbs.enter(tagContext + 3)
		list := explicit.enter(tagSequence)
		seen := map[string]bool{}
		for list.more() {
			list.extension(cert, seen)
		}
	}
	outer.skip() // signature algorithm
	outer.skip() // signature
	if bad {
		return nil, ErrCertificate
	}
	return cert, nil
}

const maxCertificate = 64 << 10

// extension reads one extension, if it is needed here. A repeated one is bad: the second would undo
// what the first says.
func (r *derReader) extension(cert *x509.Certificate, seen map[string]bool) {
	ext := r.enter(tagSequence)
	id := ext.oid()
	if ext.tag() == tagBoolean { // critical
		ext.skip()
	}
	value := ext.enter(tagOctetString)
	switch name := id.String(); name {
	case "2.5.29.15", "2.5.29.19", "2.5.29.32", "2.5.29.37":
		if seen[name] {
			r.fail()
		}
		seen[name] = true
	}
	switch id.String() {
	case "2.5.29.15":
		bits := value.bitString()
		for i := range 9 {
			if i/8 < len(bits) && bits[i/8]&(0x80>>(i%8)) != 0 {
				cert.KeyUsage |= 1 << i
			}
		}
	case "2.5.29.19":
		constraints := value.enter(tagSequence)
		cert.BasicConstraintsValid = true
		if constraints.tag() == tagBoolean {
			cert.IsCA = !bytes.Equal(constraints.value(tagBoolean), []byte{0})
		}
	case "2.5.29.32":
		list := value.enter(tagSequence)
		for list.more() {
			policy := list.enter(tagSequence)
			if id := policy.oid(); id != nil {
				cert.PolicyIdentifiers = append(cert.PolicyIdentifiers, id)
			}
		}
	case "2.5.29.37":
		list := value.enter(tagSequence)
		for list.more() {
			if list.oid().Equal(oidClientAuth) {
				cert.ExtKeyUsage = append(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
			}
		}
	}
}

var (
	oidClientAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	oidRSA        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC         = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256       = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384       = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
)

// name reads a Name (RFC 5280, section 4.1.2.4).
func (r *derReader) name() (name pkix.Name) {
	var all pkix.RDNSequence
	list := r.enter(tagSequence)
	for list.more() {
		var relative pkix.RelativeDistinguishedNameSET
		set := list.enter(tagSet)
		for set.more() {
			attribute := set.enter(tagSequence)
			id := attribute.oid()
			tag, value := attribute.next()
			relative = append(relative, pkix.AttributeTypeAndValue{Type: id, Value: decodeString(tag, value)})
		}
		all = append(all, relative)
	}
	name.FillFromRDNSequence(&all)
	return name
}

// decodeString reads a string of any type. The type says what characters it may hold, and issuers put
// others in: what is not UTF-8 is Latin-1, or Windows-1252 where that has no letter.
func decodeString(tag byte, b []byte) string {
	switch {
	case tag == tagBMPString:
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units))
	case tag == tagUniversalString:
		var s strings.Builder
		for ; len(b) >= 4; b = b[4:] {
			s.WriteRune(rune(min(binary.BigEndian.Uint32(b), utf8.MaxRune+1)))
		}
		return s.String()
	case tag != tagT61String && utf8.Valid(b):
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(decodeByte(c))
	}
	return s.String()
}

// time reads a Time. Seconds may be missing, and the zone need not be UTC.
func (r *derReader) time() time.Time {
	tag, value := r.next()
	var layouts []string
	switch tag {
	case tagUTCTime:
		layouts = []string{"060102150405Z0700", "0601021504Z0700"}
	case tagGeneralizedTime:
		layouts = []string{"20060102150405Z0700", "200601021504Z0700"}
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, string(value))
		if err != nil {
			continue
		}
		if tag == tagUTCTime && t.Year() >= 2050 { // RFC 5280, section 4.1.2.5.1
			t = t.AddDate(-100, 0, 0)
		}
		return t.UTC()
	}
	r.fail()
	return time.Time{}
}

// publicKey reads SubjectPublicKeyInfo, nil for a key that cannot be used here.
func (r *derReader) publicKey() any {
	info := r.enter(tagSequence)
	algorithm := info.enter(tagSequence)
	id := algorithm.oid()
	key := info.bitString()
	if *r.bad {
		return nil
	}
	unusable := false // of the key alone: the certificate can still be read
	switch {
	case id.Equal(oidRSA):
		file := derReader{key, &unusable}
		parts := file.enter(tagSequence)
		n := new(big.Int).SetBytes(parts.value(tagInteger)) // unsigned: some issuers leave out the leading zero
		e := new(big.Int).SetBytes(parts.value(tagInteger))
		if unusable || n.BitLen() > maxRSAKey || e.BitLen() > 31 || e.Bit(0) == 0 || e.BitLen() < 2 {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	case id.Equal(oidEC):
		algorithm.bad = &unusable
		curve := algorithm.curve()
		if unusable || curve == nil {
			return nil
		}
		public, err := ecdsa.ParseUncompressedPublicKey(curve, key)
		if err != nil {
			return nil
		}
		return public
	}
	return nil
}

const maxRSAKey = 16 << 10 // bits

// curve reads the parameters of a key (SEC 1, section C.2): the name of a curve, or its numbers
// written out, which must be those of a named curve.
func (r *derReader) curve() elliptic.Curve {
	if r.tag() == tagOID {
		switch id := r.oid(); {
		case id.Equal(oidP256):
			return elliptic.P256()
		case id.Equal(oidP384):
			return elliptic.P384()
		}
		return nil
	}
	written := r.enter(tagSequence)
	written.skip() // version
	field := written.enter(tagSequence)
	field.oid()
	p := field.value(tagInteger)
	coefficients := written.enter(tagSequence)
	a, b := coefficients.value(tagOctetString), coefficients.value(tagOctetString)
	base, order := written.value(tagOctetString), written.value(tagInteger)
	is := func(b []byte, n *big.Int) bool { return new(big.Int).SetBytes(b).Cmp(n) == 0 }
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		c := curve.Params()
		size := (c.BitSize + 7) / 8
		if is(p, c.P) && is(a, new(big.Int).Sub(c.P, big.NewInt(3))) && is(b, c.B) && is(order, c.N) &&
			len(base) == 1+2*size && base[0] == 4 && is(base[1:1+size], c.Gx) && is(base[1+size:], c.Gy) {
			return curve
		}
	}
	return nil
}
