package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// Every failure has one word of the list in docs/scripts.md, and tries only where they are known.
func TestPINWords(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, test := range []struct {
		err  error
		json string
	}{
		{nil, `{"result":"ok"}`},
		{&crs.PINError{Retries: 2}, `{"error":"wrong_pin","retries":2}`},
		{&crs.PINError{Retries: 0}, `{"error":"wrong_pin","retries":0}`},
		{&crs.PINError{Retries: -1}, `{"error":"wrong_pin"}`},
		{&crs.PINError{Blocked: true}, `{"error":"pin_blocked"}`},
		{&crs.PINError{PUK: true, Retries: 1}, `{"error":"wrong_puk","retries":1}`},
		{&crs.PINError{PUK: true, Retries: -1}, `{"error":"wrong_puk"}`},
		{&crs.PINError{PUK: true, Blocked: true}, `{"error":"puk_blocked"}`},
		{&crs.PINError{Uncertain: true, Retries: -1, Err: crs.ErrCardRemoved}, `{"error":"uncertain"}`},
		{&crs.PINError{Uncertain: true, Retries: 1, PUK: true}, `{"error":"uncertain","retries":1}`},
		{sentence("pin.cancelled"), `{"error":"cancelled"}`},
		{context.Canceled, `{"error":"cancelled"}`},
		{fmt.Errorf("%w (SW 6D00)", crs.ErrPINUnsupported), `{"error":"unsupported"}`},
		{crs.ErrContactless, `{"error":"contactless"}`},
		{sentence("card.noreader"), `{"error":"no_card"}`},
		{sentence("card.nosuchreader"), `{"error":"no_card"}`},
		{sentence("card.none"), `{"error":"no_card"}`},
		{sentence("card.several"), `{"error":"several_cards"}`},
		{crs.ErrNoCNS, `{"error":"card_unusable"}`},
		{crs.ErrPINUnusable, `{"error":"card_unusable"}`},
		{crs.ErrCardInUse, `{"error":"card_error"}`},
		{crs.ErrNoService, `{"error":"card_error"}`},
		{context.DeadlineExceeded, `{"error":"internal"}`},
		{errors.New("of MARIO ROSSI"), `{"error":"internal"}`},
	} {
		got, err := json.Marshal(resultOf(test.err))
		if err != nil || string(got) != test.json {
			t.Errorf("%v: %s, want %s", test.err, got, test.json)
		}
		want[resultOf(test.err).Error] = ""
	}
	delete(want, "")

	doc, err := os.ReadFile("../../docs/scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		words = append(words, row[1])
		if _, ok := want[row[1]]; !ok {
			t.Errorf("docs/scripts.md lists %q, which is never answered", row[1])
		}
	}
	if len(words) != len(want) || len(slices.Compact(words)) != len(want) {
		t.Errorf("docs/scripts.md lists %s, the program has %d words", strings.Join(words, " "), len(want))
	}
}

// The tries shown after a refusal are the smaller of the card's number and the kept one.
func TestRule4SmallerNumberIsTold(t *testing.T) {
	t.Setenv("LANGUAGE", "en")
	kept := func(s crs.PINStatus, err error) func(context.Context) (crs.PINStatus, error) {
		return func(context.Context) (crs.PINStatus, error) { return s, err }
	}
	for _, test := range []struct {
		answer, kept int
		broken       error
		want         int
	}{
		{answer: 2, kept: 1, want: 1}, {answer: 1, kept: 2, want: 1}, {answer: 2, kept: -1, want: 2},
		{answer: -1, kept: 2, want: 2}, {answer: -1, kept: -1, want: -1}, {answer: 2, kept: 1, broken: errors.New("?"), want: 2},
	} {
		var shown crs.PINStatus
		err := refused(t.Context(), &crs.PINError{Retries: test.answer}, kept(crs.PINStatus{Retries: test.kept}, test.broken),
			func(_ error, s crs.PINStatus) string { shown = s; return "told" })
		var answer *crs.PINError
		if !errors.As(err, &answer) || answer.Retries != test.want || explain(err) != "told" {
			t.Errorf("%+v: %v", test, err)
		}
		if test.broken != nil && shown != crs.UnknownPINStatus {
			t.Errorf("%+v: shown %+v", test, shown)
		}
	}
	if err := refused(t.Context(), nil, kept(crs.PINStatus{}, nil), nil); err != nil {
		t.Error(err)
	}
	if err := refused(t.Context(), crs.ErrContactless, kept(crs.PINStatus{}, nil), nil); err != crs.ErrContactless {
		t.Error(err)
	}
}

// refusingCard is a card that refuses every PIN and PUK with answer, and keeps what it was sent.
type refusingCard struct {
	crs.Card
	pin, puk crs.PINStatus
	answer   error
	sent     int
}

func (c *refusingCard) Info() crs.Info {
	return rossi
}
func (c *refusingCard) PINStatus(context.Context) (crs.PINStatus, error) { return c.pin, nil }
func (c *refusingCard) PUKStatus(context.Context) (crs.PINStatus, error) { return c.puk, nil }
func (c *refusingCard) VerifyPIN(context.Context, *crs.PIN) error        { c.sent++; return c.answer }
func (c *refusingCard) ChangePIN(_ context.Context, _, _ *crs.PIN) error { c.sent++; return c.answer }
func (c *refusingCard) UnblockPIN(_ context.Context, _, _ *crs.PIN) error {
	c.sent++
	return c.answer
}

// TestT12LastTryInTheTerminal: before what may be the last try of a PIN or PUK `crs pin` asks once
// more, and after a no nothing is sent. What was typed is wiped, whether it was sent or not (T11).
func TestT12LastTryInTheTerminal(t *testing.T) {
	t.Setenv("LANGUAGE", "en")
	wrong := &crs.PINError{Retries: 0}
	wrongPUK := &crs.PINError{PUK: true, Retries: 0}
	for name, test := range map[string]struct {
		what   string
		types  []string
		answer error
		told   string
	}{
		"verify":  {"verify", []string{"12345"}, wrong, "The PIN was wrong."},
		"change":  {"change", []string{"12345", "24680", "24680"}, wrong, "The PIN was wrong."},
		"unblock": {"unblock", []string{"87654321", "24680", "24680"}, wrongPUK, "The PUK was wrong."},
		"torn":    {"unblock", []string{"87654321", "24680", "24680"}, &crs.PINError{PUK: true, Uncertain: true}, "either the old PIN or the new"},
	} {
		for _, left := range []int{2, 1} {
			for _, yes := range []bool{true, false} {
				for _, script := range []bool{true, false} { // a person closes the window in which they are asked again
					card := &refusingCard{answer: test.answer}
					card.pin, card.puk = crs.PINStatus{Retries: left}, crs.PINStatus{Retries: 7}
					if test.what == "unblock" {
						card.pin, card.puk = card.puk, card.pin
					}
					u := &screen.User{}
					u.Types(test.types...)
					u.OnAsk(catalog.KindLastTry, func(context.Context, catalog.Text) (bool, error) { return yes, nil })
					err := runPIN(t.Context(), test.what, bridge.PINFlow{Screen: u, Card: card, Script: script})
					sent := left == 2 || yes
					if last := u.Texts(catalog.KindLastTry); (len(last) == 1) != (left == 1) || (card.sent == 1) != sent {
						t.Errorf("%s, %d left, %v: asked %s, %d sent", name, left, yes, u.Log(), card.sent)
					}
					if want := fmt.Sprintf(": %d.", left); !strings.Contains(u.Texts()[0].After, want) {
						t.Errorf("%s: the first dialog lacks %q: %q", name, want, u.Texts()[0].After)
					}
					if sent != strings.Contains(explain(err), test.told) || sent == (word(err) == "cancelled") {
						t.Errorf("%s, %d left, %v: %v", name, left, yes, err)
					}
					for i, pin := range u.Typed() {
						if pin.Len() != 0 {
							t.Errorf("%s, %d left, %v: answer %d is not wiped", name, left, yes, i)
						}
					}
				}
			}
		}
	}
}
