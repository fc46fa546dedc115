package dialog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

var cns = crs.Info{
	PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true},
	PUKFormat: crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true},
}

// A new PIN is typed twice, has the form that the card needs and is not the old one; a PUK has its
// length; and whatever was typed and is not returned is wiped.
func TestT11CareWipes(t *testing.T) {
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
		{"given up at the old PIN", false, nil, nil},
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
			first, fresh, err = ui.AskUnblock(t.Context(), catalog.PUKPrompt{Card: cns, Status: crs.UnknownPINStatus})
		} else {
			first, fresh, err = ui.ChangePIN(t.Context(), catalog.PINPrompt{Card: cns, Status: crs.UnknownPINStatus})
		}
		var want []*crs.PIN
		for _, i := range test.left {
			want = append(want, s.typed[i])
		}
		switch {
		case want == nil && (!errors.Is(err, crs.ErrCancelled) || first != nil || fresh != nil || len(s.texts) != len(s.types)+1):
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

// Each step says what it is about, and why it is asked again, in the language of the page.
func TestCareSaysWhy(t *testing.T) {
	t.Setenv("LANGUAGE", "it")
	prompt := catalog.Prompt{Lang: "de", Developer: true}
	ask := func(types ...string) (*typist, UI) {
		s := &typist{types: types, answer: true}
		return s, UI{Screen: func() (Screen, error) { return s, nil }}
	}
	form := func(pin string) error { return catalog.CheckPIN(crs.NewPIN([]byte(pin)), cns.PINFormat) }

	s, ui := ask("1", "12345", "2468", "12345", "24680", "24681", "24680", "24680")
	p := catalog.PINPrompt{Prompt: prompt, Card: cns, Status: crs.UnknownPINStatus}
	if _, _, err := ui.ChangePIN(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	c := catalog.PINFlow{Card: cns, Lang: "de", Developer: true}
	again := p
	again.Last = form("1")
	want := []catalog.Text{
		c.OldPIN(p), c.OldPIN(again), c.NewPIN(false, nil), c.NewPIN(false, form("2468")), c.NewPIN(false, catalog.ErrSame),
		c.NewPIN(true, nil), c.NewPIN(false, catalog.ErrDiffer), c.NewPIN(true, nil),
	}
	if !slices.Equal(s.texts, want) || s.asked != nil {
		t.Errorf("change: %+v", s.texts)
	}

	for _, tries := range []int{-1, 2, 1, 0} {
		s, ui := ask("123", "87654321", "24680", "24680")
		p := catalog.PUKPrompt{Prompt: prompt, Card: cns, Status: crs.PINStatus{Retries: tries}}
		if _, _, err := ui.AskUnblock(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		c := catalog.PINFlow{Card: cns, Unblock: true, Lang: "de", Developer: true}
		again := p
		again.Last = crs.ErrPINFormat
		want := []catalog.Text{c.PUK(p), c.PUK(again), c.NewPIN(false, nil), c.NewPIN(true, nil)}
		var asked []catalog.Text
		if tries == 0 || tries == 1 {
			asked = []catalog.Text{c.LastPUK()}
		}
		if !slices.Equal(s.texts, want) || !slices.Equal(s.asked, asked) {
			t.Errorf("unblock, %d tries: %+v, asked %+v", tries, s.texts, s.asked)
		}
		if yes, err := ui.OfferUnblock(t.Context(), prompt, cns); err != nil || !yes || s.asked[len(s.asked)-1] != c.Offer() {
			t.Errorf("offer: %v, %v", yes, err)
		}
		if err := ui.ReportCare(t.Context(), prompt, cns, true, crs.ErrContactless); err != nil || s.told[0] != c.Report(crs.ErrContactless) {
			t.Errorf("report: %v, %+v", err, s.told)
		}
	}
}

// T12: before what may be the PUK's last try a no, or a closed dialog, sends nothing and wipes all.
func TestT12LastPUK(t *testing.T) {
	closed := errors.New("closed")
	for _, err := range []error{nil, closed} {
		s := &typist{types: []string{"87654321", "24680", "24680"}, err: err}
		ui := UI{Screen: func() (Screen, error) { return s, nil }}
		puk, fresh, got := ui.AskUnblock(t.Context(), catalog.PUKPrompt{Card: cns, Status: crs.PINStatus{Retries: 1}})
		want := err
		if want == nil {
			want = crs.ErrCancelled
		}
		if puk != nil || fresh != nil || !errors.Is(got, want) {
			t.Errorf("%v: %v", err, got)
		}
		for i, pin := range s.typed {
			if pin.Len() != 0 {
				t.Errorf("%v: answer %d is not wiped", err, i)
			}
		}
	}
}

// Rule 10: eight digits as the PIN that holds now are asked about; a PIN as the PUK is not taken.
func TestRule10InCare(t *testing.T) {
	p := catalog.PINPrompt{Card: cns, Status: crs.UnknownPINStatus}
	for _, isPIN := range []bool{true, false} {
		s := &typist{types: []string{"87654321", "24680", "24680"}, answer: isPIN}
		ui := UI{Screen: func() (Screen, error) { return s, nil }}
		old, _, err := ui.ChangePIN(t.Context(), p)
		if isPIN && (err != nil || old != s.typed[0]) || !isPIN && (old != nil || s.typed[0].Len() != 0) {
			t.Errorf("is it the PIN: %v: %v", isPIN, err)
		}
		if len(s.asked) != 1 || s.asked[0] != catalog.PINOrPUK(p) {
			t.Errorf("asked %+v", s.asked)
		}
	}
	s := &typist{types: []string{"12345", "1234567", "123456789"}}
	ui := UI{Screen: func() (Screen, error) { return s, nil }}
	puk, _, err := ui.AskUnblock(t.Context(), catalog.PUKPrompt{Card: cns, Status: crs.UnknownPINStatus})
	if puk != nil || !errors.Is(err, crs.ErrCancelled) || len(s.texts) != 4 {
		t.Errorf("PIN as PUK: %v, asked %d times", err, len(s.texts))
	}
}

// TestBlanks: a PIN that was pasted with a line end, or typed with a blank behind it, is taken like
// the digits alone, and so are a PUK and a new PIN. The blanks of a token's PIN are its own.
func TestBlanks(t *testing.T) {
	token := crs.Info{Kind: "token", PINFormat: crs.PINFormat{Min: 4, Max: 16}}
	flows := map[string]func(UI) []*crs.PIN{
		"PIN": func(ui UI) []*crs.PIN {
			pin, _ := ui.AskPIN(t.Context(), catalog.PINPrompt{Card: cns})
			return []*crs.PIN{pin}
		},
		"change": func(ui UI) []*crs.PIN {
			old, fresh, _ := ui.ChangePIN(t.Context(), catalog.PINPrompt{Card: cns})
			return []*crs.PIN{old, fresh}
		},
		"unblock": func(ui UI) []*crs.PIN {
			puk, fresh, _ := ui.AskUnblock(t.Context(), catalog.PUKPrompt{Card: cns, Status: crs.UnknownPINStatus})
			return []*crs.PIN{puk, fresh}
		},
		"token": func(ui UI) []*crs.PIN {
			pin, _ := ui.AskPIN(t.Context(), catalog.PINPrompt{Card: token})
			return []*crs.PIN{pin}
		},
	}
	for _, test := range []struct {
		flow         string
		types, taken []string
	}{
		{"PIN", []string{"12345\n"}, []string{"12345"}},
		{"PIN", []string{"12345 "}, []string{"12345"}},
		{"PIN", []string{"12 345", "\t12345\r\n"}, []string{"12345"}},
		{"change", []string{" 12345", "54321\u00a0", "54321"}, []string{"12345", "54321"}},
		{"unblock", []string{"87654321\r\n", "54321", "54321 "}, []string{"87654321", "54321"}},
		{"token", []string{"12345 \n"}, []string{"12345 "}},
	} {
		t.Run(fmt.Sprintf("%s %q", test.flow, test.types), func(t *testing.T) {
			s := &typist{types: test.types}
			taken := flows[test.flow](UI{Screen: func() (Screen, error) { return s, nil }})
			for i, want := range test.taken {
				if taken[i] == nil || !taken[i].Equal(crs.NewPIN([]byte(want))) {
					t.Errorf("%d: not %q", i, want)
				}
			}
		})
	}
}

// A screen that is not there, or answers with nothing, is an error and never an answer.
func TestCareWithoutAScreen(t *testing.T) {
	none := errors.New("no screen")
	for _, test := range []struct {
		screen Screen
		err    error
	}{{nil, none}, {empty{}, nil}} {
		ui := UI{Screen: func() (Screen, error) { return test.screen, test.err }}
		_, _, err1 := ui.ChangePIN(t.Context(), catalog.PINPrompt{Card: cns})
		_, _, err2 := ui.AskUnblock(t.Context(), catalog.PUKPrompt{Card: cns})
		for i, err := range []error{err1, err2} {
			if err == nil || test.err != nil && !errors.Is(err, test.err) || errors.Is(err, crs.ErrCancelled) {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
}

// empty is a screen that answers with no PIN.
type empty struct{ Screen }

func (empty) AskPIN(context.Context, catalog.Text) (*crs.PIN, error) { return nil, nil }
