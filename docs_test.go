package crs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the documents name is there: files, tests, and what links lead to.
func TestDocuments(t *testing.T) {
	files, tests := sources(t)
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md") {
		t.Run(document, func(t *testing.T) {
			text := readText(t, document)
			for _, m := range regexp.MustCompile("`([A-Za-z0-9_][A-Za-z0-9_/.-]*\\.(?:go|txt|js))`").FindAllStringSubmatch(text, -1) {
				there := func(file string) bool { return file == m[1] || strings.HasSuffix(file, "/"+m[1]) }
				if !slices.ContainsFunc(files, there) {
					t.Errorf("there is no file %s", m[1])
				}
			}
			for _, m := range regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]+)`").FindAllStringSubmatch(text, -1) {
				if !strings.Contains(tests, "func "+m[1]) {
					t.Errorf("there is no test %s", m[1])
				}
			}
			for _, m := range regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
				if _, err := os.Stat(path.Join(path.Dir(document), m[1])); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A newcomer finds what CONTRIBUTING.md names where it says.
func TestNewcomersPath(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| [^|]+\\? \\| `([^`]+)` \\| (?:`([^`]+)` )?\\|$").FindAllStringSubmatch(readText(t, "CONTRIBUTING.md"), -1)
	if len(rows) < 15 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		t.Run(row[1]+" "+row[2], func(t *testing.T) {
			declares := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |var )` + regexp.QuoteMeta(row[2]) + `\b`)
			if text := readText(t, row[1]); row[2] != "" && !declares.MatchString(text) {
				t.Errorf("%s declares no %s", row[1], row[2])
			}
		})
	}
}

// Modules that go.mod calls those of tests reach no program.
func TestModulesOfTests(t *testing.T) {
	_, block, found := strings.Cut(readText(t, "go.mod"), "// For tests alone")
	_, block, _ = strings.Cut(block, "(\n")
	block, _, _ = strings.Cut(block, ")")
	modules := regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(block, -1)
	if !found || len(modules) == 0 {
		t.Fatal("go.mod has no block for tests")
	}
	out, err := exec.Command("go", "list", "-deps", ".", "./cmd/...", "./portal").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		if strings.Contains("\n"+string(out), "\n"+m[1]) {
			t.Errorf("a program imports %s", m[1])
		}
	}
}

// sources returns the files of the module, and the declarations of its tests.
func sources(t *testing.T) (files []string, tests string) {
	t.Helper()
	var declared strings.Builder
	err := filepath.WalkDir(".", func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (file == "build" || file == ".git"):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		files = append(files, filepath.ToSlash(file))
		if strings.HasSuffix(file, "_test.go") {
			declared.WriteString(readText(t, file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, declared.String()
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
