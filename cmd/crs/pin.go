package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
)

// pin verifies, changes or unblocks a PIN in the terminal. Each PIN that is typed is sent once.
func pin(ctx context.Context, args []string) error {
	f := flags("pin")
	reader := f.String("reader", "", catalog.Say("flag.reader"))
	asJSON := f.Bool("json", false, catalog.Say("flag.json"))
	rest, err := parse(f, args, 1, 1, "verify", "change", "unblock")
	if err != nil {
		return err
	}
	what := rest[0]
	stdin := dialog.NewTerminal(os.Stdin, os.Stderr)
	err = onCard(ctx, *reader, func(card crs.Card) error {
		return runPIN(ctx, what, bridge.PINFlow{Screen: stdin, Card: card, Script: !stdin.Interactive()})
	})
	tellService(ctx)
	switch {
	case *asJSON:
		return errors.Join(printJSON(resultOf(err)), err)
	case err == nil:
		fmt.Println(catalog.Say(map[string]string{"verify": "pin.right", "change": "care.changed", "unblock": "care.unblocked"}[what]))
	}
	return err
}

// tellService lets a running service reread what is kept about the PIN, so that the tray shows it
// at once. Without this it would only be late.
func tellService(ctx context.Context) {
	if c, err := ipc.Dial(ctx); err == nil {
		c.Refresh(ctx)
		c.Close()
	}
}

// onCard does something with the one card that is meant.
func onCard(ctx context.Context, reader string, do func(crs.Card) error) error {
	readers, tokens, err := findReaders(ctx, sayHeld(), reader)
	if tokens != nil {
		defer tokens.Close()
	}
	if err != nil {
		return err
	}
	card, err := theCard(readers)
	if err != nil {
		return err
	}
	return do(card)
}

// runPIN runs one of the subcommands of `crs pin`, and reports the outcome.
func runPIN(ctx context.Context, what string, flow bridge.PINFlow) error {
	status := flow.Card.PINStatus
	say := catalog.PINFlow{Card: flow.Card.Info(), Unblock: what == "unblock"}.Failed
	var err error
	switch what {
	case "verify":
		say = catalog.Refused
		err = flow.Verify(ctx)
	case "change":
		err = flow.Change(ctx)
	case "unblock":
		if manager, ok := flow.Card.(crs.PINManager); ok {
			status = manager.PUKStatus
		}
		err = flow.Unblock(ctx)
	}
	// After a refusal, giving up is reported as the refusal, not as "nothing was sent".
	if err = refused(ctx, err, status, say); errors.Is(err, crs.ErrCancelled) {
		return sentence("pin.cancelled")
	}
	return err
}

// refused says what became of a PIN or PUK that the card did not accept. The tries are the smaller
// of what the card said and what is kept about them since.
func refused(ctx context.Context, err error, status func(context.Context) (crs.PINStatus, error), say func(error, crs.PINStatus) string) error {
	var answer *crs.PINError
	if !errors.As(err, &answer) {
		return err
	}
	known, failed := status(ctx)
	if failed != nil {
		known = crs.UnknownPINStatus
	}
	smaller := *answer
	smaller.Retries = catalog.Tries(catalog.PINPrompt{Status: known, Last: err})
	return sentenceError{error: errors.New(say(err, known)), cause: &smaller}
}

// result is what `crs pin --json` prints: docs/scripts.md.
type result struct {
	Result  string `json:"result,omitempty"`
	Error   string `json:"error,omitempty"`
	Retries *int   `json:"retries,omitempty"` // at most; absent when not known
}

func resultOf(err error) result {
	if err == nil {
		return result{Result: "ok"}
	}
	r := result{Error: word(err)}
	var answer *crs.PINError
	if errors.As(err, &answer) && !answer.Blocked && answer.Retries >= 0 {
		r.Retries = &answer.Retries
	}
	return r
}

// word returns an error as programs see it: one word of a closed list.
func word(err error) string {
	var answer *crs.PINError
	if errors.As(err, &answer) {
		switch {
		case answer.Uncertain:
			return "uncertain"
		case answer.Blocked && answer.PUK:
			return "puk_blocked"
		case answer.Blocked:
			return "pin_blocked"
		case answer.PUK:
			return "wrong_puk"
		}
		return "wrong_pin"
	}
	var said sentenceError
	errors.As(err, &said)
	switch said.key {
	case "card.noreader", "card.nosuchreader", "card.none":
		return "no_card"
	case "card.several":
		return "several_cards"
	case "pin.cancelled":
		return "cancelled"
	}
	switch word := crs.Word(err); word {
	case "unsupported", "contactless":
		return word
	case "pin_unproved":
		return "uncertain"
	case "pad_timeout":
		return "cancelled"
	}
	switch code := crs.CodeOf(err); code {
	case crs.ErrCancelled: // Ctrl-C, before anything was sent
		return "cancelled"
	case crs.ErrCardUnusable, crs.ErrCard:
		return string(code)
	}
	return "internal"
}
