package portaltest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// NewBrowser starts a headless Chromium for the test, which has a minute. The bridge's
// three ports, which are the same on every computer, lead to these addresses instead, and
// portal.example is this computer.
func NewBrowser(t testing.TB, ports [3]string, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	rules := []string{"MAP portal.example 127.0.0.1"}
	for i, addr := range ports {
		rules = append(rules, "MAP 127.0.0.1:"+[]string{"27770", "27771", "27772"}[i]+" "+addr)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // tests may run as root
		chromedp.Flag("host-resolver-rules", strings.Join(rules, ",")),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(options, flags...)...)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancel()
		chromedp.FromContext(ctx).Allocator.Wait()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	limited, cancelLimited := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancelLimited)
	return limited
}
