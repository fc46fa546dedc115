package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/crs-bridge/crs/internal/browser"
)

var extension = os.DirFS("../../../extension")

type manifest struct {
	Key         string
	Permissions []string
	Host        []string                     `json:"host_permissions"`
	Optional    []string                     `json:"optional_permissions"`
	OptionalToo []string                     `json:"optional_host_permissions"`
	Scripts     []struct{ Matches []string } `json:"content_scripts"`
	External    json.RawMessage              `json:"externally_connectable"`
	Accessible  json.RawMessage              `json:"web_accessible_resources"`
	Policy      struct {
		Pages string `json:"extension_pages"`
	} `json:"content_security_policy"`
	Browser struct {
		Gecko struct{ ID string }
	} `json:"browser_specific_settings"`
}

func readManifest(t *testing.T) (m manifest) {
	t.Helper()
	b, err := fs.ReadFile(extension, "manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The directory is loaded as it is while one works on it, so all of it must be in the pack, but what is
// for the stores alone.
func TestPack(t *testing.T) {
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := pack(b, extension); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two packs differ")
	}
	if first.Len() > 100<<10 {
		t.Errorf("the extension has %d bytes", first.Len())
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var packed []string
	for _, file := range z.File {
		packed = append(packed, file.Name)
	}
	slices.Sort(packed)
	var files []string
	err = fs.WalkDir(extension, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "store":
			return fs.SkipDir
		case !d.IsDir():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	if !slices.Equal(packed, files) {
		t.Errorf("packed are %q, of %q", packed, files)
	}
}

// The programs' manifests name the ids that these keys give.
func TestIDs(t *testing.T) {
	m := readManifest(t)
	der, err := base64.StdEncoding.DecodeString(m.Key)
	if err != nil {
		t.Fatal(err)
	}
	var id []byte
	for _, b := range sha256.Sum256(der) {
		id = append(id, 'a'+b>>4, 'a'+b&15)
	}
	if "chrome-extension://"+string(id[:32])+"/" != browser.ChromiumExtension || m.Browser.Gecko.ID != browser.FirefoxExtension {
		t.Errorf("the ids are %s and %s", id[:32], m.Browser.Gecko.ID)
	}
}

// The extension asks for as little as it can do with, and can neither load code nor reach a network.
func TestT26Extension(t *testing.T) {
	m := readManifest(t)
	if !slices.Equal(m.Permissions, []string{"nativeMessaging"}) || len(m.Host)+len(m.Optional)+len(m.OptionalToo) > 0 {
		t.Errorf("permissions %q, %q, %q, %q", m.Permissions, m.Host, m.Optional, m.OptionalToo)
	}
	if m.External != nil || m.Accessible != nil {
		t.Error("pages reach into the extension")
	}
	if len(m.Scripts) != 1 || !slices.Equal(m.Scripts[0].Matches, []string{"https://*/*"}) {
		t.Errorf("content scripts %+v", m.Scripts)
	}
	if want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"; m.Policy.Pages != want {
		t.Errorf("policy %q", m.Policy.Pages)
	}
	forbidden := regexp.MustCompile(`\b(eval|Function|fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|innerHTML|outerHTML|document\.write|insertAdjacentHTML|chrome\.(storage|cookies|scripting|webRequest))\b|\bimport\s*\(`)
	scripts, err := fs.Glob(extension, "*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, name := range scripts {
		b, err := fs.ReadFile(extension, name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if code, _, _ := strings.Cut(line, "//"); forbidden.MatchString(code) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// A link of the popup leads to where something is: the project, and a self-test page if there is one.
func TestPopupLinks(t *testing.T) {
	page, err := fs.ReadFile(extension, "popup.html")
	if err != nil {
		t.Fatal(err)
	}
	script, err := fs.ReadFile(extension, "popup.js")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`href="(http[^"]*)"`).FindAllStringSubmatch(string(page), -1)
	if len(links) != 1 || links[0][1] != "https://github.com/crs-bridge/crs#readme" {
		t.Errorf("the popup links to %q", links)
	}
	selftest := regexp.MustCompile(`(?m)^const SELFTEST = "(|https://[^"]+/selftest)";$`).FindSubmatch(script)
	if selftest == nil {
		t.Fatal("popup.js has no address of the self-test page, nor an empty one")
	}
	if !bytes.Contains(page, []byte(`<p id="selftest" hidden>`)) || !bytes.Contains(script, []byte(`hidden = !SELFTEST;`)) {
		t.Error("the popup shows a link that leads nowhere")
	}
}

// All languages say the same things, and stores take the names and descriptions.
func TestTexts(t *testing.T) {
	var keys []string
	for _, lang := range languages {
		texts := messages(t, lang)
		have := slices.Sorted(maps.Keys(texts))
		if keys == nil {
			keys = have
		}
		if !slices.Equal(have, keys) {
			t.Errorf("%s has the texts %q, Italian %q", lang, have, keys)
		}
		bounded(t, lang+": name", texts["name"].Message, 45)
		bounded(t, lang+": description", texts["description"].Message, 132)
	}
}

// What is entered in the stores: the Chrome Web Store takes the name and the summary from the
// manifest, addons.mozilla.org asks for both again.
func TestStore(t *testing.T) {
	sections := 0
	for _, lang := range languages {
		head, parts := storeText(t, lang)
		texts := messages(t, lang)
		if want := "# " + texts["name"].Message + "\n\n" + texts["description"].Message; head != want {
			t.Errorf("%s begins with %q, the manifest has %q", lang, head, want)
		}
		if sections == 0 {
			sections = len(parts)
		}
		if len(parts) != sections || sections == 0 {
			t.Errorf("%s has %d sections, Italian %d", lang, len(parts), sections)
		}
		bounded(t, lang+": text", strings.Join(parts, ""), 15000)
	}
	_, parts := storeText(t, "review")
	for _, part := range parts {
		title, text, _ := strings.Cut(part, "\n\n")
		bounded(t, title, text, 1000) // of a field in the form of the Chrome Web Store
	}
	for _, permission := range readManifest(t).Permissions {
		if !slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "Justification of "+permission+"\n") }) {
			t.Errorf("the reviewers are not told why the extension needs %s", permission)
		}
	}
}

var languages = []string{"it", "en", "de"}

func messages(t *testing.T, lang string) (texts map[string]struct{ Message string }) {
	t.Helper()
	b, err := fs.ReadFile(extension, "_locales/"+lang+"/messages.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &texts); err != nil {
		t.Fatal(lang, err)
	}
	return texts
}

// storeText returns what stands before the first section of a text for the stores, and the sections.
func storeText(t *testing.T, name string) (head string, sections []string) {
	t.Helper()
	b, err := fs.ReadFile(extension, "store/"+name+".md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(strings.TrimSpace(string(b)), "\n\n## ")
	return parts[0], parts[1:]
}

func bounded(t *testing.T, what, text string, most int) {
	t.Helper()
	if n := utf8.RuneCountInString(text); n == 0 || n > most {
		t.Errorf("%s: %d characters, and stores take %d", what, n, most)
	}
}
