//go:build cgo || windows

// Package scard is the part of github.com/ebfe/scard that this project uses. Without cgo that
// compiles only on Windows; this package compiles everywhere, and returns an error where the PC/SC
// service cannot be called. So code that needs no card builds and is tested with Go alone.
package scard

import "github.com/ebfe/scard"

type (
	Context     = scard.Context
	Card        = scard.Card
	ReaderState = scard.ReaderState
	Error       = scard.Error
	ShareMode   = scard.ShareMode
	Protocol    = scard.Protocol
	Disposition = scard.Disposition
	StateFlag   = scard.StateFlag
)

// EstablishContext begins a conversation with the PC/SC service.
func EstablishContext() (*Context, error) { return scard.EstablishContext() }

// CtlCode is the control code of a function of readers (PC/SC part 10).
func CtlCode(function uint16) uint32 { return scard.CtlCode(function) }

const (
	ShareExclusive = scard.ShareExclusive
	ShareShared    = scard.ShareShared

	ProtocolT0  = scard.ProtocolT0
	ProtocolT1  = scard.ProtocolT1
	ProtocolAny = scard.ProtocolAny

	LeaveCard = scard.LeaveCard
	ResetCard = scard.ResetCard

	StateUnaware     = scard.StateUnaware
	StateChanged     = scard.StateChanged
	StateUnknown     = scard.StateUnknown
	StateUnavailable = scard.StateUnavailable
	StateEmpty       = scard.StateEmpty
	StatePresent     = scard.StatePresent
	StateExclusive   = scard.StateExclusive
	StateInuse       = scard.StateInuse
	StateMute        = scard.StateMute

	ErrInvalidHandle      = scard.ErrInvalidHandle
	ErrInvalidParameter   = scard.ErrInvalidParameter
	ErrNoMemory           = scard.ErrNoMemory
	ErrInsufficientBuffer = scard.ErrInsufficientBuffer
	ErrUnknownReader      = scard.ErrUnknownReader
	ErrTimeout            = scard.ErrTimeout
	ErrSharingViolation   = scard.ErrSharingViolation
	ErrNoSmartcard        = scard.ErrNoSmartcard
	ErrProtoMismatch      = scard.ErrProtoMismatch
	ErrSystemCancelled    = scard.ErrSystemCancelled
	ErrCommError          = scard.ErrCommError
	ErrUnknownError       = scard.ErrUnknownError
	ErrNotTransacted      = scard.ErrNotTransacted
	ErrReaderUnavailable  = scard.ErrReaderUnavailable
	ErrShutdown           = scard.ErrShutdown
	ErrNoService          = scard.ErrNoService
	ErrServiceStopped     = scard.ErrServiceStopped
	ErrUnexpected         = scard.ErrUnexpected
	ErrNoAccess           = scard.ErrNoAccess
	ErrNoReadersAvailable = scard.ErrNoReadersAvailable
	ErrCommDataLost       = scard.ErrCommDataLost
	ErrServerTooBusy      = scard.ErrServerTooBusy
	ErrUnsupportedCard    = scard.ErrUnsupportedCard
	ErrUnresponsiveCard   = scard.ErrUnresponsiveCard
	ErrUnpoweredCard      = scard.ErrUnpoweredCard
	ErrResetCard          = scard.ErrResetCard
	ErrRemovedCard        = scard.ErrRemovedCard
	ErrSecurityViolation  = scard.ErrSecurityViolation
)
