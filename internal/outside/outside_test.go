package outside

import (
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for raw, want := range map[string]string{
		"":                           "",
		"Virtual PCD 00 00":          "Virtual PCD 00 00",
		"Lettore carità":             "Lettore carità",
		"Lettore carit\xe0 00 00":    "Lettore carità 00 00",
		"M\xfcnchen \xa9":            "München ©",
		"Lettore carit\xc3":          "Lettore caritÃ", // cut within a letter
		"carità e libert\xe0":        "carità e libertà",
		"\x80\x9f":                   "\uFFFD\uFFFD",  // controls in Latin-1
		"\xed\xa0\x80":               "í\u00a0\uFFFD", // half a surrogate pair
		"already a mark \uFFFD":      "already a mark \uFFFD",
		"\uFFFD and \xe8":            "\uFFFD and è",
		"line\nand \x1b escape stay": "line\nand \x1b escape stay", // not printable is another matter
	} {
		t.Run(raw, func(t *testing.T) {
			got := Text(raw)
			if got != want || !utf8.ValidString(got) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	f.Add("Lettore carit\xe0")
	f.Fuzz(func(t *testing.T, raw string) {
		got := Text(raw)
		if !utf8.ValidString(got) || Text(got) != got || utf8.ValidString(raw) && got != raw {
			t.Errorf("%q becomes %q", raw, got)
		}
	})
}
