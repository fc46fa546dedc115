package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

const root = "../../.."

func TestPageIsCurrent(t *testing.T) {
	want, err := write(root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(root + "/docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Error("docs/api.md is not what the comments say now: run `go run ./internal/tools/apidoc`")
	}
}

// What cannot be read is refused, and so is not left out unseen.
func TestParseRefuses(t *testing.T) {
	for _, source := range []string{
		"export const login = 1;",
		"export function login(options: LoginOptions,",
		"export interface Ways {\n  [name: string]: string;\n}",
		"export type Code =\n  | 7;",
		"function hidden(): void;",
	} {
		t.Run(source, func(t *testing.T) {
			if all, err := parse(source); err == nil {
				t.Errorf("read as %+v", all)
			}
		})
	}
}

// The comment of the button names the attributes, events and properties that its script has.
func TestButtonIsDescribed(t *testing.T) {
	source, err := os.ReadFile("../../../portal/js/crs-login.js")
	if err != nil {
		t.Fatal(err)
	}
	types, err := os.ReadFile("../../../portal/js/crs-login.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	all, err := parse(string(types))
	if err != nil {
		t.Fatal(err)
	}
	described := map[string][]string{}
	for _, d := range all {
		for _, tag := range d.Tags {
			described[tag.Kind] = append(described[tag.Kind], tag.Name)
		}
	}
	for kind, pattern := range map[string]string{
		"attr":    `(?:(?:get|has)Attribute\("|closest\("\[)([\w-]+)`,
		"fires":   `#tell\("([\w-]+)"`,
		"cssprop": `var\((--[\w-]+)`,
	} {
		var used []string
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(source, -1) {
			used = append(used, string(m[1]))
		}
		slices.Sort(used)
		used = slices.Compact(used)
		slices.Sort(described[kind])
		if len(used) == 0 || !slices.Equal(used, described[kind]) {
			t.Errorf("@%s: the comment has %q, the script %q", kind, described[kind], used)
		}
	}
}
