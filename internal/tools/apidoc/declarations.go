package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A declaration is one name that a .d.ts file exports.
type declaration struct {
	Name      string
	Signature string // of a function
	Doc       string
	Tags      []tag
	Members   []member // of an interface or a class, or the words of a type
}

// A member is one line of a declaration: a property, a method, or a word of a closed list.
type member struct{ Name, Type, Doc string }

// A tag is "@kind name - doc" in a comment, as custom elements are described.
type tag struct{ Kind, Name, Doc string }

var (
	block    = regexp.MustCompile(`^export (?:interface|class) (\w+)[^{]*\{$`)
	list     = regexp.MustCompile(`^export type (\w+) =$`)
	function = regexp.MustCompile(`^export function ((\w+)\(.*);$`)
	word     = regexp.MustCompile(`^ {2}\| "(\w+)";?$`)
	property = regexp.MustCompile(`^ {2}(?:readonly )?(\w+\??): (.*);$`)
	method   = regexp.MustCompile(`^ {2}(\w+)(\(.*);$`)
	tagged   = regexp.MustCompile(`^@(\w+) (\S+) - (.*)$`)
)

// parse reads the part of TypeScript that our declarations use and nothing else. Anything unknown is
// an error, so that no declaration is left out of the reference.
func parse(source string) ([]declaration, error) {
	var all []declaration
	var current *declaration // whose members follow
	var doc []string
	comment := false
	for number, line := range strings.Split(source, "\n") {
		text := strings.TrimSpace(line)
		switch {
		case comment || strings.HasPrefix(text, "/**"):
			comment = !strings.HasSuffix(text, "*/")
			text = strings.TrimPrefix(strings.TrimSuffix(text, "*/"), "/**")
			doc = append(doc, strings.TrimSpace(strings.TrimPrefix(text, "*")))
			continue
		case line == "declare global {": // the element and its events, which its comment describes
			return all, nil
		case text == "" || strings.HasPrefix(line, "import "):
		case current == nil:
			d, open, err := declare(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			d.Doc, d.Tags = readComment(doc)
			all = append(all, d)
			if open {
				current = &all[len(all)-1]
			}
		case line == "}":
			current = nil
		default:
			m, err := readMember(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			m.Doc, _ = readComment(doc)
			current.Members = append(current.Members, m)
			if strings.HasPrefix(text, "|") && strings.HasSuffix(text, ";") {
				current = nil
			}
		}
		doc = nil
	}
	return all, nil
}

// declare reads the first line of a declaration, and whether its members follow.
func declare(line string) (d declaration, open bool, err error) {
	for _, begin := range []*regexp.Regexp{block, list} {
		if m := begin.FindStringSubmatch(line); m != nil {
			return declaration{Name: m[1]}, true, nil
		}
	}
	if m := function.FindStringSubmatch(line); m != nil {
		return declaration{Name: m[2], Signature: m[1]}, false, nil
	}
	return d, false, fmt.Errorf("no declaration that is known here: %s", line)
}

func readMember(line string) (member, error) {
	if m := word.FindStringSubmatch(line); m != nil {
		return member{Name: m[1]}, nil
	}
	for _, kind := range []*regexp.Regexp{property, method} {
		if m := kind.FindStringSubmatch(line); m != nil {
			return member{Name: m[1], Type: m[2]}, nil
		}
	}
	return member{}, fmt.Errorf("no member that is known here: %s", line)
}

// readComment splits a comment into its text and its tags.
func readComment(lines []string) (doc string, tags []tag) {
	for _, line := range lines {
		if m := tagged.FindStringSubmatch(line); m != nil {
			tags = append(tags, tag{Kind: m[1], Name: m[2], Doc: m[3]})
		} else {
			doc += " " + line
		}
	}
	return strings.TrimSpace(doc), tags
}
