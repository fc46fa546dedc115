package crs_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Imports form a star: package crs is its middle and imports nothing of the module, the arms know
// crs and what is internal but not each other, and the program wires them.
func TestStar(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	const arms = "bridge pcsc pkcs11 portal tray"
	may := func(from, to string) bool {
		first, _, _ := strings.Cut(to, "/")
		switch {
		case strings.HasPrefix(from, "cmd/") || strings.HasPrefix(from, "internal/test/"):
			return !strings.HasPrefix(to, "cmd/") && (!strings.HasPrefix(to, "internal/test/") || !strings.HasPrefix(from, "cmd/"))
		case strings.HasPrefix(to, "internal/test/"):
			return false // tests alone
		case from == "internal/demo" && to == "portal": // it is one
			return true
		case from == "" || strings.Contains(" internal/frame internal/filewatch internal/changes internal/outside internal/scard ", " "+from+" "):
			return false // leaves
		case to == "":
			return true
		case from == "portal" || strings.HasPrefix(from, "portal/"):
			return to == "portal"
		}
		return first == "internal" // of the arms, and among each other
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		packages := strings.Fields(line)
		from, ours := within(packages[0])
		if !ours {
			t.Fatalf("%q", line)
		}
		if strings.Contains(" "+arms+" ", " "+from+" ") || from == "" {
			seen++
		}
		for _, path := range packages[1:] {
			if to, ours := within(path); ours && !may(from, to) {
				t.Errorf("%s must not import %s", packages[0], path)
			}
		}
	}
	if seen != 1+len(strings.Fields(arms)) {
		t.Errorf("%d of the packages that form the star", seen)
	}
}

// within returns the path of a package within this module, "" for package crs.
func within(path string) (string, bool) {
	rest, ours := strings.CutPrefix(path, "github.com/crs-bridge/crs")
	return strings.TrimPrefix(rest, "/"), ours
}
