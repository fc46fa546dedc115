package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// pin is care of the PIN, in the terminal. Each PIN that is typed is sent once.
func pin(ctx context.Context, args []string) error {
	f := flags("pin")
	reader := f.String("reader", "", catalog.Say("flag.reader"))
	rest, err := parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	care, ok := map[string]func(context.Context, dialog.UI, crs.Card, crs.PINManager) error{
		"verify": verifyPIN, "change": changePIN, "unblock": unblockPIN,
	}[rest[0]]
	if !ok {
		return usagef("crs pin: %s", catalog.Say("cli.unknown", "word", rest[0]))
	}
	readers, err := findReaders(ctx, *reader)
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
	stdin := newTerminal(os.Stdin, os.Stderr)
	ui := dialog.UI{Screen: func() (dialog.Screen, error) { return stdin, nil }}
	return care(ctx, ui, c, manager)
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
		return cancelled(err)
	}
	defer typed.Wipe()
	if err := confirmLastTry(ctx, ui, prompt); err != nil {
		return err
	}
	if err := manager.VerifyPIN(ctx, typed); err != nil {
		return err
	}
	fmt.Println(catalog.Say("pin.right"))
	return nil
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
		return cancelled(err)
	}
	defer old.Wipe()
	defer fresh.Wipe()
	if err := confirmLastTry(ctx, ui, prompt); err != nil {
		return err
	}
	if err := manager.ChangePIN(ctx, old, fresh); err != nil {
		return toldError{errors.New(catalog.Care{Card: prompt.Card}.Failed(err))}
	}
	fmt.Println(catalog.Say("care.changed"))
	return nil
}

func unblockPIN(ctx context.Context, ui dialog.UI, c crs.Card, manager crs.PINManager) error {
	status, err := manager.PUKStatus(ctx)
	if err != nil {
		return err
	}
	puk, fresh, err := ui.AskUnblock(ctx, crs.PUKPrompt{Card: c.Info(), Status: status})
	if err != nil {
		return cancelled(err)
	}
	defer puk.Wipe()
	defer fresh.Wipe()
	if err := manager.UnblockPIN(ctx, puk, fresh); err != nil {
		return toldError{errors.New(catalog.Care{Card: c.Info(), Unblock: true}.Failed(err))}
	}
	fmt.Println(catalog.Say("care.unblocked"))
	return nil
}

func promptFor(ctx context.Context, c crs.Card) (crs.PINPrompt, error) {
	status, err := c.PINStatus(ctx)
	return crs.PINPrompt{Card: c.Info(), Status: status}, err
}

// confirmLastTry asks before what may be the last try.
func confirmLastTry(ctx context.Context, ui dialog.UI, prompt crs.PINPrompt) error {
	if !prompt.Status.LastTry() {
		return nil
	}
	yes, err := ui.ConfirmLastTry(ctx, prompt)
	if err == nil && !yes {
		err = crs.ErrCancelled
	}
	return cancelled(err)
}

// cancelled says that nothing was sent when the user cancelled.
func cancelled(err error) error {
	if errors.Is(err, crs.ErrCancelled) {
		return told("pin.cancelled")
	}
	return err
}
