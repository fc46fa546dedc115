package catalog

import "github.com/crs-bridge/crs"

// Prompt is what every question to the user carries: who asks, and in which language.
type Prompt struct {
	// Origin is the site that asks; zero when the user acts on their own, from the command
	// line or the tray.
	Origin crs.Origin
	// Top is the site of the page within which the page of Origin is shown, if it is another one.
	Top crs.Origin
	// Program is what asks unless that is a browser that this computer's administrator installed:
	// the path of its file, or crs.UnknownProgram. It is "" for such a browser.
	Program string
	// Lang is "it", "en" or "de"; "" means the language of the user's session.
	Lang string
	// Developer is set while the service also accepts pages of this computer (--developer):
	// every dialog says so.
	Developer bool
}

// PINPrompt is the question for a PIN.
type PINPrompt struct {
	Prompt
	Card   crs.Info
	Status crs.PINStatus
	// Last is why the PIN is asked again: a *crs.PINError, crs.ErrPINFormat, or nil the first time.
	Last error
	// OnReader says that the PIN is typed on the keys of the reader, not in a dialog.
	OnReader bool
}

// PUKPrompt is the question for the PUK and a new PIN. No site ever asks it: its Origin is zero.
type PUKPrompt struct {
	Prompt
	Card   crs.Info
	Status crs.PINStatus // of the PUK
	// Last is the *crs.PINError with which the card refused the PUK before, or nil.
	Last error
}
