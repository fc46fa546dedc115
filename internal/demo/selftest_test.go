package demo

import (
	"testing"

	"github.com/chromedp/chromedp"

	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// The page finds the program, and says what to do when it does not.
func TestSelftest(t *testing.T) {
	t.Parallel()
	town := newTown(t)
	bridge := portaltest.NewBridge(t)
	ctx := portaltest.Browser{Ports: [3]string{bridge.Addr}}.Start(t)
	for _, tt := range []struct {
		serve     func(*portaltest.Conn)
		want      string
		extension string // how that check ends: the browser has none
	}{
		{func(c *portaltest.Conn) { c.Hello() }, "socket", "spare"},
		{func(c *portaltest.Conn) {
			m, _ := c.Read()
			c.Refuse(m.ID, "unsupported_version")
			c.Read()
		}, "unsupported_version", "absent"},
		{nil, "missing", "absent"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			bridge.Serve(tt.serve)
			run(t, ctx, chromedp.Navigate(town.url+"/selftest?lang=de"), chromedp.Click("#start", chromedp.ByQuery),
				chromedp.WaitVisible(`#result[data-code="`+tt.want+`"]`, chromedp.ByQuery),
				chromedp.WaitVisible(`[data-check="extension"].`+tt.extension, chromedp.ByQuery))
		})
	}
}
