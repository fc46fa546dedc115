package main

import (
	"context"
	"errors"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// errKeyboard: the keys of the reader failed, and the user wants the keyboard.
var errKeyboard = errors.New("the keyboard is wanted")

// verifyOnReader is verifyPIN with a PIN that is typed on the keys of the reader.
func verifyOnReader(ctx context.Context, ui dialog.UI, c crs.Card, manager crs.PINManager) error {
	prompt, err := promptOnReader(ctx, ui, c)
	if err != nil {
		return err
	}
	err = whileShown(ctx, prompt, ui.TypeOnReader, func() error { return manager.VerifyPIN(ctx, nil) })
	if errors.Is(err, crs.ErrPINPad) {
		return offerKeyboard(ctx, ui, c, err)
	}
	return refused(ctx, err, c.PINStatus, catalog.Refused)
}

// changeOnReader is changePIN with PINs that are typed on the keys of the reader. That the reader
// changed the PIN is its word alone: the user proves it by typing the new one once more.
func changeOnReader(ctx context.Context, ui dialog.UI, c crs.Card, manager crs.PINManager) error {
	prompt, err := promptOnReader(ctx, ui, c)
	if err != nil {
		return err
	}
	err = whileShown(ctx, prompt, ui.ChangeOnReader, func() error { return manager.ChangePIN(ctx, nil, nil) })
	var sent *crs.PINError
	switch {
	case errors.Is(err, crs.ErrPINPad) && !errors.As(err, &sent):
		return offerKeyboard(ctx, ui, c, err)
	case err != nil: // if anything was sent, either PIN may hold: no other is asked for here
		return refused(ctx, err, c.PINStatus, catalog.PINFlow{Card: prompt.Card}.Failed)
	}
	err = whileShown(ctx, prompt, ui.ProveOnReader, func() error { return manager.VerifyPIN(ctx, nil) })
	switch {
	case errors.As(err, &sent) && sent.Blocked:
		return err
	case err != nil:
		return crs.ErrPINUnproved
	}
	return nil
}

// promptOnReader asks before what may be the last try.
func promptOnReader(ctx context.Context, ui dialog.UI, c crs.Card) (catalog.PINPrompt, error) {
	prompt, err := promptFor(ctx, c)
	if err != nil {
		return prompt, err
	}
	prompt.OnReader = true
	return prompt, confirmLastTry(ctx, ui, prompt)
}

// offerKeyboard returns errKeyboard if the user wants to type on the keyboard instead.
func offerKeyboard(ctx context.Context, ui dialog.UI, c crs.Card, failed error) error {
	switch yes, err := ui.OfferKeyboard(ctx, catalog.Prompt{}, c.Info(), failed); {
	case err != nil:
		return err
	case !yes:
		return failed
	}
	return errKeyboard
}

// whileShown shows what to do on the reader for as long as that asks, which nothing cancels.
func whileShown(ctx context.Context, prompt catalog.PINPrompt, show func(context.Context, catalog.PINPrompt) error, ask func() error) error {
	shown, hide := context.WithCancel(context.WithoutCancel(ctx))
	var open sync.WaitGroup
	open.Go(func() { show(shown, prompt) })
	defer open.Wait()
	defer hide()
	return ask()
}
