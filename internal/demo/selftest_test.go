package demo

import (
	"net/http"
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
	for _, test := range []struct {
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
		bridge.Serve(test.serve)
		run(t, ctx, chromedp.Navigate(town.url+"/selftest?lang=de"), chromedp.Click("#start", chromedp.ByQuery),
			chromedp.WaitVisible(`#result[data-code="`+test.want+`"]`, chromedp.ByQuery),
			chromedp.WaitVisible(`[data-check="extension"].`+test.extension, chromedp.ByQuery))
	}
}

// All languages say the same things.
func TestSelftestTexts(t *testing.T) {
	t.Parallel()
	for lang, text := range selftests {
		if text.Lang != lang || len(text.Checks) != 4 || len(text.States) != 5 || len(text.Results) != len(selftests["it"].Results) {
			t.Errorf("%s lacks a text", lang)
		}
		for i, m := range text.Results {
			if m.Code != selftests["it"].Results[i].Code || m.Title == "" || m.Text == "" || m.Next == "" {
				t.Errorf("%s: %q is not explained", lang, m.Code)
			}
		}
	}
	reply, _ := get(t, func(r *http.Request) { r.URL.Path = "/selftest" })
	if reply.StatusCode != http.StatusOK {
		t.Error(reply.Status)
	}
}
