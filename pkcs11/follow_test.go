package pkcs11

import (
	"errors"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// TestHowOftenAModuleIsAsked: soon for whoever looks or waits for a card, and seldom otherwise; never
// without an event where events tell.
func TestHowOftenAModuleIsAsked(t *testing.T) {
	token := []crs.Reader{{Name: "token"}}
	for name, test := range map[string]struct {
		looked time.Duration // ago
		m      driven
		err    error
		want   time.Duration
	}{
		"somebody looks":                {0, driven{readers: token}, nil, pollSoon},
		"somebody waits for a card":     {waitsLong - time.Second, driven{}, nil, pollSoon},
		"nobody needs another card":     {lookedLong, driven{readers: token}, nil, pollLater},
		"nobody waits as long as that":  {waitsLong, driven{}, nil, pollLater},
		"events tell":                   {0, driven{Module: Module{readers: true}}, nil, 0},
		"it failed, and is asked later": {0, driven{Module: Module{readers: true}}, errors.New("failed"), firstDelay},
	} {
		test.m.host = &host{}
		tokens := &Tokens{looked: time.Now().Add(-test.looked)}
		if got := tokens.interval(&test.m, test.err); got != test.want {
			t.Errorf("%s: %v, not %v", name, got, test.want)
		}
	}
}
