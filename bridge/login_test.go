package bridge

import (
	"testing"

	"github.com/crs-bridge/crs"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial(portale)
	ch := c.authenticate(7, `,"lang":"it"`)
	m, states := c.reply()
	token := checkToken(t, m, portale, ch)
	if token.Format != crs.TokenFormat || token.AppVersion != w.AppVersion {
		t.Errorf("token %q %q", token.Format, token.AppVersion)
	}
	if states != "card pin signing" {
		t.Errorf("progress %q", states)
	}
	if asked := w.ui.log(); asked != "pin:<nil>" {
		t.Errorf("asked %q", asked)
	}
}
