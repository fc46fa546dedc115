package catalog

import (
	"os"
	"strconv"

	"github.com/crs-bridge/crs"
)

// Usage returns the page that `crs` alone prints, in the language of the session.
func Usage() string {
	b, err := files.ReadFile("usage." + Language() + ".txt")
	if err != nil {
		panic(err) // the files are part of the program, and tested
	}
	return string(b)
}

// Language returns the language that the user chose, or that of the session: "it", "en" or "de".
func Language() string {
	if own, _ := chosen.Load().(string); own != "" {
		return own
	}
	return locale(os.Getenv)
}

// Say returns a text in the language of the session, its placeholders filled in from pairs of
// name and value.
func Say(key string, pairs ...string) string { return in("").say(key, pairs...) }

// Literal makes a string from a card or a reader safe to print on a terminal.
func Literal(s string) string { return literal(s, maxDetail) }

// PINStatus says what is known about a PIN.
func PINStatus(s crs.PINStatus) string {
	switch {
	case s.Blocked:
		return Say("status.blocked")
	case s.Retries < 0:
		return Say("status.unknown")
	case s.Doubtful:
		return Say("status.atmost", "tries", strconv.Itoa(s.Retries))
	}
	return Say("status.known", "tries", strconv.Itoa(s.Retries))
}
