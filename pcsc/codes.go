package pcsc

import (
	"errors"
	"fmt"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
)

// What the codes of PC/SC mean depends on who was asked. The service alone takes part in
// SCardEstablishContext, SCardListReaders and SCardGetStatusChange: no answer of theirs is the
// fault of a card. The names are those of pcsclite.h and winerror.h.

// establish is SCardEstablishContext.
func establish() (*scard.Context, error) {
	ctx, err := scard.EstablishContext()
	if err != nil {
		return nil, establishError(err, serviceListens)
	}
	return ctx, nil
}

// establishError returns the meaning of a failed SCardEstablishContext. A pcscd that closes the
// connection at once (polkit's no to a session over ssh, too many clients) is 8010006A to pcsc-lite
// 1.9; it does not tell a socket that this user may not open from none at all.
func establishError(err error, listens func() bool) error {
	if (err == scard.ErrNoService || err == scard.ErrCommError) && listens() {
		return explain(crs.ErrServiceRefuses, err)
	}
	return serviceError(err)
}

// serviceError returns the meaning of an error from a call about the service itself.
func serviceError(err error) error {
	switch err {
	case scard.ErrNoReadersAvailable, scard.ErrUnknownReader, scard.ErrReaderUnavailable:
		return explain(crs.ErrNoReader, err)
	}
	if meaning := ofService(err); meaning != nil {
		return explain(meaning, err)
	}
	return explain(crs.ErrServiceFailed, err)
}

// cardError returns the meaning of an error from connecting or talking to a card.
func cardError(err error) error {
	if _, ok := err.(scard.Error); !ok && crs.CodeOf(err) == crs.ErrCard {
		return err // already translated
	}
	if meaning := ofService(err); meaning != nil {
		return explain(meaning, err)
	}
	switch err {
	case scard.ErrNoSmartcard, scard.ErrRemovedCard, scard.ErrUnknownReader, scard.ErrReaderUnavailable, scard.ErrNoReadersAvailable:
		return explain(crs.ErrCardRemoved, err)
	case scard.ErrResetCard:
		return explain(crs.ErrCardReset, err)
	case scard.ErrUnresponsiveCard, scard.ErrUnpoweredCard, scard.ErrUnsupportedCard:
		return explain(crs.ErrCardMute, err)
	case scard.ErrProtoMismatch:
		return explain(crs.ErrCardProtocol, err)
	case scard.ErrSharingViolation:
		return explain(crs.ErrCardInUse, err)
	case scard.ErrCommDataLost, scard.ErrNotTransacted: // pcsc-lite's Transmit says the latter when the driver fails
		return explain(crs.ErrContactLost, err)
	case scard.ErrUnknownError, scard.ErrUnexpected:
		return explain(crs.ErrReaderFailed, err)
	}
	return explain(crs.ErrCard, err)
}

// transmitError is cardError for a connection that had a protocol. When a program dies, pcscd ends its
// transaction first and resets the card then, perhaps within the next transaction: the card has lost its
// protocol, and soon the error is that of a reset.
func transmitError(err error) error {
	if err == scard.ErrProtoMismatch {
		err = scard.ErrResetCard
	}
	return cardError(err)
}

// ofService returns the meaning of an error that is the service's own, in any call, and nil for
// others.
func ofService(err error) error {
	switch err {
	case scard.ErrNoService, scard.ErrServiceStopped, scard.ErrShutdown, scard.ErrSystemCancelled,
		scard.ErrCommError, scard.ErrInvalidHandle: // it went away during the call
		return crs.ErrNoService
	case scard.ErrSecurityViolation, scard.ErrNoAccess:
		return crs.ErrServiceRefuses
	case scard.ErrNoMemory:
		return crs.ErrNoMemory
	case scard.ErrServerTooBusy:
		return crs.ErrServiceStuck
	}
	return nil
}

func explain(meaning, err error) error {
	var code scard.Error
	if !errors.As(err, &code) {
		return fmt.Errorf("%w: %w", meaning, err)
	}
	return fmt.Errorf("%w (PC/SC %08X: %s)", meaning, uint32(code), code.Error())
}
