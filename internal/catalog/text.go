package catalog

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is one dialog, for a window or the terminal to show: what stands before the site that
// asks, the site, what stands after it, and the answers. Before and After are paragraphs, one
// empty line between them.
//
// A screen must show all of it literally. What comes from outside (hosts, holders, readers) has
// been made harmless: one line, no control characters, of bounded length.
type Text struct {
	Kind   Kind `json:"-"` // not sent: a tray of an older version refuses unknown fields
	Title  string
	Before string
	Site   string // the host, shown large; "" if no site asks
	After  string
	Yes    string // the answer that goes on, "" if there is none
	No     string // the answer that does not, "" if there is none
	Prompt string // what the terminal asks for in its last line
	Again  string // what the terminal says to an invalid answer
}

// Kind says which dialog a Text is, for programs that answer it, such as tests.
type Kind string

// The kinds, with the method of dialog.Screen that shows each.
const (
	KindAllow    Kind = "allow"    // the first-time question (Ask)
	KindInsert   Kind = "insert"   // a card is needed (Wait)
	KindPick     Kind = "pick"     // which card (Choose)
	KindPersonal Kind = "personal" // whether the site gets the personal data (Ask)
	KindPIN      Kind = "pin"      // the PIN (AskPIN)
	KindPINOrPUK Kind = "pinorpuk" // which of them was typed (Ask)
	KindLastTry  Kind = "last"     // whether to risk what may be the last try (Ask)
	KindReport   Kind = "report"   // what went wrong (Tell)

	KindReader   Kind = "reader"   // whether to go on to the keys of the reader (Ask)
	KindType     Kind = "type"     // type the PIN on the reader now (Wait)
	KindChange   Kind = "change"   // type the old PIN and the new one there now (Wait)
	KindProve    Kind = "prove"    // type the new one there once more (Wait)
	KindKeyboard Kind = "keyboard" // whether to use the keyboard from now on (Ask)

	KindOldPIN   Kind = "old"     // the current PIN, before a change (AskPIN)
	KindOffer    Kind = "offer"   // whether to unblock the PIN now (Ask)
	KindPUK      Kind = "puk"     // the PUK (AskPIN)
	KindNewPIN   Kind = "new"     // the new PIN (AskPIN)
	KindNewAgain Kind = "again"   // the new PIN once more (AskPIN)
	KindOutcome  Kind = "outcome" // what became of a change or an unblock (Tell)

	KindSites     Kind = "sites"     // about which site to decide anew (Choose), or that there is none (Tell)
	KindSite      Kind = "site"      // what to decide about it (Choose)
	KindDiagnosis Kind = "diagnosis" // what doctor found (Tell)
	KindFailed    Kind = "failed"    // what the menu could not do (Tell)
)

// Widths in characters. A site is wrapped earlier, because it is shown larger.
const (
	Width     = 66
	SiteWidth = 40
)

// String returns the text without title and answers, wrapped.
func (t Text) String() string {
	var parts []string
	for _, part := range []string{
		Wrap(t.Before, Width),
		indent(WrapHost(t.Site)),
		Wrap(t.After, Width),
	} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "\n\n")
}

func indent(s string) string {
	if s == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(s, "\n", "\n    ")
}

// Wrap breaks a text into lines of at most width characters, at a space if there is one.
func Wrap(s string, width int) string {
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		for utf8.RuneCountInString(line) > width {
			runes := []rune(line)
			cut := width
			for i := width; i > 0; i-- {
				if runes[i] == ' ' {
					cut = i
					break
				}
			}
			lines = append(lines, string(runes[:cut]))
			line = strings.TrimLeft(string(runes[cut:]), " ")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// WrapHost breaks a host into lines of at most SiteWidth characters, after a dot if there is one.
// Nothing is left out or added: without the line breaks it is the host again.
func WrapHost(host string) string {
	var lines []string
	for len(host) > SiteWidth {
		cut := strings.LastIndexByte(host[:SiteWidth], '.') + 1
		if cut == 0 {
			cut = SiteWidth
		}
		lines = append(lines, host[:cut])
		host = host[cut:]
	}
	return strings.Join(append(lines, host), "\n")
}

// literal makes a string from a card, a reader or an error safe to show: what is not printable
// (control and escape sequences, line breaks, marks that reverse the direction of text) becomes
// U+FFFD, and at most most characters are kept.
func literal(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(s) {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ends is like literal but keeps the beginning and the end, and cuts the middle: for paths and
// reader names.
func ends(s string, most int) string {
	runes := []rune(literal(s, len(s)))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most/2]) + "…" + string(runes[len(runes)-most/2+1:])
}
