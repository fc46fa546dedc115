package crs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

var invented = PersonalData{
	IssuerCode: "6090", IssueDate: "01022024", ExpiryDate: "31012030",
	Surname: "BIANCHI", Name: "ADA NIVES", BirthDate: "29021896", Sex: "F",
	CodiceFiscale: "BNCDVS96B69Z999X", BirthMunicipality: "Z999", ResidenceMunicipality: "Z998",
	ResidenceAddress: "VIA DELL'ESEMPIO 1/À",
}

func encoded(t testing.TB, p PersonalData) []byte {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPersonalDataBothLengths(t *testing.T) {
	content := encoded(t, invented)
	exclusive := append(fmt.Appendf(nil, "%06X", len(content)-6), content[6:]...)
	for name, b := range map[string][]byte{
		"inclusive": content, "exclusive": exclusive,
		"lower case": bytes.ToLower(content[:6]),
	} {
		if name == "lower case" {
			b = append(b, content[6:]...)
		}
		for _, padding := range [][]byte{nil, make([]byte, 400-len(b)), bytes.Repeat([]byte{0xFF}, 9)} {
			file := append(bytes.Clone(b), padding...)
			p, err := ParsePersonalData(file)
			if err != nil || p != invented {
				t.Errorf("%s, padding %d: %+v %v", name, len(padding), p, err)
			}
			if c, err := PersonalDataContent(file); err != nil || !bytes.Equal(c, b) {
				t.Errorf("%s: content of %d bytes, %v", name, len(c), err)
			}
		}
	}
}

func TestPersonalDataRefuses(t *testing.T) {
	good := encoded(t, invented)
	change := func(at int, with string) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	for name, test := range map[string]struct {
		b      []byte
		offset int
	}{
		"empty":               {nil, 0},
		"odd length":          {good[:5], 0},
		"no hex":              {change(2, "x"), 2},
		"sign in length":      {change(0, "+"), 0},
		"length too small":    {change(0, "000000"), 0},
		"length too large":    {change(0, "FFFFFF"), 0},
		"first field no hex":  {change(6, "4g"), 7},
		"field beyond end":    {change(len(good)-24, "FF"), len(good) - 22},
		"ends within a field": {good[:len(good)-12], len(good) - 22},
		"ends within length":  {good[:len(good)-1], len(good) - 2},
		"control character":   {change(8, "\x1b"), 8},
		"NUL in field":        {change(9, "\x00"), 9},
		"C1 control":          {change(9, "\x85"), 9},
		"late control":        {change(len(good)-4, "\x07"), len(good) - 4},
		"garbage after":       {append(bytes.Clone(good), 0, 'x'), len(good) + 1},
		"too long":            {append(bytes.Clone(good), make([]byte, 5000)...), maxPersonalData},
	} {
		p, err := ParsePersonalData(test.b)
		if err == nil || p != (PersonalData{}) {
			t.Errorf("%s: accepted, %+v", name, p)
		} else if want := fmt.Sprintf("offset %d:", test.offset); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "BIANCHI") {
			t.Errorf("%s: %q, want %q", name, err, want)
		}
	}
	for i := range good {
		if _, err := ParsePersonalData(good[:i]); err == nil {
			t.Errorf("the first %d bytes were accepted", i)
		}
	}
}

func TestPersonalDataEncodeRefuses(t *testing.T) {
	for _, value := range []string{strings.Repeat("x", 256), "日", "\n"} {
		if _, err := (PersonalData{Name: value}).Encode(); err == nil {
			t.Errorf("%q was written", value)
		}
	}
}

func FuzzT17PersonalData(f *testing.F) {
	f.Add(encoded(f, invented))
	f.Add(encoded(f, PersonalData{}))
	f.Add([]byte("000065"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePersonalData(b)
		if err != nil {
			if p != (PersonalData{}) {
				t.Error("data beside an error")
			}
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParsePersonalData(again)
		if err != nil || second != p {
			t.Errorf("not stable: %v", err)
		}
	})
}
