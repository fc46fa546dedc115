package pcsc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// onlyRead checks that a card was sent nothing but SELECT and READ BINARY, and that no PIN was tried.
func (v *virtual) onlyRead(t *testing.T) {
	t.Helper()
	for _, x := range v.Log() {
		if x.INS != insSelect && x.INS != insReadBinary {
			t.Errorf("INS %02X was sent", x.INS)
		}
	}
	if v.Secrets() != 0 || v.Count(insVerify)+v.Count(insChangePIN)+v.Count(insResetRetry) != 0 || v.tries() != 3 {
		t.Error("a PIN was sent")
	}
}

// Rule 2: a card that says that it is a health card, and has nothing where one is looked for, is of a
// model not known yet; any other card is none.
func TestRule2UnknownModel(t *testing.T) {
	ace := "ace"
	for name, test := range map[string]struct {
		config virtualcard.Config
		want   error
	}{
		"ATR of the ACe 2025, no file":       {virtualcard.Config{Profile: ace, Foreign: virtualcard.ForeignBare}, crs.ErrUnknownModel},
		"ATR of the ACe 2025, IAS":           {virtualcard.Config{Profile: ace, Foreign: virtualcard.ForeignIAS}, crs.ErrUnknownModel},
		"ATR of IDEMIA, IAS":                 {virtualcard.Config{Profile: "idemia", Foreign: virtualcard.ForeignIAS}, crs.ErrUnknownModel},
		"ATR of InfoCamere, no file":         {virtualcard.Config{Profile: "infocamere", Foreign: virtualcard.ForeignBare}, crs.ErrUnknownModel},
		"T=0, IAS":                           {virtualcard.Config{Profile: "t0", Foreign: virtualcard.ForeignIAS}, crs.ErrUnknownModel},
		"card id, no certificate":            {virtualcard.Config{Files: map[string][]byte{"1100/1101": nil}}, crs.ErrUnknownModel},
		"no marker, no file":                 {virtualcard.Config{Profile: "nfc", Foreign: virtualcard.ForeignBare}, crs.ErrNoCNS},
		"no marker, card id, no certificate": {virtualcard.Config{Profile: "nfc", Files: map[string][]byte{"1100/1101": nil}}, crs.ErrNoCNS},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(test.config)
			card, err := v.driver.Open(context.Background(), v.reader)
			if card != nil || !errors.Is(err, test.want) || crs.CodeOf(err) != crs.ErrCardUnusable {
				t.Errorf("%v, %v", card, err)
			}
			var model *crs.ModelError
			if errors.As(err, &model) != (test.want == crs.ErrUnknownModel) || model != nil && fmt.Sprintf("%X", model.ATR) != fmt.Sprintf("%X", v.ATR()) {
				t.Errorf("model %+v", model)
			}
			for _, x := range v.Log() {
				if x.INS == insSelect && x.P1 == 0x04 && test.want == crs.ErrNoCNS {
					t.Error("an application was looked for on a card without the marker")
				}
			}
			v.onlyRead(t)
		})
	}
}

// Rule 2: an ACe 2025 is recognised, its holder is named, and it is never asked for a PIN.
func TestRule2ACe2025(t *testing.T) {
	holder := "ADA ESEMPIO"
	for name, test := range map[string]struct {
		files  map[string][]byte
		holder string
	}{
		"as in the trace":         {nil, holder},
		"padded file":             {map[string][]byte{"ACE0/DA01/C001": append(virtualcard.Shared(2048).Certificate.Raw, make([]byte, 300)...)}, holder},
		"no certificate":          {map[string][]byte{"ACE0/DA01/C001": nil}, ""},
		"certificate of zeros":    {map[string][]byte{"ACE0/DA01/C001": make([]byte, 1885)}, ""},
		"certificate cut off":     {map[string][]byte{"ACE0/DA01/C001": virtualcard.Shared(2048).Certificate.Raw[:900]}, ""},
		"certificate in no bytes": {map[string][]byte{"ACE0/DA01/C001": {}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{Profile: "ace", Files: test.files})
			for range 2 {
				card, err := v.driver.Open(context.Background(), v.reader)
				var model *crs.ModelError
				if card != nil || !errors.Is(err, crs.ErrModelCannotSign) || !errors.As(err, &model) || crs.CodeOf(err) != crs.ErrCardUnusable {
					t.Fatalf("%v, %v", card, err)
				}
				if model.Holder != test.holder {
					t.Errorf("holder %q", model.Holder)
				}
				if test.holder != "" && !model.Expires.Equal(v.Person().Certificate.NotAfter) {
					t.Errorf("expires %v", model.Expires)
				}
				if strings.Contains(err.Error(), "ESEMPIO") { // it is logged (T24)
					t.Errorf("error %q", err)
				}
			}
			v.onlyRead(t)
		})
	}
}

// A card that is pulled while its model is found out is gone, and not unknown.
func TestT19PulledWhileTheModelIsFound(t *testing.T) {
	for at := 1; ; at++ {
		v := newVirtual(virtualcard.Config{Profile: "ace"})
		v.Inject(virtualcard.Fault{At: at, Remove: true})
		_, err := v.driver.Open(context.Background(), v.reader)
		if errors.Is(err, crs.ErrModelCannotSign) && len(v.Log()) <= at {
			if at < 6 {
				t.Errorf("%d commands", at)
			}
			return // it was pulled at the last SELECT, or later
		}
		if !errors.Is(err, crs.ErrCardRemoved) {
			t.Errorf("command %d: %v", at, err)
		}
	}
}
