// Package ipc is the socket through which the owner's programs, the tray and the command line,
// speak to the service: owner.sock in the user's runtime directory, on Windows a named pipe. It
// belongs to the user alone, is never on TCP, and no page or extension reaches it.
//
// Clients ask, and the tray is also asked: once it has attached, the service shows its dialogs
// there. Messages are JSON; a PIN crosses as raw bytes in a frame of its own.
package ipc

import (
	"context"
	"net"
	"time"

	"github.com/crs-bridge/crs"
)

// ownerSocket is the name of the owner's socket.
const ownerSocket = "owner"

// Listen makes the owner's socket, for the holder of state.LockService.
func Listen() (net.Listener, error) { return listen(ownerSocket) }

// Status is what the service says to its owner about itself.
type Status struct {
	Version string   `json:"version"`
	Address string   `json:"address"`          // where portals reach it, as in "127.0.0.1:27770"
	Without []string `json:"without,omitzero"` // what the service runs without: WithoutPort, WithoutBrowsers
	Tray    bool     `json:"tray"`             // a tray is attached
	Readers []Reader `json:"readers"`
}

// What a service may run without.
const (
	WithoutPort     = "port"     // all ports are taken: pages reach it through the extension alone
	WithoutBrowsers = "browsers" // the extension cannot reach it
)

// Reader is one card reader and what is in it. It holds the holder's name, so it is for the owner
// only.
type Reader struct {
	Name    string `json:"name"`
	Reading bool   `json:"reading,omitempty"` // a card was inserted and is being read
	Card    *Card  `json:"card,omitempty"`    // nil: none, or none that can be used
	Problem string `json:"problem,omitempty"` // why the card cannot be used, "" without a card
}

// Card is a card that can be used.
type Card struct {
	Kind    string `json:"kind"`
	Holder  string `json:"holder"`
	Model   string `json:"model"`
	Blocked bool   `json:"blocked,omitempty"` // the card said so when it was last asked

	CanChange  bool `json:"canChange,omitempty"`  // its PIN can be changed here
	CanUnblock bool `json:"canUnblock,omitempty"` // and unblocked, with the PUK
	Tries      int  `json:"tries"`                // of the PIN, -1: not known
	Doubtful   bool `json:"doubtful,omitempty"`   // there may be fewer tries

	NotAfter time.Time `json:"notAfter,omitzero"` // when it expires, zero: not known
}

// Info is what a menu says about the card.
func (c *Card) Info() crs.Info { return crs.Info{Kind: c.Kind, Holder: c.Holder, NotAfter: c.NotAfter} }

// statusKeeper is a card whose PINStatus does I/O, such as a token's, which asks its module.
// KeptPINStatus returns what was last seen, without I/O.
type statusKeeper interface{ KeptPINStatus() crs.PINStatus }

// Readers describes readers to the owner. It does no card I/O.
func Readers(ctx context.Context, readers []crs.Reader) []Reader {
	all := make([]Reader, len(readers))
	for i, r := range readers {
		all[i] = Reader{Name: r.Name, Reading: r.Reading, Problem: Problem(r.Err)}
		if r.Card == nil {
			continue
		}
		info := r.Card.Info()
		_, managed := r.Card.(crs.PINManager)
		pin := crs.UnknownPINStatus
		if c, ok := r.Card.(statusKeeper); ok {
			pin = c.KeptPINStatus()
		} else if status, err := r.Card.PINStatus(ctx); err == nil {
			pin = status
		}
		all[i].Card = &Card{Kind: info.Kind, Holder: info.Holder, Model: info.Model, CanChange: managed, CanUnblock: managed && info.PUKFormat.Max > 0,
			Blocked: pin.Blocked, Tries: pin.Retries, Doubtful: pin.Doubtful, NotAfter: info.NotAfter}
	}
	return all
}

// Problem returns the word for why the card in a reader cannot be used, "" for no error: see crs.Word.
func Problem(err error) string {
	switch code := crs.CodeOf(err); code {
	case "":
		return ""
	case crs.ErrCard, crs.ErrCardUnusable:
		return crs.Word(err)
	}
	return string(crs.ErrCard)
}
