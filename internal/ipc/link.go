package ipc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/changes"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/state"
)

// Link is the tray's end: it stays attached to a service that comes and goes.
type Link struct {
	Screen dialog.Screen // where the service's dialogs are shown, nil: nowhere
	Log    *slog.Logger

	mu      sync.Mutex
	client  *Client // nil: no service answers
	status  Status
	problem error // why not, nil when there is just no service
	changed changes.Signal
}

// Run keeps the link until ctx ends. Between two services it waits without polling, on systems that
// report a new socket.
func (l *Link) Run(ctx context.Context) error {
	const first, last = 50 * time.Millisecond, 2 * time.Second
	made, err := appears(ctx)
	if err != nil {
		return err
	}
	for delay := first; ctx.Err() == nil; {
		err := attach(ctx, l.Screen, l.update)
		if ctx.Err() != nil {
			break
		}
		if l.lost(err) {
			delay = first // it was there, and may be starting again
		}
		var retry <-chan time.Time
		// A service that just made its socket is not yet listening on it, and the replacement of
		// one that refuses is not reported.
		if delay < last || !errors.Is(err, ErrNoService) {
			retry = time.After(delay)
			delay = min(2*delay, last)
		}
		select {
		case <-ctx.Done():
		case <-retry:
		case <-made:
			delay = first
		}
	}
	l.lost(nil)
	return nil
}

// update stores the status that the service sent.
func (l *Link) update(c *Client, s Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client, l.status, l.problem = c, s, nil
	l.changed.Announce()
}

// lost notes that there is no service, and reports whether there was one.
func (l *Link) lost(why error) bool {
	if errors.Is(why, ErrNoService) || errors.Is(why, ErrClosed) {
		why = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.client != nil
	if why != nil && (l.problem == nil || l.problem.Error() != why.Error()) {
		l.Log.Warn("not attached to the service", "reason", why)
	}
	if was || (why == nil) != (l.problem == nil) {
		l.changed.Announce()
	}
	l.client, l.status, l.problem = nil, Status{}, why
	if other := (anotherVersion{}); errors.As(why, &other) {
		l.status.Version = other.version
	}
	return was
}

// Status returns the last status that the service sent, ok false while none answers, and a channel
// that is closed at the next change. For a service that is another version of this program, ok is
// false and s has only the version.
func (l *Link) Status() (s Status, ok bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status, l.client != nil, l.changed.Next()
}

// Problem returns why the running service cannot be used, nil if there is none or all is well.
func (l *Link) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

func (l *Link) service() (*Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		return nil, ErrNoService
	}
	return l.client, nil
}

// ChangePIN makes the service change the PIN of the card in a reader. Its dialogs appear on this
// program's screen, and show the outcome.
func (l *Link) ChangePIN(ctx context.Context, reader string) error {
	return l.care(ctx, "pin.change", reader)
}

// UnblockPIN makes the service unblock it with the PUK.
func (l *Link) UnblockPIN(ctx context.Context, reader string) error {
	return l.care(ctx, "pin.unblock", reader)
}

func (l *Link) care(ctx context.Context, method, reader string) error {
	c, err := l.service()
	if err != nil {
		return err
	}
	return c.conn.ask(ctx, method, cardParams{reader}, nil)
}

// Sites returns the sites that the user decided about.
func (l *Link) Sites(ctx context.Context) ([]state.Site, error) {
	c, err := l.service()
	if err != nil {
		return nil, err
	}
	return c.Sites(ctx)
}

// SetSite makes a site allowed, blocked or, for crs.SiteUnknown, forgotten.
func (l *Link) SetSite(ctx context.Context, origin string, state crs.SiteState) error {
	c, err := l.service()
	if err != nil {
		return err
	}
	return c.SetSite(ctx, origin, state)
}

// Refresh makes the service reread what this program changed on disk.
func (l *Link) Refresh(ctx context.Context) error {
	c, err := l.service()
	if err != nil {
		return err
	}
	return c.Refresh(ctx)
}
