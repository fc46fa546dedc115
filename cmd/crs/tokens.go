package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/crs-bridge/crs/internal/cards"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/pcsc"
	"github.com/crs-bridge/crs/pkcs11"
)

// joinCards returns the cards in readers and the tokens of modules, each once, and what follows
// them until its context ends.
func joinCards(driver *pcsc.Driver, log *slog.Logger) (*cards.Cards, func(context.Context), error) {
	tokens := newTokens(driver.Tries, log)
	monitor := &pcsc.Monitor{Driver: driver}
	joined := &cards.Cards{Native: monitor, Tokens: tokens, Choice: driverChoice(log)}
	driver.CannotSign = joined.CannotSign
	return joined, func(ctx context.Context) {
		var watching sync.WaitGroup
		watching.Go(func() { monitor.Run(ctx) })
		watching.Go(func() { tokens.Run(ctx) })
		watching.Go(func() { joined.Run(ctx) })
		watching.Wait()
	}, nil
}

// newTokens returns the tokens of this computer's modules. The book is that of the native driver:
// a card that both drive has one bound.
func newTokens(book *tries.Book, log *slog.Logger) *pkcs11.Tokens {
	return &pkcs11.Tokens{Command: workerCommand, Tries: book, Log: log}
}

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

// moduleState says whether a module is used, and why not.
func moduleState(m pkcs11.Module) string {
	if m.Unused == nil {
		return catalog.Say("module.used")
	}
	detail := catalog.Literal(m.Unused.Detail)
	switch m.Unused.Why {
	case pkcs11.Missing:
		return catalog.Say("module.missing")
	case pkcs11.AtHome:
		return catalog.Say("module.home")
	case pkcs11.Writable:
		return catalog.Say("module.writable", "path", detail)
	case pkcs11.Machine:
		return catalog.Say("module.machine")
	case pkcs11.NotPKCS11:
		return catalog.Say("module.notpkcs")
	case pkcs11.Dependency:
		return catalog.Say("module.needs", "library", detail)
	case pkcs11.Trust:
		return catalog.Say("module.trust")
	}
	return catalog.Say("module.failed", "detail", detail)
}
