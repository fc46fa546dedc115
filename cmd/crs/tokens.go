package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/cards"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/pcsc"
	"github.com/crs-bridge/crs/pkcs11"
)

// joinCards returns the cards in readers and the tokens of modules, each once, and a function that
// follows them until its context ends.
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

// find opens the cards in the readers that are wanted, and joins them with the tokens, which the
// caller closes. needed decides whether to ask the modules that look into readers. If held is not nil,
// find waits for a card that another program is using, and so does what is done with the card later;
// held is called when that takes long.
func find(ctx context.Context, held func(), wanted func(reader string) bool, needed func([]crs.Reader, cards.Choice) bool) ([]crs.Reader, *pkcs11.Tokens, error) {
	log := slog.New(slog.DiscardHandler)
	driver, err := newDriver(log)
	if err != nil {
		return nil, nil, err
	}
	started := time.Now()
	native, err := driver.Readers(ctx, wanted)
	choice := driverChoice(log)
	tokens := newTokens(driver, log)
	others := tokens.List(ctx, needed(native, choice))
	if held != nil {
		driver.Held = func(string) { held() }
		for err == nil && !slices.ContainsFunc(slices.Concat(native, others), usable) && slices.ContainsFunc(native, inUse) {
			if time.Since(started) > 2*time.Second { // few programs take longer
				held()
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
			err = lookAgain(ctx, driver, native)
		}
	}
	return cards.Join(native, others, choice, nil), tokens, err
}

func usable(r crs.Reader) bool { return r.Card != nil }
func inUse(r crs.Reader) bool  { return errors.Is(r.Err, crs.ErrCardInUse) }

// lookAgain opens the cards that another program was using.
func lookAgain(ctx context.Context, driver *pcsc.Driver, readers []crs.Reader) error {
	now, err := driver.Readers(ctx, func(name string) bool {
		return slices.ContainsFunc(readers, func(r crs.Reader) bool { return r.Name == name && inUse(r) })
	})
	for i, r := range readers {
		if !inUse(r) {
			continue
		}
		readers[i] = crs.Reader{Name: r.Name} // unless it is still there
		if at := slices.IndexFunc(now, func(n crs.Reader) bool { return n.Name == r.Name }); at >= 0 {
			readers[i] = now[at]
		}
	}
	return err
}

// quietly finds all that can be seen without sending a command to a card that the native driver
// handles.
func quietly(ctx context.Context) ([]crs.Reader, *pkcs11.Tokens, error) {
	return find(ctx, nil, func(string) bool { return true }, func(native []crs.Reader, choice cards.Choice) bool {
		occupied, handled := false, false
		for _, r := range native {
			occupied = occupied || r.Card != nil || r.Err != nil
			handled = handled || r.Card != nil
		}
		// A module that looks into readers looks into all of them, in some cases as soon as it is
		// loaded.
		return !occupied || !handled && cards.Needed(native, choice, nil)
	})
}

// newTokens returns the tokens of this computer's modules. They share the driver's book of tries,
// so that a card that both drive has one bound. The driver resets cards in readers after each PIN.
func newTokens(driver *pcsc.Driver, log *slog.Logger) *pkcs11.Tokens {
	return &pkcs11.Tokens{
		Command: workerCommand, Tries: driver.Tries, Log: log, Timeouts: moduleTimeouts, Reset: driver.Reset,
	}
}

// moduleTimeouts bound how long modules may take. Tests of a module that hangs shorten them.
var moduleTimeouts pkcs11.Timeouts

// driverChoice reads which driver handles the cards in which readers. A configuration that cannot
// be read chooses nothing.
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

// moduleState says why a module is not used; word is "" if it is used.
func moduleState(m pkcs11.Module) (word, text string) {
	if m.Unused == nil {
		return "", catalog.Say("module.used")
	}
	word = string(m.Unused.Why)
	key := "module." + word
	return word, catalog.Say(key, "detail", catalog.Literal(m.Unused.Detail))
}
