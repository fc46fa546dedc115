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
	if rest[0] != "verify" {
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
	return verifyPIN(ctx, c)
}

func verifyPIN(ctx context.Context, c crs.Card) error {
	manager, ok := c.(crs.PINManager)
	if !ok {
		return told("pin.unsupported")
	}
	status, err := c.PINStatus(ctx)
	if err != nil {
		return err
	}
	stdin := newTerminal(os.Stdin, os.Stderr)
	ui := dialog.UI{Screen: func() (dialog.Screen, error) { return stdin, nil }}
	prompt := crs.PINPrompt{Card: c.Info(), Status: status}
	typed, err := ui.AskPIN(ctx, prompt)
	if err != nil {
		return cancelled(err)
	}
	defer typed.Wipe()
	if status.LastTry() {
		yes, err := ui.ConfirmLastTry(ctx, prompt)
		if err != nil || !yes {
			return cancelled(errors.Join(err, crs.ErrCancelled))
		}
	}
	if err := manager.VerifyPIN(ctx, typed); err != nil {
		return err
	}
	fmt.Println(catalog.Say("pin.right"))
	return nil
}

// cancelled says that nothing was sent when the user cancelled.
func cancelled(err error) error {
	if errors.Is(err, crs.ErrCancelled) {
		return told("pin.cancelled")
	}
	return err
}
