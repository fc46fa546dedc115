package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/outside"
)

// message is a request, an answer to one, or, without a number, a notification.
type message struct {
	ID     uint64         `json:"id,omitzero"`
	Method string         `json:"method,omitzero"` // "" in an answer
	Params jsontext.Value `json:"params,omitzero"`
	Result jsontext.Value `json:"result,omitzero"`
	Error  *remoteError   `json:"error,omitzero"`
}

// remoteError is an error of the other side. Its text reveals nothing about user or card: both
// sides only send what may be logged.
type remoteError struct {
	Code crs.Code `json:"code"`
	Text string   `json:"text"`
}

func (e *remoteError) Error() string        { return e.Text }
func (e *remoteError) Is(target error) bool { return target == e.Code }

// ErrClosed says that the other program has ended, so nothing can be asked any more.
var ErrClosed = errors.New("the connection to the service ended")

// conn is one end of a connection. Each end may ask the other, any number of things at a time.
type conn struct {
	net net.Conn

	// answer answers a request: with a *crs.PIN, a value to send as JSON, or an error. Its context
	// ends when the other side cancels the request or goes.
	answer func(ctx context.Context, method string, params jsontext.Value) (any, error)

	// notified handles the notifications, in the order of their arrival. nil: none is expected.
	notified func(method string, params jsontext.Value) error

	writing sync.Mutex

	mu       sync.Mutex
	last     uint64                        // number of the last request of this end
	waiting  map[uint64]chan<- reply       // for the answers to this end's requests
	answered map[uint64]context.CancelFunc // the other end's requests that are under way
	closed   bool
}

// reply is the answer to a request.
type reply struct {
	result jsontext.Value
	pin    *crs.PIN
	err    error
}

const (
	writeTime   = 5 * time.Second
	closeTime   = 500 * time.Millisecond // for a cancelled dialog to disappear
	maxRequests = 16                     // of one end, under way
)

func newConn(nc net.Conn, answer func(context.Context, string, jsontext.Value) (any, error)) *conn {
	return &conn{net: nc, answer: answer, waiting: map[uint64]chan<- reply{}, answered: map[uint64]context.CancelFunc{}}
}

// run serves the connection until it ends, and returns why, nil when the other side closed it.
func (c *conn) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { c.net.Close() })
	var requests sync.WaitGroup
	defer requests.Wait()
	defer c.close()
	defer stop()
	defer cancel()
	for {
		b, id, pin, err := readFrame(c.net)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if pin != nil {
			c.resolve(id, reply{pin: pin})
			continue
		}
		var m message
		if err := json.Unmarshal(b, &m, json.RejectUnknownMembers(true)); err != nil {
			return errors.New("not a message") // its content stays out of the log
		}
		switch {
		case m.Method == "" && m.Error != nil:
			c.resolve(m.ID, reply{err: m.Error})
		case m.Method == "":
			c.resolve(m.ID, reply{result: m.Result})
		case m.Method == "cancel" && m.ID == 0:
			c.cancel(m.Params)
		case m.ID == 0:
			if c.notified == nil {
				return errors.New("a request without a number")
			}
			if err := c.notified(m.Method, m.Params); err != nil {
				return err
			}
		default:
			ctx, done, err := c.begin(ctx, m.ID)
			if err != nil {
				return err
			}
			requests.Go(func() {
				result, err := c.answer(ctx, m.Method, m.Params)
				done()
				c.respond(m.ID, result, err)
			})
		}
	}
}

// call asks the other side and waits for its answer. When ctx ends it cancels the request, gives a
// dialog time to close and returns the context's error.
func (c *conn) call(ctx context.Context, method string, params any) (reply, error) {
	if ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	answered := make(chan reply, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return reply{}, ErrClosed
	}
	c.last++
	id := c.last
	c.waiting[id] = answered
	c.mu.Unlock()

	if err := c.send(message{ID: id, Method: method}, params); err != nil {
		c.resolve(id, reply{err: err})
	}
	select {
	case r := <-answered:
		return r, r.err
	case <-ctx.Done():
	}
	c.send(message{Method: "cancel"}, struct {
		ID uint64 `json:"id"`
	}{id})
	select {
	case r := <-answered:
		r.pin.Wipe()
	case <-time.After(closeTime):
		c.resolve(id, reply{err: ctx.Err()}) // nobody waits for a late answer
		(<-answered).pin.Wipe()
	}
	return reply{}, ctx.Err()
}

// ask is call for an answer in JSON; result is nil if the answer does not matter.
func (c *conn) ask(ctx context.Context, method string, params, result any) error {
	r, err := c.call(ctx, method, params)
	if err == nil && r.pin != nil {
		r.pin.Wipe()
		err = errors.New("a PIN that was not asked for")
	}
	if err != nil || result == nil {
		return err
	}
	return unmarshal(r.result, result)
}

// notify sends the other side something that it does not answer.
func (c *conn) notify(method string, params any) error {
	return c.send(message{Method: method}, params)
}

// resolve delivers an answer to the request that waits for it.
func (c *conn) resolve(id uint64, r reply) {
	c.mu.Lock()
	waiting := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if waiting == nil {
		r.pin.Wipe()
		return
	}
	waiting <- r
}

// begin notes a request of the other side, so that it can be cancelled.
func (c *conn) begin(ctx context.Context, id uint64) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answered) == maxRequests {
		return nil, nil, errors.New("too many requests at a time")
	}
	if c.answered[id] != nil {
		return nil, nil, fmt.Errorf("request %d for the second time", id)
	}
	ctx, cancel := context.WithCancel(ctx)
	c.answered[id] = cancel
	return ctx, func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.answered, id)
	}, nil
}

func (c *conn) cancel(params jsontext.Value) {
	var which struct {
		ID uint64 `json:"id"`
	}
	if unmarshal(params, &which) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.answered[which.ID]; cancel != nil {
		cancel()
	}
}

// respond answers request id.
func (c *conn) respond(id uint64, result any, err error) {
	if pin, ok := result.(*crs.PIN); ok && err == nil {
		c.writing.Lock()
		defer c.writing.Unlock()
		c.net.SetWriteDeadline(time.Now().Add(writeTime))
		if writePIN(c.net, id, pin) != nil {
			c.net.Close()
		}
		return
	}
	m := message{ID: id}
	if err != nil {
		m.Error = &remoteError{crs.CodeOf(err), outside.Text(err.Error())} // it may hold a path
	} else if m.Result, err = json.Marshal(result); err != nil {
		m.Error = &remoteError{crs.ErrInternal, err.Error()}
	}
	c.send(m, nil)
}

// send writes one message. It hangs up on a peer that does not read.
func (c *conn) send(m message, params any) error {
	var err error
	if params != nil {
		if m.Params, err = json.Marshal(params); err != nil {
			return err
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.net.SetWriteDeadline(time.Now().Add(writeTime))
	if err := writeMessage(c.net, b); err != nil {
		c.net.Close()
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

// close ends every request that still waits.
func (c *conn) close() {
	c.net.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for id, waiting := range c.waiting {
		waiting <- reply{err: ErrClosed}
		delete(c.waiting, id)
	}
}

// unmarshal reads params or a result, strictly.
func unmarshal(b jsontext.Value, to any) error {
	if len(b) == 0 {
		b = jsontext.Value("{}")
	}
	if err := json.Unmarshal(b, to, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: not of the right shape", crs.ErrInvalidRequest)
	}
	return nil
}
