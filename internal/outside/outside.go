// Package outside makes text of bytes that others chose: the driver of a reader, the module of a
// token, the name of a file. They need not be UTF-8, and invalid UTF-8 breaks JSON, and with it
// every program that waits for an answer. They become text once, where they enter; what goes back
// to where they came from stays raw.
package outside

import (
	"strings"
	"unicode/utf8"
)

// Text returns s if it is UTF-8. Otherwise it reads the invalid bytes as Latin-1, which is what
// drivers and file systems in this part of the world mean by them: a reader called "Lettore carità"
// keeps its name.
func Text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 && s[0] >= 0xA0 {
			r = rune(s[0])
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}
