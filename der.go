package crs

import "encoding/asn1"

// derReader reads one ASN.1 element after the other (X.690, section 8.1). Lengths need not be minimal.
// The first fault ends it and every reader that it made: what they return from then on is empty and
// must not be used.
type derReader struct {
	rest []byte
	bad  *bool
}

// Tags, as they are in certificates.
const (
	tagBoolean         = 0x01
	tagInteger         = 0x02
	tagBitString       = 0x03
	tagOctetString     = 0x04
	tagOID             = 0x06
	tagT61String       = 0x14
	tagUTCTime         = 0x17
	tagGeneralizedTime = 0x18
	tagUniversalString = 0x1c
	tagBMPString       = 0x1e
	tagSequence        = 0x30
	tagSet             = 0x31
	tagContext         = 0xa0 // and its number
	tagIssuerID        = 0x81 // [1] and [2], primitive
	tagSubjectID       = 0x82
)

func (r *derReader) fail() { *r.bad, r.rest = true, nil }

// more reports whether there is another element.
func (r *derReader) more() bool { return !*r.bad && len(r.rest) > 0 }

// tag returns the tag of the next element, 0 if there is none.
func (r *derReader) tag() byte {
	if !r.more() {
		return 0
	}
	return r.rest[0]
}

// next reads an element.
func (r *derReader) next() (tag byte, value []byte) {
	b := r.rest
	if *r.bad || len(b) < 2 || b[0]&0x1f == 0x1f { // tags of several bytes are in no certificate
		r.fail()
		return 0, nil
	}
	tag, n, at := b[0], int(b[1]), 2
	if n >= 0x80 {
		digits := n - 0x80
		if digits == 0 || digits > 4 || len(b) < at+digits { // 0: indefinite, the end shows where it ends
			r.fail()
			return 0, nil
		}
		n = 0
		for _, c := range b[at : at+digits] {
			n = n<<8 | int(c)
		}
		at += digits
	}
	if n < 0 || n > len(b)-at {
		r.fail()
		return 0, nil
	}
	r.rest = b[at+n:]
	return tag, b[at : at+n]
}

func (r *derReader) skip() { r.next() }

// value reads an element that has the given tag.
func (r *derReader) value(tag byte) []byte {
	got, value := r.next()
	if got != tag {
		r.fail()
		return nil
	}
	return value
}

// enter reads an element that has the given tag, and returns a reader of its content.
func (r *derReader) enter(tag byte) derReader { return derReader{r.value(tag), r.bad} }

// oid reads an object identifier, nil for one that is longer, or has larger numbers, than any that
// is looked for here.
func (r *derReader) oid() asn1.ObjectIdentifier {
	value := r.value(tagOID)
	if len(value) > 0x7f {
		return nil
	}
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(append([]byte{tagOID, byte(len(value))}, value...), &id); err != nil {
		return nil
	}
	return id
}

// bitString reads the bytes of a bit string.
func (r *derReader) bitString() []byte {
	value := r.value(tagBitString)
	if len(value) == 0 {
		r.fail()
		return nil
	}
	return value[1:]
}
