package pcsc

import (
	"context"
	"errors"
	"slices"

	"github.com/crs-bridge/crs"
)

// Reset resets the card in a reader, to end what a PIN allowed another driver (rule 8). The name is
// the other driver's: if no reader has it, the cards in all readers are reset.
func (d *Driver) Reset(reader string) {
	names, err := withDeadline(d, noReader, d.Timeouts.withDefaults().Call, serviceStuck, listReaders, func([]string, error) {})
	if i := slices.IndexFunc(names, func(name string) bool { return pcscReader(name).Name() == reader }); i >= 0 {
		names = names[i : i+1]
	}
	for _, name := range names {
		one := d.transaction(context.Background(), pcscReader(name), txn{reset: true}, func(*session) error { return nil })
		if !errors.Is(one, crs.ErrCardRemoved) {
			err = errors.Join(err, one)
		}
	}
	if err != nil {
		d.log().Warn("a card may be open still: it was not reset", "reader", reader, "error", err)
	}
}
