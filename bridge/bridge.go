// Package bridge offers portals a login with a card, over a WebSocket on the loopback
// interface. It promises no compatibility to those who import it. login.go tells the story of a
// login; server.go decides who may speak at all.
package bridge

import "github.com/crs-bridge/crs"

// Cards are the readers and the cards in them.
type Cards interface {
	// Readers returns the readers as they are now, and a channel that is closed when anything
	// about them changes. It does no card I/O.
	Readers() (readers []crs.Reader, changed <-chan struct{})
}

// Sites are the user's decisions about sites.
type Sites interface {
	// State returns the decision about an origin. It notices what other programs decided.
	State(o crs.Origin) (crs.SiteState, error)
	// Allow records a successful login, or the user's yes.
	Allow(o crs.Origin) error
}
