//go:build cgo && !windows && !darwin

package scard

import "errors"

// Close gives back a card and the context that it was connected with. It leaves the card as it is, or
// resets it if reset is true.
//
// SCardDisconnect is not called here. In libpcsclite, up to 2.3.3 at least, it walks the list of all
// contexts without the lock of that list (winscard_clnt.c, SCardRemoveHandle), and crashes the program
// when another thread releases its context at that moment. SCardReleaseContext takes the lock, and pcscd
// disconnects what the context still holds: it leaves the card, or resets it where a transaction is
// still open (winscard_svc.c, MSGRemoveContext).
func Close(ctx *Context, card *Card, reset bool) error {
	var err error
	if reset {
		err = card.Reconnect(ShareShared, card.ActiveProtocol(), ResetCard)
	}
	return errors.Join(err, ctx.Release())
}
