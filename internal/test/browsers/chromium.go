//go:build linux

package browsers

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// Chromium is a tab of a Chromium.
type Chromium struct {
	t   testing.TB
	ctx context.Context
}

// StartChromium starts a Chromium that ends with the test.
func StartChromium(t testing.TB, o Options) *Chromium {
	t.Helper()
	ns.NeedProgram(t, "chromium")
	var hosts, public []string
	for _, host := range o.Hosts {
		hosts = append(hosts, "MAP "+host+" 127.0.0.1")
	}
	for _, address := range o.Public {
		public = append(public, address+"=public")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // tests may run as root
		chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Env(o.Env...),
		chromedp.Flag("host-resolver-rules", strings.Join(hosts, ",")),
		chromedp.Flag("ip-address-space-overrides", strings.Join(public, ",")),
	)
	if o.Extension != "" {
		options = append(options, chromedp.Flag("disable-extensions", false), chromedp.Flag("load-extension", o.Extension))
	}
	if o.Language != "" {
		options = append(options, chromedp.Env(append(o.Env, "LANGUAGE="+o.Language)...))
	}
	if o.Screen {
		options = append(options, chromedp.Flag("headless", false), chromedp.Flag("enable-automation", false),
			chromedp.Flag("test-type", true), // no bar above the page, with a warning of these options
			chromedp.Flag("window-position", "0,0"), chromedp.WindowSize(1000, 740))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		killed := ctx.Err() != nil // by the test
		if err := chromedp.Cancel(ctx); err != nil && !killed {
			t.Error(err)
		}
		cancel()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return &Chromium{t, ctx}
}

// Do is for what only Chromium can do.
func (c *Chromium) Do(actions ...chromedp.Action) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, await.Limit)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Chromium) Open(url string) {
	c.t.Helper()
	c.Do(chromedp.Navigate(url))
}

func (c *Chromium) Back() {
	c.t.Helper()
	left := c.Run("return location.href")
	c.Do(chromedp.Evaluate("history.back()", nil)) // chromedp's own waits for a page to load
	await.That(c.t, "the page before", func() bool {
		var at string
		// Between the pages there is none that could answer.
		return chromedp.Run(c.ctx, chromedp.Evaluate("location.href", &at)) == nil && at != left
	})
}

func (c *Chromium) Press(selector string) {
	c.t.Helper()
	c.Do(chromedp.Click(selector, chromedp.ByQuery))
}

func (c *Chromium) Type(keys string) {
	c.t.Helper()
	c.Do(chromedp.KeyEvent(keys))
}

// PressInFrame presses until the page says that the frame was pressed: a click gets lost as long as
// the frame, which has a process of its own, was not drawn.
func (c *Chromium) PressInFrame() {
	c.t.Helper()
	await.That(c.t, "a frame that takes a click", func() bool {
		c.Press("iframe")
		time.Sleep(200 * time.Millisecond)
		return c.Run("return window.pressed") != ""
	})
}

func (c *Chromium) Run(script string) (s string) {
	c.t.Helper()
	await := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	c.Do(chromedp.Evaluate("(async () => {"+script+"})().then((s) => s ?? \"\")", &s, await))
	return s
}

// Front puts this tab before the others.
func (c *Chromium) Front() {
	c.t.Helper()
	c.Do(page.BringToFront())
}

func (c *Chromium) Picture() (png []byte) {
	c.t.Helper()
	c.Front() // what is behind others is not drawn
	c.Do(chromedp.FullScreenshot(&png, 100))
	return png
}

func (c *Chromium) New(front bool) Tab {
	c.t.Helper()
	var id target.ID
	c.Do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = target.CreateTarget("about:blank").WithBackground(!front).Do(ctx)
		return err
	}))
	ctx, _ := chromedp.NewContext(c.ctx, chromedp.WithTargetID(id))
	if err := chromedp.Run(ctx); err != nil { // the first of a context is for its whole life
		c.t.Fatal(err)
	}
	return &Chromium{c.t, ctx}
}

func (c *Chromium) Close() {
	c.t.Helper()
	if err := chromedp.Cancel(c.ctx); err != nil {
		c.t.Fatal(err)
	}
}

// Targets are the types and addresses of all that runs in the browser.
func (c *Chromium) Targets() map[string]string {
	c.t.Helper()
	all, err := chromedp.Targets(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	m := make(map[string]string)
	for _, info := range all {
		m[info.URL] = info.Type
	}
	return m
}
