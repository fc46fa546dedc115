// Package bridge offers portals a login with a card, over a WebSocket on the loopback
// interface. It promises no compatibility to those who import it. login.go tells the story of a
// login; server.go decides who may speak at all.
package bridge

import (
	"context"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// Cards are the readers and the cards in them.
type Cards interface {
	// Readers returns the readers as they are now, and a channel that is closed when anything
	// about them changes. It does no card I/O.
	Readers() (readers []crs.Reader, changed <-chan struct{})
}

// UI asks the user. Its methods return crs.ErrCancelled when the user closes the dialog, and
// return early, with the context's error, when the context ends. An error of code
// crs.ErrInternal means that the user cannot be asked here; it is logged, and so it is to hold
// nothing of user or card.
type UI interface {
	// AllowSite asks the first-time question: may this site ask for a login? Its default is no.
	AllowSite(ctx context.Context, p catalog.Prompt) (bool, error)

	// InsertCard asks for a card and stays open until the context ends or the user closes it.
	// The problem, if any, is why the card that is in a reader cannot be used.
	InsertCard(ctx context.Context, p catalog.Prompt, problem error) error

	// PickCard asks for one of several cards, by holder, and returns its index.
	PickCard(ctx context.Context, p catalog.Prompt, cards []crs.Info) (int, error)

	// SharePersonalData asks whether the site may have the personal data on the card. Its
	// default is no.
	SharePersonalData(ctx context.Context, p catalog.Prompt, card crs.Info) (bool, error)

	// AskPIN asks for the PIN. What it returns has the form that the card needs.
	AskPIN(ctx context.Context, p catalog.PINPrompt) (*crs.PIN, error)

	// ConfirmReader asks whether to go on to the PIN, which is typed on the keys of the reader. Its
	// default is no.
	ConfirmReader(ctx context.Context, p catalog.PINPrompt) (bool, error)

	// TypeOnReader says that the PIN is to be typed on the reader now, and stays open until the
	// context ends. The user may close it; that cancels nothing, and it says so.
	TypeOnReader(ctx context.Context, p catalog.PINPrompt) error

	// OfferKeyboard says how the keys of a reader failed, and asks whether to type the PIN on the
	// keyboard from now on. Its default is no.
	OfferKeyboard(ctx context.Context, p catalog.Prompt, card crs.Info, failed error) (bool, error)

	// ConfirmLastTry asks whether to risk what may be the last try. Its default is no.
	ConfirmLastTry(ctx context.Context, p catalog.PINPrompt) (bool, error)

	// OfferUnblock asks whether to unblock the PIN now, with the PUK. Its default is no.
	OfferUnblock(ctx context.Context, p catalog.Prompt, card crs.Info) (bool, error)

	// AskUnblock asks for the PUK and for a new PIN, and asks once more before what may be the
	// PUK's last try. What it returns has the form that the card needs.
	AskUnblock(ctx context.Context, p catalog.PUKPrompt) (puk, fresh *crs.PIN, err error)

	// ChangePIN asks for the PIN that holds now and for a new one. What it returns has the form
	// that the card needs.
	ChangePIN(ctx context.Context, p catalog.PINPrompt) (old, fresh *crs.PIN, err error)

	// ChangeOnReader is TypeOnReader for the PIN that holds now and a new one, and ProveOnReader for
	// the new one once more.
	ChangeOnReader(ctx context.Context, p catalog.PINPrompt) error
	ProveOnReader(ctx context.Context, p catalog.PINPrompt) error

	// ReportCare tells what became of a PIN that was to be changed, or unblocked: problem is nil
	// when it was. It waits until that was read.
	ReportCare(ctx context.Context, p catalog.Prompt, card crs.Info, unblock bool, problem error) error

	// Report tells the user what went wrong and what to do, and waits until it was read.
	Report(ctx context.Context, p catalog.Prompt, problem error) error
}

// Sites are the user's decisions about sites.
type Sites interface {
	// State returns the decision about an origin. It notices what other programs decided.
	State(o crs.Origin) (crs.SiteState, error)
	// Allow records a successful login, or the user's yes.
	Allow(o crs.Origin) error
}
