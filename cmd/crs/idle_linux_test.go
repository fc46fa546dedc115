package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/serviceworker"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/testbrowser"
)

// A page that does not log in wakes nothing: not the background of the extension, not a process.

func TestChromiumIdle(t *testing.T) {
	v := newVisit(t, chromium, true)
	c := v.Tab.(*testbrowser.Chromium)
	awake := func() bool {
		return c.Targets()[browser.ChromiumExtension+"background.js"] == "service_worker"
	}
	v.idle(t, awake, func() { c.Do(serviceworker.Enable(), serviceworker.StopAllWorkers(), serviceworker.Disable()) })
}

func TestFirefoxIdle(t *testing.T) {
	v := newVisit(t, firefox, true)
	f := v.Tab.(*testbrowser.Firefox)
	extension := `const { extension } = WebExtensionPolicy.getByID("` + browser.FirefoxExtension + `"); `
	awake := func() bool { return f.RunInside(extension+`return extension.backgroundState`) != "stopped" }
	v.idle(t, awake, func() { f.RunInside(extension + `await extension.terminateBackground(); return ""`) })
}

func (v *visit) idle(t *testing.T, awake func() bool, sleep func()) {
	v.run(t, "sites", "allow", site)
	host := filepath.Join(string(v.home), "noted-host")
	write(t, host, "#!/bin/sh\ntouch "+host+".started\nexec "+v.hostProgram(t)+" \"$@\"\n", 0o755)
	v.installHost(t, host)
	sleeps := func(when string) {
		t.Helper()
		time.Sleep(500 * time.Millisecond)
		if awake() {
			t.Errorf("%s the background runs", when)
		}
		if _, err := os.Stat(host + ".started"); err == nil {
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
	if _, err := os.Stat(host + ".started"); err != nil || !awake() {
		t.Errorf("during a login nothing runs: %v", err)
	}
}
