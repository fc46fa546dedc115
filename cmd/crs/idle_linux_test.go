package main

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/serviceworker"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/browsers"
)

// A page that does not log in wakes nothing: not the background of the extension, not a process.

func TestChromiumIdle(t *testing.T) {
	v := newVisit(t, chromium, true)
	c := v.Tab.(*browsers.Chromium)
	awake := func() bool {
		return c.Targets()[browser.ChromiumExtension+"background.js"] == "service_worker"
	}
	v.idle(t, awake, func() { c.Do(serviceworker.Enable(), serviceworker.StopAllWorkers(), serviceworker.Disable()) })
}

func TestFirefoxIdle(t *testing.T) {
	v := newVisit(t, firefox, true)
	f := v.Tab.(*browsers.Firefox)
	extension := `const { extension } = WebExtensionPolicy.getByID("` + browser.FirefoxExtension + `"); `
	awake := func() bool { return f.RunInside(extension+`return extension.backgroundState`) != "stopped" }
	v.idle(t, awake, func() { f.RunInside(extension + `await extension.terminateBackground(); return ""`) })
}

func (v *visit) idle(t *testing.T, awake func() bool, sleep func()) {
	v.run(t, "sites", "allow", site)
	hosts := v.countHosts(t)
	sleeps := func(when string) {
		t.Helper()
		time.Sleep(500 * time.Millisecond)
		if awake() {
			t.Errorf("%s the background runs", when)
		}
		if hosts() > 0 {
			t.Errorf("%s a native host runs", when)
		}
	}
	v.Open(site)
	sleep()
	sleeps("before it is needed")
	v.Open(site)
	v.Run(sixFrames)
	sleeps("because of pages and frames")
	v.Run("window.act = async () => {" + talk + `
		tell("find");
		return next()}`)
	v.Press("button")
	wantOutcome(t, v, "found")
	sleeps("because a page looked for the extension")
	v.logsInAt(t, site)
	if hosts() != 1 || !awake() {
		t.Error("during a login nothing ran")
	}
}
