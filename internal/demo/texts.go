package demo

import (
	"embed"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/crs-bridge/crs/internal/catalog"
)

//go:embed *.txt
var textFiles embed.FS

// text is everything that the pages say, in one language.
type text struct {
	Lang string
	says map[string]string
}

// message is what is said under a code: one of crs.js, of package portal with "portal_" before it,
// or of a page's own script.
type message struct{ Code, Title, Text, Next string }

// texts are read when the first page is shown.
var texts = sync.OnceValue(func() map[string]*text {
	all := map[string]*text{}
	for _, l := range catalog.Languages {
		file, err := textFiles.ReadFile(l.Code + ".txt")
		if err != nil {
			panic(err) // the files are part of the program, and tested
		}
		says, err := catalog.Parse(string(file))
		if err != nil {
			panic(err)
		}
		all[l.Code] = &text{l.Code, says}
	}
	return all
})

// Say returns the text of a key.
func (t *text) Say(key string) string {
	s, ok := t.says[key]
	if !ok {
		panic("no text " + key) // a test finds it
	}
	return s
}

// Messages returns the messages of the keys "kind.code", sorted by code.
func (t *text) Messages(kind string) (all []message) {
	for _, key := range slices.Sorted(maps.Keys(t.says)) {
		if code, ok := strings.CutPrefix(key, kind+"."); ok {
			m := message{Code: code}
			m.Title, m.Text, _ = strings.Cut(t.says[key], "\n\n")
			m.Text, m.Next, _ = strings.Cut(m.Text, "\n\n")
			all = append(all, m)
		}
	}
	return all
}

const langCookie = "lang"

// language returns the one that the citizen chose on the page, else the first of the browser's that
// has texts, else Italian.
func language(r *http.Request) string {
	if c, err := r.Cookie(langCookie); err == nil && texts()[c.Value] != nil {
		return c.Value
	}
	for _, tag := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if texts()[lang] != nil {
			return lang
		}
	}
	return "it"
}
