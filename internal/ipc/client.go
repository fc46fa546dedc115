package ipc

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/trust"
)

var (
	// ErrNoService is returned by Dial when no service of this user runs.
	ErrNoService = errors.New("the service is not running")
	// ErrOtherProgram is returned by DialPortal and Link.Problem when the other end is not this
	// very program, for example if only one of the two was restarted after an update.
	ErrOtherProgram = errors.New("the service and the tray are not the same program")
)

// anotherVersion is ErrOtherProgram with the version that the service reported.
type anotherVersion struct{ version string }

func (anotherVersion) Error() string        { return ErrOtherProgram.Error() }
func (anotherVersion) Is(target error) bool { return target == ErrOtherProgram }

// Client is a program's connection to the service.
type Client struct {
	conn  *conn
	ended chan struct{}
}

// Dial connects to the service of this user.
func Dial(ctx context.Context) (*Client, error) {
	c, err := newClient(ctx)
	if err == nil {
		c.start()
	}
	return c, err
}

func newClient(ctx context.Context) (*Client, error) {
	conn, err := dial(ctx, ownerSocket)
	if err != nil {
		return nil, err
	}
	if err := trust.SameUser(conn); err != nil {
		conn.Close()
		return nil, err
	}
	nothing := func(context.Context, string, jsontext.Value) (any, error) { return nil, crs.ErrInvalidRequest }
	return &Client{conn: newConn(conn, nothing), ended: make(chan struct{})}, nil
}

func (c *Client) start() {
	go func() {
		defer close(c.ended)
		c.conn.run(context.Background())
	}()
}

// Close ends the connection.
func (c *Client) Close() {
	c.conn.close()
	<-c.ended
}

// questionTime is how long a service may take for an answer that needs no user.
const questionTime = 5 * time.Second

func (c *Client) ask(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	return c.conn.ask(ctx, method, params, result)
}

// Status returns what the service says about itself. A later version may say more.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	var told jsontext.Value
	if err := c.ask(ctx, "status", nil, &told); err != nil {
		return Status{}, err
	}
	if err := json.Unmarshal(told, &s); err != nil {
		return Status{}, errors.New("the service tells its status in a way that this program does not know")
	}
	return s, nil
}

// Refresh makes the service reread what this program changed on disk.
func (c *Client) Refresh(ctx context.Context) error { return c.ask(ctx, "refresh", nil, nil) }

// Sites returns the sites that the user decided about.
func (c *Client) Sites(ctx context.Context) ([]state.Site, error) {
	var r sitesResult
	err := c.ask(ctx, "sites", nil, &r)
	return r.Sites, err
}

// SetSite makes a site allowed, blocked or, for crs.SiteUnknown, forgotten.
func (c *Client) SetSite(ctx context.Context, origin string, now crs.SiteState) error {
	return c.ask(ctx, "site.set", state.Site{Origin: origin, State: now}, nil)
}

// attach makes this program the tray of the service, which from now on shows its dialogs on screen,
// or nowhere if that is nil, and calls update with each status until ctx or the service ends.
func attach(ctx context.Context, screen dialog.Screen, update func(*Client, Status)) error {
	c, err := newClient(ctx)
	if err != nil {
		return err
	}
	if screen != nil {
		c.conn.answer = func(ctx context.Context, method string, params jsontext.Value) (any, error) {
			return showOn(ctx, screen, method, params)
		}
	}
	c.conn.notified = func(method string, params jsontext.Value) error {
		var s Status
		if err := unmarshal(params, &s); err != nil || method != "status" {
			return errors.New("not a status")
		}
		update(c, s)
		return nil
	}
	c.start()
	defer c.Close()
	// A PIN goes to the service, so it must be this very program too.
	if err := trust.SameProgram(c.conn.net); err != nil {
		s, _ := c.Status(ctx) // in any version
		return anotherVersion{cmp.Or(s.Version, "?")}
	}
	if err := c.ask(ctx, "ui.attach", attachParams{screen != nil}, nil); err != nil {
		return err
	}
	return c.conn.ask(ctx, "ui.watch", nil, nil)
}
