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
// All of it is to be shown literally. What comes from outside (hosts, holders, readers) has been
// made harmless: one line, no control characters, of bounded length.
type Text struct {
	Kind   Kind `json:"-"` // a tray of an older version refuses what it does not know
	Title  string
	Before string
	Site   string // the host, to be shown large; "" when no site asks
	After  string
	Yes    string // the answer that goes on, "" when there is none
	No     string // the answer that does not, "" when there is none
	Prompt string // what the terminal asks for in its last line
	Again  string // what the terminal says to an answer that is none
}

// Kind says which dialog a Text is: for a user that is a program, such as a test.
type Kind string

// The kinds. Each takes one way of showing it, as the method of a dialog.Screen in brackets.
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

	KindOldPIN   Kind = "old"     // the PIN that is to be changed (AskPIN)
	KindOffer    Kind = "offer"   // whether to unblock the PIN now (Ask)
	KindPUK      Kind = "puk"     // the PUK (AskPIN)
	KindNewPIN   Kind = "new"     // the new PIN (AskPIN)
	KindNewAgain Kind = "again"   // the new PIN once more (AskPIN)
	KindOutcome  Kind = "outcome" // what became of a change or an unblock (Tell)

	KindSites     Kind = "sites"     // of which site to decide anew (Choose), or that there is none (Tell)
	KindSite      Kind = "site"      // what is to become of it (Choose)
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

// Wrap breaks the lines of a text after at most so many characters, at a space if there is one.
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

// literal makes a string from a card, a reader or an error fit to be shown: what is not
// printable (control and escape sequences, line breaks, marks that turn the direction of text
// round) becomes U+FFFD, and at most so many characters are left.
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

// ends is literal of what says most where it begins and at its end, and leaves out the middle: a
// path, or the name of a reader.
func ends(s string, most int) string {
	runes := []rune(literal(s, len(s)))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most/2]) + "…" + string(runes[len(runes)-most/2+1:])
}
