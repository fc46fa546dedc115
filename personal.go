package crs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// PersonalData is EF.DatiPersonali of a CNS (file 3F00/1100/1102), in the order of the file.
// Empty fields are "". Dates are DDMMYYYY, municipalities Belfiore codes. Nothing in it is
// covered by a login's signature.
type PersonalData struct {
	IssuerCode            string `json:"issuerCode"`
	IssueDate             string `json:"issueDate"`
	ExpiryDate            string `json:"expiryDate"`
	Surname               string `json:"surname"`
	Name                  string `json:"name"`
	BirthDate             string `json:"birthDate"`
	Sex                   string `json:"sex"`
	Height                string `json:"height"`
	CodiceFiscale         string `json:"codiceFiscale"`
	Citizenship           string `json:"citizenship"`
	BirthMunicipality     string `json:"birthMunicipality"`
	BirthCountry          string `json:"birthCountry"`
	BirthAct              string `json:"birthAct"`
	ResidenceMunicipality string `json:"residenceMunicipality"`
	ResidenceAddress      string `json:"residenceAddress"`
	ExpatriationNote      string `json:"expatriationNote"`
}

// fields lists the 16 fields in the order of the file.
func (p *PersonalData) fields() [16]*string {
	return [16]*string{
		&p.IssuerCode, &p.IssueDate, &p.ExpiryDate, &p.Surname, &p.Name, &p.BirthDate,
		&p.Sex, &p.Height, &p.CodiceFiscale, &p.Citizenship, &p.BirthMunicipality,
		&p.BirthCountry, &p.BirthAct, &p.ResidenceMunicipality, &p.ResidenceAddress,
		&p.ExpatriationNote,
	}
}

const (
	personalDataHeader = 6                                // six hex digits: the length
	maxPersonalData    = personalDataHeader + 16*(2+0xff) // no file can need more
)

// ParsePersonalData reads EF.DatiPersonali: a length of six hex digits, 16 fields of two hex
// digits and that many characters, padding of 00, FF or blanks. The length counts itself on the cards
// that were seen and does not in OpenSC's code: both are accepted.
//
// Issuers write the file in more than one way, and one odd byte is no reason to lose a whole record.
// Characters are Latin-1, those that it lacks are read as Windows-1252, and what is no character in
// either is U+FFFD. Last fields that are missing, or cut off with the file, are empty. The length, or
// the padding, must confirm where the fields end, else they may have been read from the wrong place.
//
// A file that was never written, or holds 16 empty fields, is ErrNoPersonalData. Other errors name
// the offset. On error the result is zero.
func ParsePersonalData(b []byte) (PersonalData, error) {
	p, _, err := parsePersonalData(b)
	return p, err
}

// PersonalDataContent returns the part of EF.DatiPersonali before the padding, as it is on the card.
func PersonalDataContent(b []byte) ([]byte, error) {
	_, end, err := parsePersonalData(b)
	if err != nil {
		return nil, err
	}
	return b[:end], nil
}

func parsePersonalData(b []byte) (p PersonalData, end int, err error) {
	if len(b) > maxPersonalData {
		return PersonalData{}, 0, dataError(maxPersonalData, "file of %d bytes", len(b))
	}
	if isPadding(b) {
		return PersonalData{}, 0, ErrNoPersonalData
	}
	declared, err := hexLength(b, 0, personalDataHeader)
	if err != nil {
		return PersonalData{}, 0, err
	}
	at := personalDataHeader
	endsHere := func() bool { return declared == at || declared == at-personalDataHeader || isPadding(b[at:]) }
	cut := false // the file ends before the content does
	for _, field := range p.fields() {
		if isPadding(b[at:]) {
			break
		}
		n, err := hexLength(b, at, 2)
		if cut = declared > len(b) && at+2+n > len(b); cut || err != nil && endsHere() {
			break
		}
		if err != nil {
			return PersonalData{}, 0, err
		}
		at += 2
		if at+n > len(b) {
			return PersonalData{}, 0, dataError(at, "field of %d bytes, %d left", n, len(b)-at)
		}
		*field = decodeText(b[at : at+n])
		at += n
	}
	switch {
	case !cut && !endsHere():
		return PersonalData{}, 0, dataError(0, "declared length %d, the fields end at %d", declared, at)
	case p == (PersonalData{}):
		return PersonalData{}, 0, ErrNoPersonalData
	}
	return p, at, nil
}

// isPadding reports whether nothing was written to a part of the file.
func isPadding(b []byte) bool { return len(bytes.Trim(b, "\x00\xff ")) == 0 }

// Encode writes the file without padding, its length counting itself. It fails when a field is longer
// than 255 characters, or holds one that the file cannot.
func (p PersonalData) Encode() ([]byte, error) {
	var body []byte
	for i, field := range p.fields() {
		var value []byte
		for _, r := range *field {
			c, ok := encodeRune(r)
			if !ok {
				return nil, fmt.Errorf("personal data field %d holds a character that the file cannot", i)
			}
			value = append(value, c)
		}
		if len(value) > 0xff {
			return nil, fmt.Errorf("personal data field %d has %d characters", i, len(value))
		}
		body = append(body, fmt.Sprintf("%02X", len(value))...)
		body = append(body, value...)
	}
	return append(fmt.Appendf(nil, "%06X", personalDataHeader+len(body)), body...), nil
}

func hexLength(b []byte, at, digits int) (int, error) {
	if at+digits > len(b) {
		return 0, dataError(at, "the file ends within a length")
	}
	n := 0
	for i := at; i < at+digits; i++ {
		d := strings.IndexByte("0123456789ABCDEF", b[i])
		if d < 0 {
			d = strings.IndexByte("0123456789abcdef", b[i])
		}
		if d < 0 {
			return 0, dataError(i, "byte %02X is no hex digit", b[i])
		}
		n = n<<4 | d
	}
	return n, nil
}

// windows1252 is what Windows-1252 has at 80h to 9Fh, where Latin-1 has control characters; a
// space stands for the five that it leaves open.
var windows1252 = []rune("€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ")

const unassigned = 0x81 // in Windows-1252

// decodeText reads the characters of a field, without the blanks or zeros that fill it up.
func decodeText(b []byte) string {
	var s strings.Builder
	for _, c := range bytes.TrimRight(b, " \x00") {
		s.WriteRune(decodeByte(c))
	}
	return s.String()
}

// decodeByte reads one character, U+FFFD for what is none.
func decodeByte(c byte) rune {
	r := rune(c)
	if 0x80 <= c && c <= 0x9f {
		r = windows1252[c-0x80]
	}
	if _, ok := encodeRune(r); !ok || r == ' ' && c != ' ' {
		return utf8.RuneError
	}
	return r
}

// encodeRune returns the byte that decodeText reads as r.
func encodeRune(r rune) (byte, bool) {
	switch {
	case r == utf8.RuneError:
		return unassigned, true
	case ' ' <= r && r <= '~' || 0xa0 <= r && r <= 0xff:
		return byte(r), true
	}
	i := slices.Index(windows1252, r)
	return byte(0x80 + i), i >= 0
}

var errPersonalData = errors.New("EF.DatiPersonali")

func dataError(offset int, format string, args ...any) error {
	return fmt.Errorf("%w, offset %d: %s", errPersonalData, offset, fmt.Sprintf(format, args...))
}
