package portal

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// A Browser says how Chromium finds its way in a test.
type Browser struct {
	// Ports lead to these addresses: the bridge's three ports are the same on every computer,
	// and tests run side by side.
	Ports [3]string

	// Hosts lead to these addresses, by "host" or "host:port".
	Hosts map[string]string

	// Public is the port of a page that counts as one of the internet, "" for none.
	Public string
}

// Start starts a headless Chromium for the test, which has time for it on a busy machine too.
func (b Browser) Start(t testing.TB) context.Context {
	t.Helper()
	ns.NeedProgram(t, "chromium")
	var rules []string
	for i, port := range []string{"27770", "27771", "27772"} {
		if b.Ports[i] == "" {
			b.Ports[i] = closedPort(t)
		}
		rules = append(rules, "MAP 127.0.0.1:"+port+" "+b.Ports[i])
	}
	for host, addr := range b.Hosts {
		rules = append(rules, "MAP "+host+" "+addr)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // tests may run as root
		chromedp.IgnoreCertErrors,
		chromedp.Flag("host-resolver-rules", strings.Join(rules, ",")),
	)
	if b.Public != "" {
		options = append(options, chromedp.Flag("ip-address-space-overrides", "127.0.0.1:"+b.Public+"=public"))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		// Closed and not killed: the processes of a killed Chromium outlive it for a moment,
		// and write into its profile after that was removed.
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("Chromium: %v; `scripts/bootstrap test` installs it", err)
	}
	limited, cancelLimited := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancelLimited)
	return limited
}
