// Command apidoc writes docs/api.md, the reference of the client for portals, from the comments of
// its declarations and the texts of its button. Run it in the root of the repository.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

func main() {
	log.SetFlags(0)
	page, err := write(".")
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("docs/api.md", page, 0o644); err != nil {
		log.Fatal(err)
	}
}

//go:embed api.md.tmpl
var pageText string

// reference is what the page is made from.
type reference struct {
	root         string
	declarations []declaration
	shown        []string            // which of them the page has shown
	Texts        map[string][]string // by state, code or portal_reason: what the button says in English
	defaults     map[string]string   // by custom property
}

var (
	// key: ["title", "next step"],
	buttonText = regexp.MustCompile(`(?m)^ {4}(\w+): \["([^"]+)", "([^"]+)"\],$`)
	// var(--name, default)
	styleDefault = regexp.MustCompile(`var\((--[\w-]+), ([^)]+)\)`)
)

// write returns the page. root is the directory of the repository.
func write(root string) ([]byte, error) {
	r := &reference{root: root, Texts: map[string][]string{}, defaults: map[string]string{}}
	for _, name := range []string{"crs.d.ts", "crs-login.d.ts"} {
		source, err := r.File("portal/js/" + name)
		if err != nil {
			return nil, err
		}
		declarations, err := parse(source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		r.declarations = append(r.declarations, declarations...)
	}
	button, err := r.File("portal/js/crs-login.js")
	if err != nil {
		return nil, err
	}
	_, english, _ := strings.Cut(button, "\n  en: {\n")
	english, _, _ = strings.Cut(english, "\n  },\n")
	for _, m := range buttonText.FindAllStringSubmatch(english, -1) {
		r.Texts[m[1]] = m[2:]
	}
	for _, m := range styleDefault.FindAllStringSubmatch(button, -1) {
		r.defaults[m[1]] = m[2]
	}

	page, err := template.New("api.md").Parse(pageText)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, r); err != nil {
		return nil, err
	}
	for _, d := range r.declarations {
		if !slices.Contains(r.shown, d.Name) {
			return nil, fmt.Errorf("the page does not show %s", d.Name)
		}
	}
	return b.Bytes(), nil
}

// File returns the text of a file of the repository, without space around it.
func (r *reference) File(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(r.root, name))
	return strings.TrimSpace(string(b)), err
}

// Show describes what the client exports under a name.
func (r *reference) Show(name string) (string, error) {
	i := slices.IndexFunc(r.declarations, func(d declaration) bool { return d.Name == name })
	if i < 0 {
		return "", fmt.Errorf("the client does not export %s", name)
	}
	r.shown = append(r.shown, name)
	d := r.declarations[i]
	if d.Doc == "" {
		return "", fmt.Errorf("%s is not described", name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", name)
	if d.Signature != "" {
		fmt.Fprintf(&b, "```ts\n%s\n```\n\n", d.Signature)
	}
	b.WriteString(d.Doc + "\n")
	rows, err := r.members(d)
	if err != nil {
		return "", err
	}
	tables := []table{rows,
		{head: []string{"Attribute", ""}, rows: r.tags(d, "attr")},
		{head: []string{"Event", ""}, rows: r.tags(d, "fires")},
		{head: []string{"CSS custom property", "", "Default"}, rows: r.tags(d, "cssprop")},
	}
	for _, t := range tables {
		t.write(&b)
	}
	return b.String(), nil
}

// members describes the properties of a declaration, or its words with what the button says.
func (r *reference) members(d declaration) (table, error) {
	t := table{head: []string{"", "Type", ""}}
	for _, m := range d.Members {
		if m.Doc == "" {
			return t, fmt.Errorf("%s of %s is not described", m.Name, d.Name)
		}
		if m.Type != "" {
			t.rows = append(t.rows, []string{code(m.Name), code(m.Type), m.Doc})
			continue
		}
		text := r.Texts[m.Name]
		if text == nil {
			return t, fmt.Errorf("the button has no text for %s", m.Name)
		}
		t.head = []string{"", "Meaning", "What `<crs-login>` says"}
		t.rows = append(t.rows, []string{code(m.Name), m.Doc, "**" + text[0] + ".** " + text[1]})
	}
	return t, nil
}

// Reasons describes what the button says for a portal's reason to refuse.
func (r *reference) Reasons() string {
	t := table{head: []string{"Reason", "What `<crs-login>` says"}}
	for _, key := range slices.Sorted(maps.Keys(r.Texts)) {
		if reason, ok := strings.CutPrefix(key, "portal_"); ok {
			t.rows = append(t.rows, []string{code(reason), "**" + r.Texts[key][0] + ".** " + r.Texts[key][1]})
		}
	}
	var b strings.Builder
	t.write(&b)
	return strings.TrimPrefix(b.String(), "\n")
}

func (r *reference) tags(d declaration, kind string) (rows [][]string) {
	for _, t := range d.Tags {
		if t.Kind != kind {
			continue
		}
		row := []string{code(t.Name), t.Doc}
		if kind == "cssprop" {
			row = append(row, code(r.defaults[t.Name]))
		}
		rows = append(rows, row)
	}
	return rows
}

func code(s string) string { return "`" + s + "`" }

// A table is a Markdown table; without rows it is left out.
type table struct {
	head []string
	rows [][]string
}

func (t table) write(b *strings.Builder) {
	if len(t.rows) == 0 {
		return
	}
	line := func(cells []string) {
		for _, cell := range cells {
			b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	b.WriteString("\n")
	line(t.head)
	line(slices.Repeat([]string{"---"}, len(t.head)))
	for _, row := range t.rows {
		line(row)
	}
}
