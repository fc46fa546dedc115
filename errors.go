package crs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code is an error as a portal sees it: one word of a closed list. Every error of this
// software maps to one of them, see CodeOf. The sentence that goes with a code is fixed; the
// cause stays in the dialog and in the log.
type Code string

// The closed list.
const (
	ErrInvalidRequest     Code = "invalid_request"
	ErrUnsupportedVersion Code = "unsupported_version"
	ErrOriginDenied       Code = "origin_denied"
	ErrBusy               Code = "busy"
	ErrCancelled          Code = "user_cancelled"
	ErrTimeout            Code = "timeout"
	ErrCardUnusable       Code = "card_unusable"
	ErrCard               Code = "card_error"
	ErrPINBlocked         Code = "pin_blocked"
	ErrInternal           Code = "internal"
)

var sentences = map[Code]string{
	ErrInvalidRequest:     "The request is malformed.",
	ErrUnsupportedVersion: "This protocol version is not supported.",
	ErrOriginDenied:       "This site is not allowed to ask.",
	ErrBusy:               "Another login is in progress.",
	ErrCancelled:          "The user cancelled the login.",
	ErrTimeout:            "The login took too long.",
	ErrCardUnusable:       "The card cannot be used to log in.",
	ErrCard:               "The card or its reader failed.",
	ErrPINBlocked:         "The PIN of the card is blocked.",
	ErrInternal:           "The login failed for an internal reason.",
}

// Error returns the fixed English sentence of the code.
func (c Code) Error() string {
	if s, ok := sentences[c]; ok {
		return s
	}
	return sentences[ErrInternal]
}

// Errors that say more than their code does, to the user and to callers within this software. Each has
// a word, see Word. A portal needs none of them: it sees codes.
var (
	// ErrCardRemoved: the card left the reader, or another card is in it now.
	ErrCardRemoved = detail(ErrCard, "removed", "the card was removed")
	// ErrCardReset: another program reset the card between two commands.
	ErrCardReset = detail(ErrCard, "reset", "another program reset the card")
	// ErrCardInUse: another program holds the card for itself.
	ErrCardInUse = detail(ErrCard, "in_use", "another program is using the card")
	// ErrContactLost: the card and the reader lost each other in the middle of a command.
	ErrContactLost = detail(ErrCard, "contact_lost", "the reader lost contact with the card")
	// ErrCardProtocol: the reader, or the program that had the card first, speaks another protocol.
	ErrCardProtocol = detail(ErrCard, "protocol", "the card and the reader found no common protocol")
	// ErrReaderFailed: the reader or its driver failed without saying why.
	ErrReaderFailed = detail(ErrCard, "reader_failed", "the reader failed")
	// ErrCardStuck: a call to the reader did not return in time and was abandoned.
	ErrCardStuck = detail(ErrCard, "stuck", "the reader does not answer")
	// ErrCardMute: something is in the reader, but no chip answers.
	ErrCardMute = detail(ErrCardUnusable, "mute", "the reader finds no chip: the card is the wrong way round, or has none")
	// ErrNoCNS: the card is not a CNS, or not one that can be used to log in.
	ErrNoCNS = detail(ErrCardUnusable, "not_cns", "this card is not a CNS that can be used to log in")
	// ErrCertificate: there is a certificate where the card has its own, and it cannot be read.
	ErrCertificate = detail(ErrCardUnusable, "certificate", "the certificate on the card cannot be read")
	// ErrUnknownModel: the card says that it is a health card, but has nothing where this software
	// looks.
	ErrUnknownModel = detail(ErrCardUnusable, "unknown_model", "this software does not know this model of health card yet")
	// ErrModelCannotSign: the model is known, but not yet how to make it sign. See ModelError.
	ErrModelCannotSign = detail(ErrCardUnusable, "model_cannot_sign", "this software cannot have this model of health card sign yet")
	// ErrPINUnusable: the card has no PIN where its layout says, or says it cannot be used (6984).
	ErrPINUnusable = detail(ErrCardUnusable, "pin_unusable", "the PIN of this card cannot be used")
	// ErrPINUnsupported: this software does not know how this model changes or unblocks its PIN.
	ErrPINUnsupported = detail(ErrCardUnusable, "unsupported", "the PIN of this card cannot be changed or unblocked with this program")
	// ErrContactless: the card lies on a reader without contacts, which is too easily interrupted.
	ErrContactless = detail(ErrCardUnusable, "contactless", "the PIN is not changed or unblocked over the air")
	// ErrCannotSign: the card is sound, but knows none of the ways in which this software asks for
	// a signature.
	ErrCannotSign = detail(ErrCard, "cannot_sign", "this software cannot have this card sign")
	// ErrModule: the module of a token's vendor failed, or its process did.
	ErrModule = detail(ErrCard, "module", "the program of the token's maker failed")
	// ErrNoService: the operating system's smart card service does not run.
	ErrNoService = detail(ErrCard, "no_service", "the smart card service is not running")
	// ErrServiceRefuses: the smart card service runs, but does not serve this session: by its
	// policy, or because it has too many clients.
	ErrServiceRefuses = detail(ErrCard, "service_refuses", "the smart card service refuses this session")
	// ErrServiceStuck: the smart card service runs but does not answer.
	ErrServiceStuck = detail(ErrCard, "service_stuck", "the smart card service does not answer")
	// ErrServiceFailed: the smart card service failed without saying why.
	ErrServiceFailed = detail(ErrCard, "service_failed", "the smart card service failed")
	// ErrNoMemory: the computer has no memory left for what the smart card service was asked.
	ErrNoMemory = detail(ErrCard, "no_memory", "the computer is out of memory")
	// ErrNoReader: the smart card service knows of no reader.
	ErrNoReader = detail(ErrCard, "no_reader", "there is no reader")
	// ErrPINUnblocked: the PIN was just unblocked, and the new one must be typed.
	ErrPINUnblocked = detail(ErrInternal, "pin_unblocked", "the PIN was unblocked and must be typed again")
	// ErrPINFormat: no card of this kind has such a PIN. It was not sent.
	ErrPINFormat = detail(ErrInternal, "pin_format", "the PIN does not have the form that this card needs")
	// ErrPINSpent: the PIN was sent to a card already.
	ErrPINSpent = detail(ErrInternal, "pin_spent", "this PIN was used already and must be typed again")
	// ErrPINFirst: the card shows its certificate only after the PIN.
	ErrPINFirst = detail(ErrInternal, "pin_first", "the card shows its certificate only after the PIN")
	// ErrPINPad: the PIN pad of the reader does not do what it says, or not with this computer.
	ErrPINPad = detail(ErrCard, "pin_pad", "the PIN pad of this reader does not work with this computer")
	// ErrPadTimeout: nobody typed on the PIN pad of the reader. Nothing was sent to the card.
	ErrPadTimeout = detail(ErrTimeout, "pad_timeout", "no PIN was typed on the reader in time")
	// ErrPadCancelled: the user cancelled on the reader. Nothing was sent to the card.
	ErrPadCancelled = detail(ErrCancelled, "pad_cancelled", "the user cancelled on the reader")
	// ErrPadMismatch: the two new PINs typed on the reader differ. Nothing was sent to the card.
	ErrPadMismatch = detail(ErrInternal, "pad_mismatch", "the new PIN was not typed the same twice on the reader")
	// ErrPINUnproved: the reader said that it changed the PIN, but the new one was not proved.
	ErrPINUnproved = detail(ErrCard, "pin_unproved", "the reader says that the PIN was changed, and it is not proved")
	// ErrPINAgain: the card compared nothing. Asking in another form needs a new typing.
	ErrPINAgain = detail(ErrInternal, "pin_again", "the card compared nothing, and the PIN must be typed again")
	// ErrNoPersonalData: the card carries no EF.DatiPersonali.
	ErrNoPersonalData = detail(ErrInternal, "no_personal_data", "the card carries no personal data")
)

type detailed struct {
	code Code
	word string
	text string
}

// details lists all of them, in order of declaration.
var details []*detailed

func detail(c Code, word, text string) error {
	d := &detailed{c, word, text}
	details = append(details, d)
	return d
}

func (e *detailed) Error() string        { return e.text }
func (e *detailed) Is(target error) bool { return target == e.code }

// Word returns the word for an error: that of the first error above that it wraps, or else its
// code. A word stays the same from version to version, holds nothing from the card, and finds the
// text for users. For nil it is "".
func Word(err error) string {
	for _, d := range details {
		if errors.Is(err, d) {
			return d.word
		}
	}
	return string(CodeOf(err))
}

// precedence decides when an error carries two codes: what the user did comes before what the
// card did, the more telling code before the more general one.
var precedence = []Code{
	ErrInvalidRequest, ErrUnsupportedVersion, ErrOriginDenied, ErrBusy, ErrCancelled,
	ErrTimeout, ErrPINBlocked, ErrCardUnusable, ErrCard, ErrInternal,
}

// CodeOf maps any error to the closed list: nil to the empty code, an unknown error to ErrInternal.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	for _, code := range precedence {
		if errors.Is(err, code) {
			return code
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, context.Canceled):
		return ErrCancelled
	}
	return ErrInternal
}

// PINError is returned when a PIN was sent and the card did not accept it, or may not have.
type PINError struct {
	// Retries is the number of tries left as the card reported it, -1 if it did not.
	Retries int
	// Blocked says that the card compares no further PIN until the PUK unblocks it.
	Blocked bool
	// Uncertain says that no clear answer came: the try may have been counted.
	Uncertain bool
	// PUK says that the PUK was refused. Blocked then means that the card is useless for good.
	PUK bool
	// SW is the status word, 0 when none came.
	SW uint16
	// Err is the underlying error, if any.
	Err error
}

func (e *PINError) Error() string {
	what := "PIN"
	if e.PUK {
		what = "PUK"
	}
	switch {
	case e.Blocked:
		return fmt.Sprintf("the %s is blocked (SW %04X)", what, e.SW)
	case e.Uncertain && e.Err != nil:
		return fmt.Sprintf("no clear answer to the %s, the try is perhaps counted: %v", what, e.Err)
	case e.Uncertain:
		return fmt.Sprintf("no clear answer to the %s, the try is perhaps counted (SW %04X)", what, e.SW)
	case e.Retries >= 0:
		return fmt.Sprintf("wrong %s, tries left: %d (SW %04X)", what, e.Retries, e.SW)
	}
	return fmt.Sprintf("wrong %s, tries left not known (SW %04X)", what, e.SW)
}

// ModelError is returned for a health card whose model this software cannot use yet. Nothing is wrong
// with the card.
type ModelError struct {
	ATR []byte // identifies the model, says nothing about the holder

	// From the certificate, where it could be read; zero otherwise. Holder is personal, like
	// Info.Holder, and not in the error's text.
	Holder  string
	Expires time.Time

	Err error // ErrUnknownModel or ErrModelCannotSign
}

func (e *ModelError) Error() string { return fmt.Sprintf("%v (ATR %X)", e.Err, e.ATR) }

// Unwrap returns which of the two it is.
func (e *ModelError) Unwrap() error { return e.Err }

// Unwrap returns the underlying error, if any.
func (e *PINError) Unwrap() error { return e.Err }

// Is maps the error to the closed list.
func (e *PINError) Is(target error) bool {
	switch {
	case e.Blocked && e.PUK:
		return target == ErrCardUnusable
	case e.Blocked:
		return target == ErrPINBlocked
	}
	return target == ErrCard
}
