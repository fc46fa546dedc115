package demo

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// Every language has every text, and the pages use every text.
func TestTexts(t *testing.T) {
	t.Parallel()
	var sources string
	for _, name := range []string{"page.html", "selftest.html", "demo.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources += string(b)
	}
	// Say "key", Messages "kind", field("key", …)
	var said, kinds []string
	for _, m := range regexp.MustCompile(`\b(Say|Messages|field)[ (]"([a-z_.]+)"`).FindAllStringSubmatch(sources, -1) {
		switch m[1] {
		case "Say":
			said = append(said, m[2])
		case "field":
			said = append(said, "field."+m[2])
		default:
			kinds = append(kinds, m[2]+".")
		}
	}
	for _, key := range said {
		if key != "field." && texts()["it"].says[key] == "" {
			t.Errorf("the pages say [%s], which it.txt has not", key)
		}
	}
	for key := range texts()["it"].says {
		used := slices.Contains(said, key) || strings.HasPrefix(key, "sex.") ||
			slices.ContainsFunc(kinds, func(kind string) bool { return strings.HasPrefix(key, kind) })
		if !used {
			t.Errorf("[%s] is used nowhere", key)
		}
	}
	want := slices.Sorted(maps.Keys(texts()["it"].says))
	for lang, text := range texts() {
		if have := slices.Sorted(maps.Keys(text.says)); !slices.Equal(have, want) {
			t.Errorf("%s.txt has the keys %q, it.txt %q", lang, have, want)
		}
	}
}

// Every code that can come is explained, in full.
func TestMessages(t *testing.T) {
	t.Parallel()
	wordsOf := func(file, from, to string, more ...string) []string {
		words := append(portaltest.Words(t, file, from, to), more...)
		slices.Sort(words)
		return words
	}
	verdicts := wordsOf("static/selftest.js", "function verdict", "\n}", "permission")
	for _, tt := range []struct {
		kind  string
		codes []string
		parts int // a title, an explanation, what to do
	}{
		{"error", wordsOf("../../portal/js/crs.d.ts", "export type Code", ";\n\n", "portal"), 3},
		{"state", wordsOf("../../portal/js/crs.d.ts", "export type Progress", ";\n\n", "start", "checking"), 2},
		{"test.result", verdicts, 3},
		{"test.state", wordsOf("static/selftest.js", "function stateOf", "\n}", "wait"), 1},
	} {
		for lang, text := range texts() {
			t.Run(tt.kind+" "+lang, func(t *testing.T) {
				explained := map[string]bool{}
				for _, m := range text.Messages(tt.kind) {
					explained[m.Code] = true
					if m.Title == "" || tt.parts > 1 && m.Text == "" || tt.parts > 2 && m.Next == "" || strings.Contains(m.Next, "\n") {
						t.Errorf("%s is told as %q", m.Code, []string{m.Title, m.Text, m.Next})
					}
				}
				for _, code := range tt.codes {
					if !explained[code] && code != "ready" && code != "secure" {
						t.Errorf("%s is not explained", code)
					}
				}
			})
		}
	}

	// What the portal refuses, it refuses for a reason that there is.
	reasons := portaltest.Words(t, "../../portal/errors.go", "// The closed list.\nconst (", "\n)\n")
	for _, m := range texts()["it"].Messages("error") {
		if reason, ok := strings.CutPrefix(m.Code, "portal_"); ok && !slices.Contains(reasons, reason) {
			t.Errorf("%s is no reason of package portal", reason)
		}
	}
}
