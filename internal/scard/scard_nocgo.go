//go:build !cgo && !windows

// Package scard without cgo: there is no PC/SC service.
package scard

import (
	"fmt"
	"time"
)

type (
	Error       uint32
	ShareMode   uint32
	Protocol    uint32
	Disposition uint32
	StateFlag   uint32
)

// Error says why there is no service. The other codes of PC/SC come from services alone.
func (e Error) Error() string {
	if e == ErrNoService {
		return "this program was built without cgo, and so without smart cards"
	}
	return fmt.Sprintf("PC/SC %08X", uint32(e))
}

// ReaderState is what a service would say of a reader.
type ReaderState struct {
	Reader       string
	CurrentState StateFlag
	EventState   StateFlag
	Atr          []byte
}

// Context is never returned: EstablishContext always fails.
type Context struct{}

func EstablishContext() (*Context, error) { return nil, ErrNoService }

func (*Context) Release() error                                     { return ErrNoService }
func (*Context) Cancel() error                                      { return ErrNoService }
func (*Context) IsValid() (bool, error)                             { return false, nil }
func (*Context) ListReaders() ([]string, error)                     { return nil, ErrNoService }
func (*Context) GetStatusChange([]ReaderState, time.Duration) error { return ErrNoService }
func (*Context) Connect(string, ShareMode, Protocol) (*Card, error) { return nil, ErrNoService }

// Card is never returned without a Context.
type Card struct{}

// Status is what a service would say of a card.
type Status struct{ Atr []byte }

func (*Card) ActiveProtocol() Protocol                         { return 0 }
func (*Card) Status() (*Status, error)                         { return nil, ErrNoService }
func (*Card) Reconnect(ShareMode, Protocol, Disposition) error { return ErrNoService }
func (*Card) BeginTransaction() error                          { return ErrNoService }
func (*Card) EndTransaction(Disposition) error                 { return ErrNoService }
func (*Card) Transmit([]byte) ([]byte, error)                  { return nil, ErrNoService }
func (*Card) Control(uint32, []byte) ([]byte, error)           { return nil, ErrNoService }

// Close gives back what cannot be had.
func Close(*Context, *Card, bool) error { return ErrNoService }

// CtlCode is pcsc-lite's.
func CtlCode(function uint16) uint32 { return 0x42000000 + uint32(function) }

const (
	ShareExclusive ShareMode = 1
	ShareShared    ShareMode = 2

	ProtocolT0  Protocol = 1
	ProtocolT1  Protocol = 2
	ProtocolAny Protocol = 3

	LeaveCard Disposition = 0
	ResetCard Disposition = 1

	StateUnaware     StateFlag = 0
	StateChanged     StateFlag = 0x2
	StateUnknown     StateFlag = 0x4
	StateUnavailable StateFlag = 0x8
	StateEmpty       StateFlag = 0x10
	StatePresent     StateFlag = 0x20
	StateExclusive   StateFlag = 0x80
	StateInuse       StateFlag = 0x100
	StateMute        StateFlag = 0x200

	ErrInvalidHandle      Error = 0x80100003
	ErrInvalidParameter   Error = 0x80100004
	ErrNoMemory           Error = 0x80100006
	ErrInsufficientBuffer Error = 0x80100008
	ErrUnknownReader      Error = 0x80100009
	ErrTimeout            Error = 0x8010000A
	ErrSharingViolation   Error = 0x8010000B
	ErrNoSmartcard        Error = 0x8010000C
	ErrProtoMismatch      Error = 0x8010000F
	ErrSystemCancelled    Error = 0x80100012
	ErrCommError          Error = 0x80100013
	ErrUnknownError       Error = 0x80100014
	ErrNotTransacted      Error = 0x80100016
	ErrReaderUnavailable  Error = 0x80100017
	ErrShutdown           Error = 0x80100018
	ErrNoService          Error = 0x8010001D
	ErrServiceStopped     Error = 0x8010001E
	ErrUnexpected         Error = 0x8010001F
	ErrNoAccess           Error = 0x80100027
	ErrNoReadersAvailable Error = 0x8010002E
	ErrCommDataLost       Error = 0x8010002F
	ErrServerTooBusy      Error = 0x80100031
	ErrUnsupportedCard    Error = 0x80100065
	ErrUnresponsiveCard   Error = 0x80100066
	ErrUnpoweredCard      Error = 0x80100067
	ErrResetCard          Error = 0x80100068
	ErrRemovedCard        Error = 0x80100069
	ErrSecurityViolation  Error = 0x8010006A
)
