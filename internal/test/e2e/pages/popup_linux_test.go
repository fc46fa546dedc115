package pages

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
)

// What the extension's button opens: in a tab of its own, behind the one that it speaks of.

const (
	chromiumPopup = browser.ChromiumExtension + "popup.html"
	firefoxUUID   = "0b9a6f3e-5f0c-4a38-9d63-7c1d9a1f6e2b" // each installation of Firefox makes up one
	firefoxPopup  = "moz-extension://" + firefoxUUID + "/popup.html"
)

func TestChromiumPopup(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Chromium, true)
	popup(t, v, chromiumPopup, "Il programma CRS è pronto")
}

func TestFirefoxPopup(t *testing.T) {
	v := citizen.NewVisit(t, func(t testing.TB, o browsers.Options) browsers.Tab {
		o.Language = "de"
		o.Prefs = fmt.Sprintf("user_pref(%q, %q);", "extensions.webextensions.uuids", fmt.Sprintf(`{%q: %q}`, browser.FirefoxExtension, firefoxUUID))
		return citizen.Firefox(t, o)
	}, true)
	popup(t, v, firefoxPopup, "Die CRS-Software ist bereit")
}

// popup opens the popup in each of its states. What it says is compared with the texts of the browser's
// language, of which one is written out here.
func popup(t *testing.T, v *citizen.Visit, url, ready string) {
	want := func(keys ...string) (said string) {
		t.Helper()
		popup := v.New(false)
		defer popup.Close()
		popup.Open(url)
		said = popup.Run(popupText)
		for _, key := range keys {
			text := popup.Run("return chrome.i18n.getMessage('" + key + "')")
			if text == "" || !strings.Contains(said, text) {
				t.Errorf("the popup does not say %s (%q): %q", key, text, said)
			}
		}
		return said
	}
	v.Open("about:blank")
	if said := want("found"); !strings.Contains(said, ready) || strings.Contains(said, ".example") {
		t.Errorf("beside no site: %q", said)
	}
	v.Open(citizen.Site)
	if said := want("found", "foundNext", "site", "unknown"); !strings.Contains(said, "portale.example:8443") {
		t.Errorf("the site is not named: %q", said)
	}
	v.Command(t, "sites", "allow", citizen.Site)
	want("found", "allowed")
	v.Command(t, "sites", "block", citizen.Site)
	want("found", "denied")
	v.Command(t, "sites", "forget", citizen.Site)
	v.Serve.Stop(syscall.SIGTERM)
	want("found") // the native host starts a service
	file := filepath.Join(t.TempDir(), "host")
	v.InstallHost(t, file)
	want("missing", "missingNext", "install")
	t.Run("keyboard", func(t *testing.T) {
		popup := v.New(true)
		defer popup.Close()
		popup.Open(url)
		popup.Run(popupText)
		popup.Type("\t")
		if on := popup.Run(`const e = document.activeElement; return e.tagName + " " + getComputedStyle(e).outlineStyle`); on != "A solid" {
			t.Errorf("the first key leads to %q", on)
		}
	})
	for code, keys := range map[string][]string{
		"unsupported_version": {"old", "oldNext", "install"},
		"internal":            {"stuck", "stuckNext", "install"}, // its service cannot start
		"busy":                {"found", "foundNext"},
	} {
		citizen.WriteFile(t, file, "#!/bin/sh\n"+citizen.RefusingHost(code)+"\n", 0o755)
		if said := want(keys...); strings.Contains(said, ".example") {
			t.Errorf("%s: a site of which nothing is known: %q", code, said)
		}
	}
}

// popupText waits until the popup has found out what there is, and returns what it shows.
const popupText = `while (document.querySelector("#program").className === "") await new Promise((r) => setTimeout(r, 20));
	return document.body.innerText;`
