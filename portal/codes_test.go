package portal

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// programCodes are those that the program answers with.
func programCodes(t *testing.T) []string {
	return portaltest.Words(t, "../errors.go", "// The closed list.\nconst (", "\n)\n")
}

// The codes are a closed list, the same in the program, the client, its types, the button and the
// extension. docs/api.md is written from the types and the button.
func TestCodes(t *testing.T) {
	t.Parallel()
	want := programCodes(t)
	if inClient := portaltest.Words(t, "js/crs.js", "const CODES", "]);"); !slices.Equal(inClient, want) {
		t.Errorf("crs.js takes the codes %q from the program, which has %q", inClient, want)
	}
	for _, m := range regexp.MustCompile(`CRSError\("(\w+)"`).FindAllStringSubmatch(readFile(t, "js/crs.js"), -1) {
		want = append(want, m[1]) // the client's own
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if inTypes := portaltest.Words(t, "js/crs.d.ts", "export type Code", ";\n\n"); !slices.Equal(inTypes, want) {
		t.Errorf("crs.d.ts has the codes %q, want %q", inTypes, want)
	}

	// What the extension tells pages is among them. Words without _ may be anything.
	scripts, err := filepath.Glob("../extension/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		for _, m := range regexp.MustCompile(`"([a-z]+_[a-z_]+)"`).FindAllStringSubmatch(readFile(t, script), -1) {
			if !slices.Contains(want, m[1]) {
				t.Errorf("%s knows a code %q", script, m[1])
			}
		}
	}
	mapped := regexp.MustCompile(`(?m)^  ([a-z_]+): "`).FindAllStringSubmatch(readFile(t, "../extension/webeid.js"), -1)
	if len(mapped) == 0 {
		t.Error("webeid.js maps no code")
	}
	for _, m := range mapped {
		if !slices.Contains(want, m[1]) {
			t.Errorf("webeid.js maps a code %q", m[1])
		}
	}
}

// The button has a text for each state and each code, in three languages, and none for anything else
// but some of the verifier's reasons. The second part of a text is what to do next.
func TestButtonTexts(t *testing.T) {
	t.Parallel()
	want := slices.Concat(
		portaltest.Words(t, "js/crs.d.ts", "export type Progress", ";\n\n"), []string{"start", "checking"},
		portaltest.Words(t, "js/crs.d.ts", "export type Code", ";\n\n"), []string{"portal"})
	for _, reason := range portaltest.Words(t, "errors.go", "// The closed list.\nconst (", "\n)\n") {
		// Mistakes of a page or a program are told as "portal".
		if !slices.Contains([]string{"cross_site", "malformed", "format", "algorithm", "signature", "profile", "critical_extension", "subject", "personal_data"}, reason) {
			want = append(want, "portal_"+reason)
		}
	}
	slices.Sort(want)
	script := readFile(t, "js/crs-login.js")
	for lang, again := range map[string]string{"it": "Accedi", "en": "Log in", "de": "Anmelden"} {
		t.Run(lang, func(t *testing.T) {
			_, texts, _ := strings.Cut(script, "\n  "+lang+": {\n")
			texts, _, found := strings.Cut(texts, "\n  },\n")
			if !found || !strings.Contains(texts, `button: "`+again+`"`) {
				t.Fatal("no texts")
			}
			var have []string
			for _, m := range regexp.MustCompile(`(?m)^ {4}(\w+): \["(.+?)", "(.+)"\],$`).FindAllStringSubmatch(texts, -1) {
				key, title, next := m[1], m[2], m[3]
				have = append(have, key)
				if strings.HasSuffix(title, ".") || !strings.HasSuffix(next, ".") || len(title+next) > 200 {
					t.Errorf("%s is told as %q and %q", key, title, next)
				}
			}
			slices.Sort(have)
			if !slices.Equal(have, want) {
				t.Errorf("texts for %q, want %q", have, want)
			}
		})
	}
}
