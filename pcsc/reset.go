package pcsc

import (
	"context"
	"slices"
)

// Reset resets the card in a reader, so that what another driver was allowed with a PIN ends (rule
// 8). If no reader has that name, which was the other driver's, the cards in all readers are reset.
func (d *Driver) Reset(reader string) {
	names, err := within(d, "", d.Timeouts.Call, defaultCall, listReaders, func([]string, error) {})
	if slices.Contains(names, reader) {
		names = []string{reader}
	}
	for _, name := range names {
		err = d.transaction(context.Background(), pcscReader(name), true, func(*session) error { return nil })
		d.log().Debug("card reset", "reader", name, "error", err)
	}
	if len(names) == 0 {
		d.log().Debug("no card reset", "error", err)
	}
}
