// Package catalog holds every text that a user reads in a dialog, in one file a language, and
// composes the dialogs from them, for a window and for the terminal alike.
//
// A new language is a new file, and its name in Languages.
package catalog

import (
	"embed"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

//go:embed *.txt
var files embed.FS

// texts are the texts of one language, by key.
type texts map[string]string

// languages are read when the first text is needed.
var languages = sync.OnceValue(func() map[string]texts {
	all := map[string]texts{}
	for _, l := range Languages {
		lang := l.Code
		b, err := files.ReadFile(lang + ".txt")
		if err == nil {
			all[lang], err = Parse(string(b))
		}
		if err != nil {
			panic(err) // the files are part of the program, and tested
		}
	}
	return all
})

// Parse reads a file of texts: "[key]" lines, each followed by its text. The lines of a
// paragraph are joined, an empty line ends it. The demonstration's pages have such files too.
func Parse(file string) (map[string]string, error) {
	t := map[string]string{}
	key := ""
	for n, line := range strings.Split(file, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "["):
			key = strings.Trim(line, "[]")
			if _, twice := t[key]; twice {
				return nil, fmt.Errorf("line %d: [%s] for the second time", n+1, key)
			}
			t[key] = ""
		case strings.HasPrefix(line, "#") && key == "":
		case key == "" && line != "":
			return nil, fmt.Errorf("line %d: text without a key", n+1)
		case key == "":
		case line == "":
			t[key] += "\n\n"
		case t[key] == "" || strings.HasSuffix(t[key], "\n"):
			t[key] += line
		default:
			t[key] += " " + line
		}
	}
	for key := range t {
		if t[key] = strings.TrimSpace(t[key]); t[key] == "" {
			return nil, fmt.Errorf("[%s] has no text", key)
		}
	}
	return t, nil
}

// chosen is the language that the user chose for all that this software says, "" for none.
var chosen atomic.Value

// Languages are those that there are texts in, each with its own name for itself.
var Languages = []struct{ Code, Name string }{{"it", "Italiano"}, {"en", "English"}, {"de", "Deutsch"}}

// SetLanguage makes everything appear in a language, even if a site asks for another; "" leaves it
// to the site and the session, as does an unknown one.
func SetLanguage(lang string) {
	if languages()[lang] == nil {
		lang = ""
	}
	chosen.Store(lang)
}

// in returns the texts of a language; for "" or an unknown one, those of the session.
func in(lang string) texts {
	if own, _ := chosen.Load().(string); own != "" {
		return languages()[own]
	}
	if t, ok := languages()[lang]; ok {
		return t
	}
	return languages()[locale(os.Getenv)]
}

// locale returns the language of the user's session, from the variables that gettext reads, in
// its order: the first that is set decides. No locale at all (a service, Windows, "C") means
// Italian: those who use this software without having chosen a language are in Italy. A language
// without texts means English.
func locale(getenv func(string) string) string {
	for _, name := range []string{"LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"} {
		value := getenv(name)
		if value == "" {
			continue
		}
		for _, lang := range strings.Split(value, ":") { // LANGUAGE is a list
			lang, _, _ = strings.Cut(lang, ".")
			lang, _, _ = strings.Cut(lang, "_")
			if lang == "C" || lang == "POSIX" {
				lang = "it"
			}
			if languages()[lang] != nil {
				return lang
			}
		}
		return "en"
	}
	return "it"
}

// on returns the text of a key on an operating system: that of "key.windows", if there is one, is
// the text of "key" on Windows.
func (t texts) on(system, key string) (text string, ok bool) {
	if text, ok = t[key+"."+system]; !ok {
		text, ok = t[key]
	}
	return text, ok
}

// has reports whether there is a text for a key.
func (t texts) has(key string) bool {
	_, ok := t[key]
	return ok
}

// say returns the text of a key with its placeholders filled in from pairs of name and value.
// Placeholders within a value are not filled in.
func (t texts) say(key string, pairs ...string) string {
	text, ok := t.on(runtime.GOOS, key)
	if !ok {
		panic("no text " + key) // a test finds it
	}
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
