package crs

import (
	"bytes"
	"errors"
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
	shorter := fmt.Sprintf("%06X", len(good)-1)
	for name, test := range map[string]struct {
		b      []byte
		offset int
	}{
		"odd length":              {good[:5], 0},
		"no hex":                  {change(2, "x"), 2},
		"sign in length":          {change(0, "+"), 0},
		"first field no hex":      {change(6, "4g"), 7},
		"field beyond end":        {change(len(good)-24, "FF"), len(good) - 22},
		"field that takes others": {change(6, "0F"), 25},
		"garbage, wrong length":   {append(change(0, shorter), 0, 'x'), 0},
		"garbage, no length":      {append(change(0, "FFFFFF"), 'x'), 0},
		"text":                    {[]byte("not a record at all, however long it may be"), 0},
		"too long":                {append(bytes.Clone(good), make([]byte, 5000)...), maxPersonalData},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePersonalData(test.b)
			if err == nil || p != (PersonalData{}) {
				t.Errorf("accepted, %+v", p)
			} else if want := fmt.Sprintf("offset %d:", test.offset); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "BIANCHI") {
				t.Errorf("%q, want %q", err, want)
			}
		})
	}
}

// What was seen on cards, or is likely to be, loses no more than it must.
func TestPersonalDataLenient(t *testing.T) {
	good := encoded(t, invented)
	change := func(at int, with string) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	missing := func(n int) []byte { // the last n fields, which are short
		content := encoded(t, PersonalData{IssuerCode: "6090", Surname: "BIANCHI", Name: "ADA NIVES", CodiceFiscale: "BNCDVS96B69Z999X"})
		content = content[:len(content)-2*n]
		return append(fmt.Appendf(nil, "%06X", len(content)), content[6:]...)
	}
	few := PersonalData{IssuerCode: "6090", Surname: "BIANCHI", Name: "ADA NIVES", CodiceFiscale: "BNCDVS96B69Z999X"}
	with := func(edit func(*PersonalData)) PersonalData {
		p := invented
		edit(&p)
		return p
	}
	address := bytes.Index(good, []byte("VIA"))
	for name, test := range map[string]struct {
		file []byte
		want PersonalData
	}{
		"Windows-1252 apostrophe": {change(address+8, "\x92"), with(func(p *PersonalData) { p.ResidenceAddress = "VIA DELL’ESEMPIO 1/À" })},
		"Windows-1252 letters":    {change(address+4, "\x8a\x8e\x9f\x80"), with(func(p *PersonalData) { p.ResidenceAddress = "VIA ŠŽŸ€'ESEMPIO 1/À" })},
		"not in Windows-1252":     {change(address+4, "\x81\x8d\x8f\x90\x9d"), with(func(p *PersonalData) { p.ResidenceAddress = "VIA \ufffd\ufffd\ufffd\ufffd\ufffdESEMPIO 1/À" })},
		"control characters":      {change(address, "\x1b\x00\x7f"), with(func(p *PersonalData) { p.ResidenceAddress = "\ufffd\ufffd\ufffd DELL'ESEMPIO 1/À" })},
		"field filled up":         {change(address+15, "   \x00\x00"), with(func(p *PersonalData) { p.ResidenceAddress = "VIA DELL'ESEMPI" })},
		"three fields missing":    {missing(3), few},
		"three missing, padded":   {append(missing(3), make([]byte, 99)...), few},
		"three missing, garbage":  {append(missing(3), "\x00\x00text"...), few},
		"one missing, FF":         {append(missing(1), 0xff, 0xff), few},
		"blanks as padding":       {append(bytes.Clone(good), "        "...), invented},
		"mixed padding":           {append(bytes.Clone(good), " \x00\xff"...), invented},
		"garbage after":           {append(bytes.Clone(good), "\x00text"...), invented},
		"garbage at once":         {append(bytes.Clone(good), "text"...), invented},
		"length too small":        {change(0, "000000"), invented},
		"length too large":        {change(0, "FFFFFF"), invented},
		"cut within the address":  {good[:len(good)-12], with(func(p *PersonalData) { p.ResidenceAddress = "" })},
		"cut within a length":     {good[:len(good)-1], invented},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePersonalData(test.file)
			if err != nil || p != test.want {
				t.Fatalf("%+v, %v; want %+v", p, err, test.want)
			}
			again, err := ParsePersonalData(encoded(t, p))
			if err != nil || again != p {
				t.Errorf("written and read again: %+v, %v", again, err)
			}
			content, err := PersonalDataContent(test.file)
			if err != nil || !bytes.HasPrefix(test.file, content) || bytes.HasSuffix(content, []byte("text")) {
				t.Errorf("content %q, %v", content, err)
			}
		})
	}
}

// A file that ends anywhere gives right fields and empty ones, never half a field.
func TestPersonalDataCut(t *testing.T) {
	good := encoded(t, invented)
	for i := range good {
		p, err := ParsePersonalData(good[:i])
		if err != nil {
			if p != (PersonalData{}) {
				t.Errorf("%d bytes: data beside an error", i)
			}
			continue
		}
		whole := invented
		for k, field := range p.fields() {
			if *field != "" && *field != *whole.fields()[k] {
				t.Errorf("%d bytes: field %d is %q", i, k, *field)
			}
		}
		if i > 60 && p.IssuerCode == "" {
			t.Errorf("%d bytes: nothing was read", i)
		}
	}
}

func TestPersonalDataUnwritten(t *testing.T) {
	for name, file := range map[string][]byte{
		"empty":         nil,
		"zeros":         make([]byte, 400),
		"FF":            bytes.Repeat([]byte{0xff}, 400),
		"blanks":        bytes.Repeat([]byte{' '}, 400),
		"empty fields":  append(encoded(t, PersonalData{}), make([]byte, 50)...),
		"length only":   []byte("000006"),
		"length, zeros": append([]byte("000000"), make([]byte, 394)...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParsePersonalData(file); !errors.Is(err, ErrNoPersonalData) {
				t.Errorf("%v", err)
			}
			if content, err := PersonalDataContent(file); content != nil || !errors.Is(err, ErrNoPersonalData) {
				t.Errorf("content %q, %v", content, err)
			}
		})
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
	f.Add(append(encoded(f, PersonalData{Name: "D’ESEMPIO \ufffd"})[:18], 0x92, 0x81, ' '))
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
