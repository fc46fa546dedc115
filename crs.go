// Package crs holds the nouns of the CRS software: cards, PINs, origins, challenges and the
// tokens that show a portal who is in front of it.
//
// A citizen's smart card is a [Card]. A portal sends a [Challenge]; together with the [Origin]
// that the browser vouches for it makes a [Statement], the only thing a card ever signs. The
// [Signature] becomes a [Token], which the portal checks with the Verifier of package portal.
//
// The package does no input or output. Package pcsc talks to cards, package bridge to
// browsers; neither imports the other, both import this one.
//
// # Compatibility
//
// Packages crs and portal are for other modules to import, and follow semantic versioning: before
// version 1 a minor version may change them, and the change log says how to follow. The interfaces
// of cards are implemented in this module alone and may gain methods. The list of codes may grow:
// treat a code that you do not know as an internal error. The other packages promise nothing.
package crs

import (
	"context"
	"crypto/x509"
	"time"
)

// Card is one authentication key on a smart card or token.
//
// Its methods do card I/O, are safe for concurrent use and leave no state on the card: when
// they return, a second program finds it as after a reset or a plain read.
type Card interface {
	// Info says what the card is. It does no I/O.
	Info() Info

	// Certificate returns the authentication certificate as ParseCertificate reads it, or ErrPINFirst
	// from cards that show it only after the PIN. It holds personal data: nothing of it may leave before consent.
	Certificate(ctx context.Context) (*x509.Certificate, error)

	// PINStatus returns what is known of the retry counter without asking the card for a
	// verification: some cards count an empty VERIFY as a wrong PIN.
	PINStatus(ctx context.Context) (PINStatus, error)

	// Sign verifies the PIN and signs the statement in one transaction. A nil PIN means that
	// it is typed on the reader. The PIN is spent when Sign returns, whatever it returns.
	// A refused PIN is a *PINError.
	Sign(ctx context.Context, pin *PIN, s Statement) (Signature, error)
}

// PINManager is implemented by cards whose PIN this software can change or unblock. Each method spends the
// PINs and the PUK that it is given, sends one command with them, and leaves the card reset. What
// the card refused is a *PINError; ErrPINUnsupported and ErrContactless mean that nothing was
// compared. Where Info.PINPad is set a nil PIN means: typed on the reader; a PUK never is.
type PINManager interface {
	// VerifyPIN tries a PIN.
	VerifyPIN(ctx context.Context, pin *PIN) error

	// ChangePIN replaces a PIN that the user knows. After an uncertain *PINError either may hold.
	// If both PINs were typed on the reader, success is only the reader's claim; VerifyPIN
	// proves it.
	ChangePIN(ctx context.Context, old, fresh *PIN) error

	// UnblockPIN replaces a PIN with the help of the PUK, and gives it all its tries back. A PUK
	// that is used up makes the card useless for good.
	UnblockPIN(ctx context.Context, puk, fresh *PIN) error

	// PUKStatus is PINStatus of the PUK.
	PUKStatus(ctx context.Context) (PINStatus, error)
}

// PersonalDataReader is implemented by cards that carry EF.DatiPersonali.
type PersonalDataReader interface {
	// PersonalData returns the file as it is on the card; ErrNoPersonalData when it is absent.
	PersonalData(ctx context.Context) ([]byte, error)
}

// Kinds of cards: what the certificate on one says it is.
const (
	KindCNS   = "CNS"
	KindCIE   = "CIE"
	KindToken = "token"
)

// Info describes a card to its user and to a log.
type Info struct {
	Reader string // name of the reader, from PC/SC or, for a token, from its module
	Kind   string // KindCNS, KindCIE or KindToken
	Model  string // row of the card table, or the module, for diagnosis

	// Holder is a name to show to the user ("MARIO ROSSI"). It is personal: it may appear in a
	// dialog, not in a log or a message. It never contains the codice fiscale.
	Holder string

	// ID tells two cards apart: the content of EF_IDCarta, 16 characters, or, for a token that is
	// not a CNS, 16 hexadecimal digits of its certificate's digest. Personal, like Holder.
	ID string

	// NotBefore and NotAfter are when the certificate is valid; zero: not known.
	NotBefore, NotAfter time.Time

	// ByModule is set when the PKCS#11 module of its maker drives it: then it is not known how many
	// wrong PINs block it, and its PIN may have letters.
	ByModule bool

	PINFormat PINFormat
	PUKFormat PINFormat // zero: this software cannot unblock the PIN

	// PINPad is set when the reader has keys of its own to type the PIN on.
	PINPad bool

	// Contactless is set when the card lies on a reader without contacts: its PIN is neither changed
	// nor unblocked there.
	Contactless bool

	// TwoPartPIN is set when the issuer is known to hand the PIN out in two parts: two digits
	// on paper and three in a message; the PUK two and six.
	TwoPartPIN bool
}

// ValidAt reports whether the certificate is valid at a time, as far as is known.
func (i Info) ValidAt(t time.Time) bool {
	return !t.Before(i.NotBefore) && (i.NotAfter.IsZero() || !t.After(i.NotAfter))
}

// PINStatus is what is known about a PIN before it is typed.
type PINStatus struct {
	// Retries is an upper bound of the tries left, -1 when nothing is known. It is kept by
	// this software; the PIN may have been blocked or unblocked elsewhere since.
	Retries int

	// Doubtful says that Retries was counted by this software, from three, because the card
	// did not tell a number: there may be fewer.
	Doubtful bool

	// Blocked says that the card itself answered "blocked" when last asked.
	Blocked bool
}

// UnknownPINStatus is the status of a PIN of which nothing is known.
var UnknownPINStatus = PINStatus{Retries: -1}

// LastTry reports whether a further wrong PIN may block the card, as far as is known. Dialogs
// ask for a second, explicit yes then.
func (s PINStatus) LastTry() bool { return s.Retries >= 0 && s.Retries <= 1 }

// A Reader is one card reader and what is in it.
type Reader struct {
	Name    string
	Reading bool  // a card was inserted and is being read
	Card    Card  // nil: none, or none that can be used
	Err     error // why the card in the reader cannot be used; nil when the reader is empty
}
