package portal

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// The package as npm packs it: its files, what it exports to JavaScript and what to TypeScript.
func TestPackage(t *testing.T) {
	t.Parallel()
	ns.NeedProgram(t, "npm", "node", "tsc")
	dir := t.TempDir()
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		// Nothing is fetched, and nothing is left in the user's home.
		cmd.Env = append(os.Environ(), "npm_config_offline=true", "npm_config_cache="+filepath.Join(dir, "cache"), "npm_config_update_notifier=false")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
		}
		return out
	}
	source, err := filepath.Abs("js")
	if err != nil {
		t.Fatal(err)
	}

	var packed []struct {
		Filename string
		Files    []struct{ Path string }
	}
	if err := json.Unmarshal(run("npm", "pack", "--json", source), &packed); err != nil || len(packed) != 1 {
		t.Fatal(packed, err)
	}
	var files []string
	for _, f := range packed[0].Files {
		files = append(files, f.Path)
	}
	slices.Sort(files)
	if want := []string{"LICENSE", "README.md", "crs-login.d.ts", "crs-login.js", "crs.d.ts", "crs.js", "package.json"}; !slices.Equal(files, want) {
		t.Errorf("the package holds %q, want %q", files, want)
	}

	var small bytes.Buffer
	z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression)
	z.Write([]byte(readFile(t, "js/crs.js")))
	z.Close()
	if small.Len() > 8<<10 {
		t.Errorf("crs.js has %d bytes with gzip", small.Len())
	}

	installed := filepath.Join(dir, "node_modules/@crs-bridge/crs")
	if err := os.MkdirAll(installed, 0o755); err != nil {
		t.Fatal(err)
	}
	run("tar", "-xf", packed[0].Filename, "-C", installed, "--strip-components=1")

	_, example, _ := strings.Cut(readFile(t, "js/README.md"), "```js\n")
	example, _, _ = strings.Cut(example, "```")
	write(t, filepath.Join(dir, "readme.mjs"), example)
	run("node", "--check", "readme.mjs")

	types := readFile(t, "js/crs.d.ts")
	exports := exported(types, "class|function")
	slices.Sort(exports)
	// Frameworks load a page's modules on the server too, where there is no page.
	write(t, filepath.Join(dir, "load.mjs"), `
		import * as client from "@crs-bridge/crs";
		import "@crs-bridge/crs/crs-login.js";
		if (typeof window !== "undefined") throw new Error("this is no server");
		const { code } = await client.login({ challenge: "" }).catch((error) => error);
		if (code !== "insecure_context" || (await client.probe()).secure) throw new Error("a server is no page");
		console.log(Object.keys(client).sort().join(" "));`)
	if names := strings.Fields(string(run("node", "load.mjs"))); !slices.Equal(names, exports) {
		t.Errorf("crs.js exports %q, its types %q", names, exports)
	}

	sample := readFile(t, "testdata/sample.ts")
	for _, name := range append(exported(types, `\w+`), exported(readFile(t, "js/crs-login.d.ts"), `\w+`)...) {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(sample) {
			t.Errorf("sample.ts does not use %s", name)
		}
	}
	write(t, filepath.Join(dir, "package.json"), `{"type": "module"}`)
	write(t, filepath.Join(dir, "sample.ts"), sample)
	run("tsc", "--noEmit", "--strict", "--lib", "es2022,dom", "--module", "node16", "sample.ts")
}

// exported returns what a declaration file exports of a kind.
func exported(types, kind string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^export (?:`+kind+`) (\w+)`).FindAllStringSubmatch(types, -1) {
		names = append(names, m[1])
	}
	return names
}

// The licence asks that a copy of it goes with every copy of the work.
func TestPackageLicence(t *testing.T) {
	t.Parallel()
	if readFile(t, "js/LICENSE") != readFile(t, "../LICENSE") {
		t.Error("js/LICENSE is not the licence of the repository")
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
