package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/browsers"
)

// What is between a page and its card ends while the citizen is asked for the PIN: the page is told,
// the question goes away, no PIN is sent, and the next login works.

func TestChromiumInterrupted(t *testing.T) {
	v := newVisit(t, chromium, true)
	v.interrupted(t, func() {
		all := v.New(true)
		defer all.Close()
		all.Open("chrome://extensions")
		id := filepath.Base(browser.ChromiumExtension)
		all.Run(`await chrome.developerPrivate.updateProfileConfiguration({ inDeveloperMode: true });
			await chrome.developerPrivate.reload("` + id + `")`)
	})
}

func TestFirefoxInterrupted(t *testing.T) {
	v := newVisit(t, firefox, true)
	v.interrupted(t, func() {
		v.Tab.(*browsers.Firefox).RunInside(`
			const { AddonManager } = ChromeUtils.importESModule("resource://gre/modules/AddonManager.sys.mjs");
			await (await AddonManager.getAddonByID("` + browser.FirefoxExtension + `")).reload();
			return ""`)
	})
}

func (v *visit) interrupted(t *testing.T, reload func()) {
	world := t
	_, inChromium := v.Tab.(*browsers.Chromium)
	v.run(t, "sites", "allow", site)
	host := filepath.Join(string(v.home), "noted-host")
	noted := host + ".pid"
	write(t, host, fmt.Sprintf("#!/bin/sh\necho $$ $PPID >%s\nexec %s \"$@\"\n", noted, v.hostProgram(t)), 0o755)
	v.installHost(t, host)
	processes := func() (host, browser int) {
		t.Helper()
		b, err := os.ReadFile(noted)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(b), &host, &browser); err != nil {
			t.Fatal(err)
		}
		return host, browser
	}
	// A page asks every second whether the extension is there; here five times as often.
	quick := func() {
		v.Open(site)
		v.Run(`const every = window.setInterval; window.setInterval = (f, ms) => every(f, ms / 5)`)
	}
	interrupt := func(t *testing.T, by func()) {
		t.Helper()
		sent := v.card.Secrets()
		quick()
		v.Press("button")
		v.serve.next(pinAsked)
		by()
		v.serve.next("code=gone")
		if n := v.card.Secrets() - sent; n != 0 {
			t.Errorf("%d PINs were sent", n)
		}
	}

	t.Run("citizen takes time", func(t *testing.T) {
		quick()
		v.Press("button")
		v.serve.next(pinAsked)
		time.Sleep(1500 * time.Millisecond) // longer than a page waits for an extension that is gone
		v.serve.answer(testPIN)
		wantOutcome(t, v, "token")
	})
	t.Run("page left and come back to", func(t *testing.T) {
		v.Open(site)
		v.Run(`window.kept = "kept"; window.act = () => (window.postMessage({ action: "web-eid:authenticate", challengeNonce: challenge }), new Promise(() => {}))`)
		v.Press("button")
		v.serve.next(pinAsked)
		v.Open(otherSite)
		v.serve.next("code=gone")
		v.Back()
		if kept := v.Run("return window.kept"); inChromium && kept != "kept" {
			t.Error("the browser did not keep the page")
		}
		v.Run("delete window.act; document.querySelector('button').focus()")
		v.Type("\r")
		v.typePIN()
		wantOutcome(t, v, "token")
	})
	t.Run("native host killed", func(t *testing.T) {
		interrupt(t, func() {
			host, _ := processes()
			syscall.Kill(host, syscall.SIGKILL)
		})
		wantOutcome(t, v, "bridge_unavailable")
		v.logsInAt(t, site)
	})
	t.Run("native host ends after it joined", func(t *testing.T) {
		brief := filepath.Join(t.TempDir(), "host")
		write(t, brief, "#!/bin/sh\n"+hostSays(`{"jsonrpc":"2.0","id":0,"result":{"allowed":true}}`)+"\n", 0o755)
		v.installHost(world, brief)
		// The page tries the other way, which Chromium forbids without asking: it has no screen.
		if inChromium {
			v.wantAt(t, site, "permission_denied")
		} else {
			v.logsInAt(t, site)
		}
		v.installHost(world, host)
		v.logsInAt(t, site)
	})
	t.Run("service killed", func(t *testing.T) {
		sent := v.card.Secrets()
		v.Open(site)
		v.Press("button")
		v.serve.next(pinAsked)
		v.serve.stop(syscall.SIGKILL)
		wantOutcome(t, v, "internal")
		v.serve = v.home.serve(world)
		v.serve.next(cardReady)
		if n := v.card.Secrets() - sent; n != 0 {
			t.Errorf("%d PINs were sent", n)
		}
		v.logsInAt(t, site)
	})
	t.Run("extension updated", func(t *testing.T) {
		interrupt(t, reload)
		wantOutcome(t, v, "bridge_unavailable")
		// Firefox gives the page a new script at once. In Chromium it has the old one, which is silent.
		v.Run("window.act = async () => {" + talk + `
			tell("find");
			post({ action: "web-eid:status", libraryVersion: "2.0.1" });
			await pause(500);
			return heard.join() || "nothing"}`)
		v.Press("button")
		if heard := outcome(t, v); inChromium && heard != "nothing" {
			t.Errorf("the page hears %q of an extension that is gone", heard)
		}
		v.logsInAt(t, site)
	})
	t.Run("browser killed", func(t *testing.T) {
		var host, browser int
		interrupt(t, func() {
			host, browser = processes()
			syscall.Kill(browser, syscall.SIGKILL)
		})
		for end := time.Now().Add(patience); syscall.Kill(host, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the native host outlives its browser")
			}
		}
	})
}
