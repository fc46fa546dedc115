//go:build windows || (cgo && darwin)

package scard

import "errors"

// Close gives back a card and the context that it was connected with. It leaves the card as it is, or
// resets it if reset is true.
func Close(ctx *Context, card *Card, reset bool) error {
	disposition := LeaveCard
	if reset {
		disposition = ResetCard
	}
	return errors.Join(card.Disconnect(disposition), ctx.Release())
}
