package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/cards"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/pcsc"
	"github.com/crs-bridge/crs/pkcs11"
)

// joinCards returns the cards in readers and the tokens of modules, each once, and what follows
// them until its context ends.
func joinCards(driver *pcsc.Driver, log *slog.Logger) (*cards.Cards, func(context.Context)) {
	tokens := newTokens(driver, log)
	monitor := &pcsc.Monitor{Driver: driver}
	joined := &cards.Cards{Native: monitor, Tokens: tokens, Choice: driverChoice(log)}
	driver.CannotSign = joined.CannotSign
	return joined, func(ctx context.Context) {
		var watching sync.WaitGroup
		watching.Go(func() { monitor.Run(ctx) })
		watching.Go(func() { tokens.Run(ctx) })
		watching.Go(func() { joined.Run(ctx) })
		watching.Wait()
	}
}

// look opens the cards in the readers that are wanted, and joins them with the tokens, which are to be
// closed. Whether the modules that look into readers are asked is for needed to say.
func look(ctx context.Context, wanted func(reader string) bool, needed func([]crs.Reader, cards.Choice) bool) ([]crs.Reader, *pkcs11.Tokens, error) {
	log := slog.New(slog.DiscardHandler)
	driver, err := newDriver(log)
	if err != nil {
		return nil, nil, err
	}
	native, err := driver.Readers(ctx, wanted)
	choice := driverChoice(log)
	tokens := newTokens(driver, log)
	return cards.Join(native, tokens.List(ctx, needed(native, choice)), choice, nil), tokens, err
}

// quietly is look at all that can be seen without a command to a card that the native driver handles.
func quietly(ctx context.Context) ([]crs.Reader, *pkcs11.Tokens, error) {
	return look(ctx, func(string) bool { return true }, func(native []crs.Reader, choice cards.Choice) bool {
		occupied, handled := false, false
		for _, r := range native {
			occupied = occupied || r.Card != nil || r.Err != nil
			handled = handled || r.Card != nil
		}
		// A module that looks into readers looks into all of them, some even while they are loaded.
		return !occupied || !handled && cards.Needed(native, choice, nil)
	})
}

// newTokens returns the tokens of this computer's modules. The book of tries is the driver's: a card
// that both drive has one bound. Cards in readers, which the driver reaches too, are reset after
// each PIN.
func newTokens(driver *pcsc.Driver, log *slog.Logger) *pkcs11.Tokens {
	return &pkcs11.Tokens{
		Command: workerCommand, Tries: driver.Tries, Log: log, Timeouts: moduleTimeouts, Reset: driver.Reset,
	}
}

// moduleTimeouts bound what modules may take. Tests of a module that hangs make them shorter.
var moduleTimeouts pkcs11.Timeouts

// driverChoice reads who drives the cards in which readers. A configuration that cannot be read
// chooses nothing.
func driverChoice(log *slog.Logger) cards.Choice {
	config, err := state.LoadConfig()
	if err != nil {
		log.Warn("configuration not read", "reason", err)
		return nil
	}
	choice := cards.Choice{}
	for word, driver := range config.Cards {
		choice[word] = cards.Driver(driver)
	}
	return choice
}

// moduleState says whether a module is used, and why not: the word for that is "" if it is.
func moduleState(m pkcs11.Module) (word, text string) {
	if m.Unused == nil {
		return "", catalog.Say("module.used")
	}
	word = string(m.Unused.Why)
	key := "module." + word
	return word, catalog.Say(key, "detail", catalog.Literal(m.Unused.Detail))
}
