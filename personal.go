package crs

import (
	"errors"
	"fmt"
	"strings"
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
// digits and that many Latin-1 characters, padding of 00 or FF. The length counts itself on
// the cards that were seen and does not in OpenSC's code: both are accepted, if they fit.
// Errors tell the offset. On error the result is zero.
func ParsePersonalData(b []byte) (PersonalData, error) {
	p, _, err := parsePersonalData(b)
	return p, err
}

// PersonalDataContent returns the part of EF.DatiPersonali before the padding.
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
	declared, err := hexLength(b, 0, personalDataHeader)
	if err != nil {
		return PersonalData{}, 0, err
	}
	at := personalDataHeader
	for _, field := range p.fields() {
		n, err := hexLength(b, at, 2)
		if err != nil {
			return PersonalData{}, 0, err
		}
		at += 2
		if at+n > len(b) {
			return PersonalData{}, 0, dataError(at, "field of %d bytes, %d left", n, len(b)-at)
		}
		if *field, err = latin1(b, at, at+n); err != nil {
			return PersonalData{}, 0, err
		}
		at += n
	}
	if declared != at && declared != at-personalDataHeader {
		return PersonalData{}, 0, dataError(0, "declared length %d, the fields end at %d", declared, at)
	}
	for i := at; i < len(b); i++ {
		if b[i] != 0x00 && b[i] != 0xff {
			return PersonalData{}, 0, dataError(i, "byte %02X after the last field", b[i])
		}
	}
	return p, at, nil
}

// Encode writes the file without padding, its length counting itself. It fails when a field
// is longer than 255 characters or not Latin-1.
func (p PersonalData) Encode() ([]byte, error) {
	var body []byte
	for i, field := range p.fields() {
		var value []byte
		for _, r := range *field {
			if !printable(r) {
				return nil, fmt.Errorf("personal data field %d holds a character that the file cannot", i)
			}
			value = append(value, byte(r))
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

func latin1(b []byte, from, to int) (string, error) {
	var s strings.Builder
	for i := from; i < to; i++ {
		if !printable(rune(b[i])) {
			return "", dataError(i, "byte %02X is no character", b[i])
		}
		s.WriteRune(rune(b[i]))
	}
	return s.String(), nil
}

// printable reports whether r is a printable character of Latin-1.
func printable(r rune) bool { return r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xff }

var errPersonalData = errors.New("EF.DatiPersonali")

func dataError(offset int, format string, args ...any) error {
	return fmt.Errorf("%w, offset %d: %s", errPersonalData, offset, fmt.Sprintf(format, args...))
}
