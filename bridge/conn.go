package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/trust"
)

// writeTime is how long a client may take to accept a message.
const writeTime = 5 * time.Second

// errGone ends a login when its page was closed.
var errGone = errors.New("the page is gone")

// socket is a WebSocket. One goroutine reads, one sends pings; any goroutine may write an answer,
// one at a time.
type socket struct {
	ws      *websocket.Conn
	limits  Limits
	hangUp  context.CancelCauseFunc
	flow    throttle
	message atomic.Int64 // when the last message came, in Unix nanoseconds

	writing sync.Mutex // held while a message is written; the library forbids two
}

// converse answers a client until it leaves, misbehaves, or ctx ends. When it returns, a login
// of the session may still be waiting for its card.
func (s *Server) converse(ctx context.Context, ws *websocket.Conn, origin crs.Origin) *session {
	service := ctx
	ctx, hangUp := context.WithCancelCause(ctx)
	c := &socket{ws: ws, limits: s.limits(), hangUp: hangUp}
	c.message.Store(time.Now().UnixNano())
	program := func() string { return trust.Browser(ws.NetConn()) }
	client := &session{server: s, origin: origin, program: program, service: service, send: func(b []byte) { c.write(ctx, b) }}

	var pings sync.WaitGroup
	pings.Go(func() { c.ping(ctx) })
	code := c.read(ctx, func(message []byte) { client.handle(ctx, message) })
	hangUp(errGone)
	pings.Wait()
	c.writing.Lock() // a login that is ending may still be writing; after this none begins to
	defer c.writing.Unlock()
	if code != 0 {
		ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(writeTime))
		linger(ws.NetConn())
	}
	ws.Close()
	return client
}

// read hands on one message after the other. It returns the code with which to close the
// connection, 0 when there is nobody to tell.
func (c *socket) read(ctx context.Context, handle func([]byte)) (code int) {
	c.flow = c.limits.throttle()
	// A message of one byte more makes the library close with 1009.
	c.ws.SetReadLimit(int64(c.limits.MessageBytes))
	c.ws.SetPongHandler(func(string) error { return c.heard(ctx) })
	answerPing := c.ws.PingHandler()
	c.ws.SetPingHandler(func(data string) error {
		if err := c.heard(ctx); err != nil {
			return err
		}
		return answerPing(data)
	})
	if c.alive() != nil {
		return 0
	}
	for {
		kind, message, err := c.ws.ReadMessage()
		switch {
		case errors.Is(err, errFlood):
			return websocket.ClosePolicyViolation
		case errors.Is(err, websocket.ErrReadLimit):
			linger(c.ws.NetConn())
			return 0
		case err != nil:
			return 0
		case kind != websocket.TextMessage:
			return websocket.CloseUnsupportedData
		}
		if c.heard(ctx) != nil {
			return websocket.ClosePolicyViolation
		}
		c.message.Store(time.Now().UnixNano())
		handle(message)
	}
}

// heard counts a message or a control frame against the rate, and holds back what is above it.
func (c *socket) heard(ctx context.Context) error {
	if err := c.flow.hold(ctx); err != nil {
		return err
	}
	return c.alive()
}

// alive allows the client two pings of silence.
func (c *socket) alive() error {
	return c.ws.SetReadDeadline(time.Now().Add(2 * c.limits.Ping))
}

// write sends a message. A client that does not take it in time is considered gone.
func (c *socket) write(ctx context.Context, message []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if ctx.Err() != nil {
		return
	}
	c.ws.SetWriteDeadline(time.Now().Add(writeTime))
	if err := c.ws.WriteMessage(websocket.TextMessage, message); err != nil {
		c.drop()
	}
}

// drop ends the conversation from our side.
func (c *socket) drop() {
	c.hangUp(errGone)
	c.ws.Close() // ends read
}

// ping sends pings, and ends a conversation without a message for too long. Control frames may be
// sent while a message is written.
func (c *socket) ping(ctx context.Context) {
	tick := time.NewTicker(c.limits.Ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(time.Unix(0, c.message.Load())) >= c.limits.Idle {
				c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), now.Add(writeTime))
				linger(c.ws.NetConn())
				c.drop()
				return
			}
			if c.ws.WriteControl(websocket.PingMessage, nil, now.Add(writeTime)) != nil {
				c.drop()
				return
			}
		}
	}
}

// errFlood ends a connection that keeps sending above the rate.
var errFlood = errors.New("too many messages")

// throttle is a token bucket. Its zero value lets nothing through.
type throttle struct {
	rate, burst int
	most        time.Duration // how long messages in a row may be held back, together

	debt   time.Duration // time that the messages up to now take at the rate
	last   time.Time
	waited time.Duration
}

func (l Limits) throttle() throttle {
	return throttle{rate: l.MessageRate, burst: l.MessageBurst, most: l.MessageWait}
}

// hold blocks while the client is above its rate. It returns errFlood if it would block too long.
func (t *throttle) hold(ctx context.Context) error {
	wait, err := t.take(time.Now())
	if err != nil || wait <= 0 {
		return err
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	return nil
}

// take returns how long to hold a message back, or errFlood.
func (t *throttle) take(now time.Time) (time.Duration, error) {
	each := time.Second / time.Duration(t.rate)
	if !t.last.IsZero() {
		t.debt = max(0, t.debt-now.Sub(t.last))
	}
	t.last = now
	t.debt += each
	wait := t.debt - time.Duration(t.burst)*each
	if wait <= 0 {
		t.waited = 0
		return 0, nil
	}
	if t.waited += wait; t.waited > t.most {
		return 0, errFlood
	}
	return wait, nil
}
