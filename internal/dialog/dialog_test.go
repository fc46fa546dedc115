package dialog

import (
	"context"
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// typist answers the PIN questions with what it types, and the others with answer.
type typist struct {
	Screen
	types  []string
	typed  []*crs.PIN
	texts  []catalog.Text
	asked  []catalog.Text // by Ask
	told   []catalog.Text
	answer bool
	err    error
}

func (s *typist) AskPIN(_ context.Context, t catalog.Text) (*crs.PIN, error) {
	s.texts = append(s.texts, t)
	if len(s.typed) == len(s.types) {
		return nil, crs.ErrCancelled
	}
	pin := crs.NewPIN([]byte(s.types[len(s.typed)]))
	s.typed = append(s.typed, pin)
	return pin, nil
}

func (s *typist) Ask(_ context.Context, t catalog.Text) (bool, error) {
	s.asked = append(s.asked, t)
	return s.answer, s.err
}

func (s *typist) Tell(_ context.Context, t catalog.Text) error {
	s.told = append(s.told, t)
	return nil
}

// TestT11RefusedPINsAreWiped: of what was typed, only the PIN that AskPIN returns is left.
func TestT11RefusedPINsAreWiped(t *testing.T) {
	closed := errors.New("closed")
	for _, test := range []struct {
		typist typist
		want   error
		left   int // index of the PIN that is returned, -1 for none
	}{
		{typist{types: []string{"1", "abcde", "123456789", "13579"}}, nil, 3},
		{typist{types: []string{"1", "", "2"}}, crs.ErrCancelled, -1},
		{typist{types: []string{"12345678", "13579"}}, nil, 1},
		{typist{types: []string{"13579", "12345678"}, answer: true}, nil, 0},
		{typist{types: []string{"12345678"}, answer: true}, nil, 0},
		{typist{types: []string{"12345678"}, err: closed}, closed, -1},
	} {
		s := &test.typist
		ui := UI{Screen: func() (Screen, error) { return s, nil }}
		card := crs.Info{PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}}
		pin, err := ui.AskPIN(t.Context(), catalog.PINPrompt{Card: card})
		if !errors.Is(err, test.want) {
			t.Errorf("%q: %v, want %v", s.types, err, test.want)
		}
		if (pin == nil) != (test.left < 0) || pin != nil && pin != s.typed[test.left] {
			t.Errorf("%q: not the PIN that was typed last", s.types)
		}
		for i, typed := range s.typed {
			if wiped := typed.Len() == 0; wiped == (i == test.left) {
				t.Errorf("%q: PIN %d wiped: %v", s.types, i, wiped)
			}
		}
	}
}

// TestTriesSurviveTypingErrors: what the card just said of the tries is still shown when the next
// typing has the wrong form.
func TestTriesSurviveTypingErrors(t *testing.T) {
	s := &typist{types: []string{"1"}}
	ui := UI{Screen: func() (Screen, error) { return s, nil }}
	p := catalog.PINPrompt{Card: crs.Info{PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}}, Status: crs.PINStatus{Retries: -1}}
	p.Last = &crs.PINError{Retries: 1}
	want := catalog.PIN(p).After
	if _, err := ui.AskPIN(t.Context(), p); !errors.Is(err, crs.ErrCancelled) {
		t.Fatal(err)
	}
	if len(s.texts) != 2 || s.texts[1].After != want {
		t.Errorf("the second time: %q, want %q", s.texts[len(s.texts)-1].After, want)
	}
}

// TestOldComplaintIsForgotten: after "no, this is the PUK" nothing is said of the typing before it.
func TestOldComplaintIsForgotten(t *testing.T) {
	s := &typist{types: []string{"1", "12345678"}}
	ui := UI{Screen: func() (Screen, error) { return s, nil }}
	p := catalog.PINPrompt{Card: crs.Info{PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}}}
	if _, err := ui.AskPIN(t.Context(), p); !errors.Is(err, crs.ErrCancelled) {
		t.Fatal(err)
	}
	if len(s.texts) != 3 || s.texts[1].Before == s.texts[0].Before || s.texts[2].Before != s.texts[0].Before {
		t.Errorf("%+v", s.texts)
	}
}
