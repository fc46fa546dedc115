package extension

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
)

// What is between a page and its card ends while the citizen is asked for the PIN: the page is told,
// the question goes away, no PIN is sent, and the next login works.

func TestChromiumInterrupted(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Chromium, true)
	interrupted(t, v, func() {
		all := v.New(true)
		defer all.Close()
		all.Open("chrome://extensions")
		id := filepath.Base(browser.ChromiumExtension)
		all.Run(`await chrome.developerPrivate.updateProfileConfiguration({ inDeveloperMode: true });
			await chrome.developerPrivate.reload("` + id + `")`)
	})
}

func TestFirefoxInterrupted(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Firefox, true)
	interrupted(t, v, func() {
		v.Tab.(*browsers.Firefox).RunInside(`
			const { AddonManager } = ChromeUtils.importESModule("resource://gre/modules/AddonManager.sys.mjs");
			await (await AddonManager.getAddonByID("` + browser.FirefoxExtension + `")).reload();
			return ""`)
	})
}

func interrupted(t *testing.T, v *citizen.Visit, reload func()) {
	world := t
	_, inChromium := v.Tab.(*browsers.Chromium)
	v.Command(t, "sites", "allow", citizen.Site)
	host := filepath.Join(string(v.Home), "noted-host")
	noted := host + ".pid"
	citizen.WriteFile(t, host, fmt.Sprintf("#!/bin/sh\necho $$ $PPID >%s\nexec %s \"$@\"\n", noted, v.HostProgram(t)), 0o755)
	v.InstallHost(t, host)
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
		v.Open(citizen.Site)
		v.Run(`const every = window.setInterval; window.setInterval = (f, ms) => every(f, ms === 1000 ? ms / 5 : ms)`)
	}
	interrupt := func(t *testing.T, by func()) {
		t.Helper()
		sent := v.Card.Secrets()
		quick()
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		by()
		v.Serve.Next("code=gone")
		if n := v.Card.Secrets() - sent; n != 0 {
			t.Errorf("%d PINs were sent", n)
		}
	}

	t.Run("citizen takes time", func(t *testing.T) {
		quick()
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		time.Sleep(1500 * time.Millisecond) // longer than a page waits for an extension that is gone
		v.Serve.Answer(citizen.PIN)
		citizen.WantOutcome(t, v, "token")
	})
	t.Run("page left and come back to", func(t *testing.T) {
		v.Open(citizen.Site)
		v.Run(`window.kept = "kept"; window.act = () => (window.postMessage({ action: "web-eid:authenticate", challengeNonce: challenge }), new Promise(() => {}))`)
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		v.Open(citizen.OtherSite)
		v.Serve.Next("code=gone")
		v.Back()
		if kept := v.Run("return window.kept"); inChromium && kept != "kept" {
			t.Error("the browser did not keep the page")
		}
		v.Run("delete window.act; document.querySelector('button').focus()")
		v.Type("\r")
		v.TypePIN()
		citizen.WantOutcome(t, v, "token")
	})
	t.Run("native host killed", func(t *testing.T) {
		interrupt(t, func() {
			host, _ := processes()
			syscall.Kill(host, syscall.SIGKILL)
		})
		citizen.WantOutcome(t, v, "bridge_unavailable")
		v.LogsInAt(t, citizen.Site)
	})
	t.Run("native host ends after it joined", func(t *testing.T) {
		brief := filepath.Join(t.TempDir(), "host")
		citizen.WriteFile(t, brief, "#!/bin/sh\n"+citizen.HostSays(`{"jsonrpc":"2.0","id":0,"result":{"allowed":true}}`)+"\n", 0o755)
		v.InstallHost(world, brief)
		// The page tries the other way, which Chromium forbids without asking: it has no screen.
		if inChromium {
			v.WantAt(t, citizen.Site, "permission_denied")
		} else {
			v.LogsInAt(t, citizen.Site)
		}
		v.InstallHost(world, host)
		v.LogsInAt(t, citizen.Site)
	})
	t.Run("service killed", func(t *testing.T) {
		sent := v.Card.Secrets()
		v.Open(citizen.Site)
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		v.Serve.Stop(syscall.SIGKILL)
		citizen.WantOutcome(t, v, "internal")
		v.Serve = v.Home.Serve(world)
		v.Serve.Next(citizen.CardReady)
		if n := v.Card.Secrets() - sent; n != 0 {
			t.Errorf("%d PINs were sent", n)
		}
		v.LogsInAt(t, citizen.Site)
	})
	t.Run("extension updated", func(t *testing.T) {
		interrupt(t, reload)
		citizen.WantOutcome(t, v, "bridge_unavailable")
		// Firefox gives the page a new script at once. In Chromium it has the old one, which is silent.
		v.Run("window.act = async () => {" + talk + `
			tell("find");
			post({ action: "web-eid:status", libraryVersion: "2.0.1" });
			await pause(500);
			return heard.join() || "nothing"}`)
		v.Press("button")
		if heard := citizen.Outcome(t, v); inChromium && heard != "nothing" {
			t.Errorf("the page hears %q of an extension that is gone", heard)
		}
		v.LogsInAt(t, citizen.Site)
	})
	t.Run("browser killed", func(t *testing.T) {
		var host, browser int
		interrupt(t, func() {
			host, browser = processes()
			syscall.Kill(browser, syscall.SIGKILL)
		})
		await.That(t, "the native host ends with its browser", func() bool { return syscall.Kill(host, 0) != nil })
	})
}
