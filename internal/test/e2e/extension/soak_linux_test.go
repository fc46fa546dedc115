package extension

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
)

var soak = flag.Duration("soak", 0, "let the tabs of browsers lie idle for so long")

// TestSoak: in a tab that lies idle after a login nothing of ours runs: no script in the page, no
// background of the extension, no native host. The next login wakes all of it.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		return // scripts/soak asks for it
	}
	t.Run("Chromium", func(t *testing.T) {
		v := citizen.NewVisit(t, citizen.Chromium, true)
		c := v.Tab.(*browsers.Chromium)
		background := strings.TrimSuffix(browser.ChromiumExtension, "/") + "/background.js"
		var before, after float64
		liesIdle(t, v,
			func() bool { return c.Targets()[background] == "service_worker" },
			func() { before = scriptSeconds(c) },
			func() { after = scriptSeconds(c) })
		fmt.Printf("Chromium: scripts ran for %.3f ms in a tab that lay idle for %v\n", (after-before)*1000, *soak)
		if after != before {
			t.Error("a script ran in the idle tab")
		}
	})
	t.Run("Firefox", func(t *testing.T) {
		v := citizen.NewVisit(t, citizen.Firefox, true)
		f := v.Tab.(*browsers.Firefox)
		liesIdle(t, v, func() bool {
			return f.RunInside(`return WebExtensionPolicy.getByID("`+browser.FirefoxExtension+`").extension.backgroundState`) == "running"
		}, func() {}, func() {})
	})
}

// liesIdle logs in, waits, and logs in again.
func liesIdle(t *testing.T, v *citizen.Visit, awake func() bool, begin, end func()) {
	t.Helper()
	v.Command(t, "sites", "allow", citizen.Site)
	v.Open(citizen.Site)
	v.Press("button")
	v.Serve.Next(citizen.PinAsked)
	if n := nativeHosts(t); !awake() || n != 1 {
		t.Fatalf("in a login the background is awake: %v, and %d native hosts run", awake(), n)
	}
	v.Serve.Answer(citizen.PIN)
	citizen.WantOutcome(t, v, "token")
	time.Sleep(10 * time.Second) // what the browser still does with the page
	begin()
	time.Sleep(*soak)
	end()
	if awake() {
		t.Error("the background does not sleep")
	}
	if n := nativeHosts(t); n != 0 {
		t.Errorf("%d native hosts run", n)
	}
	v.Run("window.outcome = ''")
	v.Press("button")
	v.TypePIN()
	citizen.WantOutcome(t, v, "token")
	fmt.Printf("%s: a login after the background slept\n", t.Name())

	// A browser may end a background that does nothing, but not in the middle of a login.
	v.Open(citizen.Site)
	v.Press("button")
	v.Serve.Next(citizen.PinAsked)
	time.Sleep(slowCitizen)
	v.Serve.Answer(citizen.PIN)
	citizen.WantOutcome(t, v, "token")
	fmt.Printf("%s: a login whose PIN took %v\n", t.Name(), slowCitizen)
}

// slowCitizen is a little less than the service waits for a PIN.
const slowCitizen = 110 * time.Second

// scriptSeconds is how long scripts ran in the process of a tab, of the page and of the extension.
func scriptSeconds(c *browsers.Chromium) (seconds float64) {
	c.Do(chromedp.ActionFunc(func(ctx context.Context) error {
		ctx = cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Target)
		if err := performance.Enable().Do(ctx); err != nil {
			return err
		}
		metrics, err := performance.GetMetrics().Do(ctx)
		for _, m := range metrics {
			if m.Name == "ScriptDuration" {
				seconds = m.Value
			}
		}
		return err
	}))
	return seconds
}

// nativeHosts counts the processes of this program that browsers started for the extension.
func nativeHosts(t *testing.T) (n int) {
	t.Helper()
	self, err := exec.LookPath("crs")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		line, _ := os.ReadFile(p + "/cmdline") // the process may have ended
		file, _ := os.Readlink(p + "/exe")
		forExtension := strings.Contains(string(line), browser.ChromiumExtension) || strings.Contains(string(line), browser.FirefoxExtension)
		if forExtension && file == self {
			n++
		}
	}
	return n
}
