package dialog

import (
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
)

var cns = crs.Info{
	PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true},
	PUKFormat: crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true},
}

// A new PIN is typed twice, has the form that the card needs and is not the old one; a PUK has its
// length; and whatever was typed and is not returned is wiped.
func TestCareOfAPIN(t *testing.T) {
	for _, test := range []struct {
		name    string
		unblock bool
		types   []string
		left    []int // indices of what is returned, none if the user gave up
	}{
		{"change", false, []string{"12345", "24680", "24680"}, []int{0, 1}},
		{"old PIN of the wrong form", false, []string{"1", "12345", "24680", "24680"}, []int{1, 2}},
		{"new PIN of the wrong form", false, []string{"12345", "2468", "abcde", "24680", "24680"}, []int{0, 3}},
		{"new PIN is the old one", false, []string{"12345", "12345", "24680", "24680"}, []int{0, 2}},
		{"not the same twice", false, []string{"12345", "24680", "24681", "13579", "13579"}, []int{0, 3}},
		{"given up at the new PIN", false, []string{"12345"}, nil},
		{"given up at the second time", false, []string{"12345", "24680"}, nil},
		{"unblock", true, []string{"87654321", "24680", "24680"}, []int{0, 1}},
		{"PUK of the wrong form", true, []string{"12345", "1234567x", "87654321", "24680", "24680"}, []int{2, 3}},
		{"given up at the PUK", true, []string{"12345"}, nil},
		{"given up after the PUK", true, []string{"87654321", "24680"}, nil},
	} {
		s := &typist{types: test.types}
		ui := UI{Screen: func() (Screen, error) { return s, nil }}
		var first, fresh *crs.PIN
		var err error
		if test.unblock {
			first, fresh, err = ui.AskUnblock(t.Context(), crs.PUKPrompt{Card: cns, Status: crs.UnknownPINStatus})
		} else {
			first, fresh, err = ui.ChangePIN(t.Context(), crs.PINPrompt{Card: cns, Status: crs.UnknownPINStatus})
		}
		var want []*crs.PIN
		for _, i := range test.left {
			want = append(want, s.typed[i])
		}
		switch {
		case want == nil && (!errors.Is(err, crs.ErrCancelled) || first != nil || fresh != nil):
			t.Errorf("%s: %v", test.name, err)
		case want != nil && (err != nil || first != want[0] || fresh != want[1]):
			t.Errorf("%s: %v, or not what was typed", test.name, err)
		}
		for i, pin := range s.typed {
			if kept := want != nil && (i == test.left[0] || i == test.left[1]); kept == (pin.Len() == 0) {
				t.Errorf("%s: answer %d has %d digits", test.name, i, pin.Len())
			}
		}
	}
}
