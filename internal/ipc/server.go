package ipc

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/changes"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/trust"
)

// Server is the service's end of the owner socket. Set its functions before Serve.
type Server struct {
	// Status returns the service as it is now, and a channel that is closed when that changes.
	Status func() (Status, <-chan struct{})
	// Refresh rereads what another program of this user may have changed on disk.
	Refresh func()
	// Sites is the user's list of sites.
	Sites Sites
	// ChangePIN and UnblockPIN change and unblock the PIN of the card in a reader. Their own
	// dialogs show the user what went wrong.
	ChangePIN, UnblockPIN func(ctx context.Context, reader string) error

	Log *slog.Logger

	mu      sync.Mutex
	tray    *conn
	dialogs bool           // the tray can show them
	changed changes.Signal // a tray came or went
}

// Sites are the user's decisions about sites.
type Sites interface {
	List() ([]state.Site, error)
	// Set makes a site allowed, blocked, or, for crs.SiteUnknown, forgotten.
	Set(origin string, state crs.SiteState) error
}

// maxClients is more than the programs of one user need.
const maxClients = 32

// Serve answers the owner's programs until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) {
	accept(ctx, l, maxClients, s.Log, func(conn net.Conn) { s.serve(ctx, conn) })
}

// client is one connection. Only the tray's may have dialogs shown.
type client struct {
	*Server
	conn *conn
}

func (s *Server) serve(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &client{Server: s}
	c.conn = newConn(conn, c.answer)
	if err := c.conn.run(ctx); err != nil {
		s.Log.Info("connection of the owner ended", "reason", err)
	}
	s.detach(c.conn)
}

// answer is the one switch of the protocol.
func (c *client) answer(ctx context.Context, method string, params jsontext.Value) (any, error) {
	var site state.Site
	var card cardParams
	var attach attachParams
	var to any = &struct{}{}
	switch method {
	case "site.set":
		to = &site
	case "pin.change", "pin.unblock":
		to = &card
	case "ui.attach":
		to = &attach
	}
	if err := unmarshal(params, to); err != nil {
		return nil, err
	}
	switch method {
	case "status":
		status, _ := c.status()
		return status, nil
	case "refresh":
		c.Refresh()
		return struct{}{}, nil
	case "sites":
		list, err := c.Sites.List()
		return sitesResult{list}, err
	case "site.set":
		return struct{}{}, c.Sites.Set(site.Origin, site.State)
	case "ui.attach":
		return struct{}{}, c.attach(attach.Dialogs)
	case "ui.watch":
		return struct{}{}, c.watch(ctx)
	case "pin.change", "pin.unblock":
		if !c.isTray() {
			return nil, crs.ErrOriginDenied
		}
		if method == "pin.change" {
			return struct{}{}, c.ChangePIN(ctx, card.Reader)
		}
		return struct{}{}, c.UnblockPIN(ctx, card.Reader)
	}
	return nil, crs.ErrInvalidRequest
}

// cardParams name a card by its reader.
type cardParams struct {
	Reader string `json:"reader"`
}

// attachParams say whether the tray can show dialogs.
type attachParams struct {
	Dialogs bool `json:"dialogs"`
}

type sitesResult struct {
	Sites []state.Site `json:"sites"`
}

// attach makes a client the tray: one at a time, and only this very program. That keeps honest
// programs honest; a malicious one that runs as the same user can do worse than this.
func (c *client) attach(dialogs bool) error {
	if err := trust.SameProgram(c.conn.net); err != nil {
		c.Log.Warn("tray refused", "reason", err)
		return ErrOtherProgram
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tray != nil && c.tray != c.conn {
		return crs.ErrBusy
	}
	c.tray, c.dialogs = c.conn, dialogs
	c.changed.Announce()
	c.Log.Info("tray attached", "dialogs", dialogs)
	return nil
}

func (s *Server) detach(p *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tray == p {
		s.tray = nil
		s.changed.Announce()
		s.Log.Info("tray gone")
	}
}

func (c *client) isTray() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tray == c.conn
}

// Screen returns the screen of the attached tray, nil if there is no tray or it has no screen.
func (s *Server) Screen() dialog.Screen {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tray == nil || !s.dialogs {
		return nil
	}
	return remoteScreen{s.tray}
}

// status is Status plus what the server itself knows.
func (s *Server) status() (Status, [2]<-chan struct{}) {
	changed := s.changed.Next()
	s.mu.Lock()
	tray := s.tray != nil
	s.mu.Unlock()
	status, moreChanged := s.Status()
	status.Tray = tray
	return status, [...]<-chan struct{}{changed, moreChanged}
}

// watch sends the client the status whenever it changes, until ctx ends.
func (c *client) watch(ctx context.Context) error {
	var last []byte
	for {
		status, changed := c.status()
		now, err := json.Marshal(status)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, last) {
			last = now
			if err := c.conn.notify("status", jsontext.Value(now)); err != nil {
				return err
			}
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
