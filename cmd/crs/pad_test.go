package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// keyCard is a card in a reader with keys, which answers what a test says.
type keyCard struct {
	crs.Card
	status  crs.PINStatus
	answers []error
	calls   []string
	shown   *screen.Text
}

func (c *keyCard) Info() crs.Info {
	i := rossi
	i.PINPad = true
	return i
}

func (c *keyCard) PINStatus(context.Context) (crs.PINStatus, error) { return c.status, nil }

func (c *keyCard) answer(method string, pins ...*crs.PIN) error {
	where := "keyboard"
	if pins[0] == nil {
		where = "reader" // which asks for as long as the user is told so
		told := strings.Count(strings.Join(c.calls, " "), where)
		for end := time.Now().Add(await.Limit); strings.Count(oneLine(c.shown.String()), "il tasto rosso") <= told; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return errors.New("the user was not told to type on the reader")
			}
		}
	}
	c.calls = append(c.calls, fmt.Sprintf("%s on the %s", method, where))
	err := c.answers[0]
	c.answers = c.answers[1:]
	return err
}

func (c *keyCard) VerifyPIN(_ context.Context, pin *crs.PIN) error { return c.answer("verify", pin) }
func (c *keyCard) ChangePIN(_ context.Context, old, fresh *crs.PIN) error {
	return c.answer("change", old, fresh)
}
func (c *keyCard) UnblockPIN(context.Context, *crs.PIN, *crs.PIN) error { panic("not asked for") }
func (c *keyCard) PUKStatus(context.Context) (crs.PINStatus, error)     { panic("not asked for") }

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// `crs pin verify` and `crs pin change` in a reader with keys: what is typed where, what is shown,
// and that no second command is sent without a second typing.
func TestRule9PINCommandsOnReader(t *testing.T) {
	t.Setenv("LANGUAGE", "it")
	failed := &crs.PINError{Retries: -1, Uncertain: true, SW: 0x6982, Err: crs.ErrPINPad}
	wrong := &crs.PINError{Retries: 2, SW: 0x63C2}
	const typeIt, changeIt, proveIt = "scriva il PIN (non il PUK)", "nell'ordine: il PIN di adesso", "scriva il PIN nuovo ancora una volta"
	for name, test := range map[string]struct {
		change  bool
		status  crs.PINStatus
		input   string
		answers []error
		calls   string
		shown   string
		told    string // "" if it works
	}{
		"right":      {answers: []error{nil}, calls: "verify on the reader", shown: typeIt},
		"wrong":      {answers: []error{wrong}, calls: "verify on the reader", shown: typeIt, told: "Tentativi rimasti: 2."},
		"time is up": {answers: []error{crs.ErrPadTimeout}, calls: "verify on the reader", shown: typeIt, told: "nessun PIN in tempo"},
		"red key":    {answers: []error{crs.ErrPadCancelled}, calls: "verify on the reader", shown: typeIt, told: "Annullato"},
		"too short":  {answers: []error{crs.ErrPINFormat}, calls: "verify on the reader", shown: typeIt, told: "forma giusta"},
		"other way":  {answers: []error{crs.ErrPINAgain}, calls: "verify on the reader", shown: typeIt, told: "in un altro modo"},
		"last try":   {status: crs.PINStatus{Retries: 1}, input: "s\n", answers: []error{nil}, calls: "verify on the reader", shown: "Sì, lo scrivo sul lettore"},
		"last, no":   {status: crs.PINStatus{Retries: 1}, input: "n\n", shown: "È l'ultimo tentativo", told: "Annullato"},
		"keys fail, keyboard": {input: "s\n31415\n", answers: []error{failed, nil}, calls: "verify on the reader, verify on the keyboard",
			shown: "non si sa se la carta ha ricevuto il PIN"},
		"keys fail, no":         {input: "n\n", answers: []error{failed}, calls: "verify on the reader", shown: "Un programma cattivo", told: "un altro lettore"},
		"keys fail, cancelled":  {input: "\n", answers: []error{failed}, calls: "verify on the reader", shown: "Un programma cattivo", told: "un altro lettore"},
		"change":                {change: true, answers: []error{nil, nil}, calls: "change on the reader, verify on the reader", shown: proveIt},
		"change, old PIN wrong": {change: true, answers: []error{wrong}, calls: "change on the reader", shown: changeIt, told: "Tentativi rimasti: 2."},
		"change, differ":        {change: true, answers: []error{crs.ErrPadMismatch}, calls: "change on the reader", shown: changeIt, told: "non erano uguali"},
		"change, red key":       {change: true, answers: []error{crs.ErrPadCancelled}, calls: "change on the reader", shown: changeIt, told: "Annullato"},
		"change, not proved":    {change: true, answers: []error{nil, wrong}, calls: "change on the reader, verify on the reader", shown: proveIt, told: "non è provato"},
		"change, proof fails":   {change: true, answers: []error{nil, failed}, calls: "change on the reader, verify on the reader", shown: proveIt, told: "non è provato"},
		"change, keys fail":     {change: true, answers: []error{failed}, calls: "change on the reader", shown: changeIt, told: "può valere il PIN vecchio oppure quello nuovo"},
		"change, keys cannot": {change: true, input: "s\n31415\n24680\n24680\n", answers: []error{crs.ErrPINPad, nil},
			calls: "change on the reader, change on the keyboard", shown: "non possono essere usati per questo"},
		"change, last, no": {change: true, status: crs.PINStatus{Retries: 1}, input: "n\n", shown: "È l'ultimo tentativo", told: "Annullato"},
	} {
		t.Run(name, func(t *testing.T) {
			terminal, answers, shown := scripted(t)
			answer(t, answers, test.input)
			answers.Close()
			card := &keyCard{status: test.status, answers: test.answers, shown: shown}
			if test.status == (crs.PINStatus{}) {
				card.status = crs.UnknownPINStatus
			}
			what := "verify"
			if test.change {
				what = "change"
			}
			err := runPIN(t.Context(), what, bridge.PINFlow{Screen: terminal, Card: card, Script: true})
			if (err == nil) != (test.told == "") || err != nil && !strings.Contains(oneLine(explain(err)), test.told) {
				t.Errorf("told: %v", err)
			}
			if calls := strings.Join(card.calls, ", "); calls != test.calls || len(card.answers) != 0 {
				t.Errorf("%s", calls)
			}
			if !strings.Contains(oneLine(shown.String()), test.shown) {
				t.Errorf("shown: %s", shown)
			}
		})
	}
}
