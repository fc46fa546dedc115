package extension

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/serviceworker"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
)

// A page that does not log in wakes nothing: not the background of the extension, not a process.

func TestChromiumIdle(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Chromium, true)
	c := v.Tab.(*browsers.Chromium)
	awake := func() bool {
		return c.Targets()[browser.ChromiumExtension+"background.js"] == "service_worker"
	}
	idle(t, v, awake, func() { c.Do(serviceworker.Enable(), serviceworker.StopAllWorkers(), serviceworker.Disable()) })
}

func TestFirefoxIdle(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Firefox, true)
	f := v.Tab.(*browsers.Firefox)
	extension := `const { extension } = WebExtensionPolicy.getByID("` + browser.FirefoxExtension + `"); `
	awake := func() bool { return f.RunInside(extension+`return extension.backgroundState`) != "stopped" }
	idle(t, v, awake, func() { f.RunInside(extension + `await extension.terminateBackground(); return ""`) })
}

func idle(t *testing.T, v *citizen.Visit, awake func() bool, sleep func()) {
	v.Command(t, "sites", "allow", citizen.Site)
	hosts := v.CountHosts(t)
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
	v.Open(citizen.Site)
	sleep()
	sleeps("before it is needed")
	v.Open(citizen.Site)
	v.Run(sixFrames)
	sleeps("because of pages and frames")
	v.Run("window.act = async () => {" + talk + `
		tell("find");
		return next()}`)
	v.Press("button")
	citizen.WantOutcome(t, v, "found")
	sleeps("because a page looked for the extension")
	v.LogsInAt(t, citizen.Site)
	if hosts() != 1 || !awake() {
		t.Error("during a login nothing ran")
	}
}
