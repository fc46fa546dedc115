package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
)

// pin is care of the PIN, in the terminal. Each PIN that is typed is sent once.
func pin(ctx context.Context, args []string) error {
	f := flags("pin")
	reader := f.String("reader", "", catalog.Say("flag.reader"))
	asJSON := f.Bool("json", false, catalog.Say("flag.json"))
	rest, err := parse(f, args, 1, 1, "verify", "change", "unblock")
	if err != nil {
		return err
	}
	care := map[string]struct {
		do   func(context.Context, dialog.UI, crs.Card, crs.PINManager) error
		done string
	}{
		"verify":  {verifyPIN, "pin.right"},
		"change":  {changePIN, "care.changed"},
		"unblock": {unblockPIN, "care.unblocked"},
	}[rest[0]]
	err = withPINManager(ctx, *reader, care.do)
	tellService(ctx)
	switch {
	case *asJSON:
		return errors.Join(printJSON(resultOf(err)), err)
	case err == nil:
		fmt.Println(catalog.Say(care.done))
	}
	return err
}

// tellService lets a running service look again at what is kept of the PIN, so that the tray shows
// it. What it would see otherwise is no more than late.
func tellService(ctx context.Context) {
	if c, err := ipc.Dial(ctx); err == nil {
		c.Refresh(ctx)
		c.Close()
	}
}

func withPINManager(ctx context.Context, reader string, do func(context.Context, dialog.UI, crs.Card, crs.PINManager) error) error {
	readers, tokens, err := findReaders(ctx, reader)
	if tokens != nil {
		defer tokens.Close()
	}
	if err != nil {
		return err
	}
	c, err := theCard(readers)
	if err != nil {
		return err
	}
	manager, ok := c.(crs.PINManager)
	if !ok {
		return told("pin.unsupported")
	}
	stdin := dialog.NewTerminal(os.Stdin, os.Stderr)
	ui := dialog.UI{Screen: func() (dialog.Screen, error) { return stdin, nil }}
	return cancelled(do(ctx, ui, c, manager))
}

// cancelled says that nothing was sent when the user cancelled.
func cancelled(err error) error {
	if errors.Is(err, crs.ErrCancelled) {
		return told("pin.cancelled")
	}
	return err
}

func verifyPIN(ctx context.Context, ui dialog.UI, c crs.Card, manager crs.PINManager) error {
	if c.Info().PINPad {
		if err := verifyOnReader(ctx, ui, c, manager); err != errKeyboard {
			return err
		}
	}
	prompt, err := promptFor(ctx, c)
	if err != nil {
		return err
	}
	typed, err := ui.AskPIN(ctx, prompt)
	if err != nil {
		return err
	}
	defer typed.Wipe()
	if err := confirmLastTry(ctx, ui, prompt); err != nil {
		return err
	}
	return refused(ctx, manager.VerifyPIN(ctx, typed), c.PINStatus, catalog.Refused)
}

func changePIN(ctx context.Context, ui dialog.UI, c crs.Card, manager crs.PINManager) error {
	if c.Info().PINPad {
		if err := changeOnReader(ctx, ui, c, manager); err != errKeyboard {
			return err
		}
	}
	prompt, err := promptFor(ctx, c)
	if err != nil {
		return err
	}
	old, fresh, err := ui.ChangePIN(ctx, prompt)
	if err != nil {
		return err
	}
	defer old.Wipe()
	defer fresh.Wipe()
	if err := confirmLastTry(ctx, ui, prompt); err != nil {
		return err
	}
	return refused(ctx, manager.ChangePIN(ctx, old, fresh), c.PINStatus, catalog.PINFlow{Card: prompt.Card}.Failed)
}

func unblockPIN(ctx context.Context, ui dialog.UI, c crs.Card, manager crs.PINManager) error {
	if c.Info().PUKFormat.Max == 0 {
		return crs.ErrPINUnsupported
	}
	status, err := manager.PUKStatus(ctx)
	if err != nil {
		return err
	}
	puk, fresh, err := ui.AskUnblock(ctx, catalog.PUKPrompt{Card: c.Info(), Status: status})
	if err != nil {
		return err
	}
	defer puk.Wipe()
	defer fresh.Wipe()
	return refused(ctx, manager.UnblockPIN(ctx, puk, fresh), manager.PUKStatus, catalog.PINFlow{Card: c.Info(), Unblock: true}.Failed)
}

func promptFor(ctx context.Context, c crs.Card) (catalog.PINPrompt, error) {
	status, err := c.PINStatus(ctx)
	return catalog.PINPrompt{Card: c.Info(), Status: status}, err
}

// confirmLastTry asks before what may be the last try.
func confirmLastTry(ctx context.Context, ui dialog.UI, prompt catalog.PINPrompt) error {
	if !prompt.Status.LastTry() {
		return nil
	}
	yes, err := ui.ConfirmLastTry(ctx, prompt)
	if err == nil && !yes {
		err = crs.ErrCancelled
	}
	return err
}

// refused says what became of a PIN or PUK that the card did not accept. The tries are the smaller
// of what the card told and of what is kept of them since.
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
	return toldError{error: errors.New(say(err, known)), cause: &smaller}
}

// result is what `crs pin --json` prints: docs/scripts.md.
type result struct {
	Result  string `json:"result,omitempty"`
	Error   string `json:"error,omitempty"`
	Retries *int   `json:"retries,omitempty"` // no more than so many; absent when not known
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

// word is an error as a program sees it: one of a closed list.
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
	var told toldError
	errors.As(err, &told)
	switch told.key {
	case "card.noreader", "card.nosuchreader", "card.none":
		return "no_card"
	case "card.several":
		return "several_cards"
	case "pin.unsupported":
		return "unsupported"
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
