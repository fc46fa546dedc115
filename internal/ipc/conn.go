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

// message is a request, the answer to one, or, without a number, a notification.
type message struct {
	ID     uint64         `json:"id,omitzero"`
	Method string         `json:"method,omitzero"` // "" in an answer
	Params jsontext.Value `json:"params,omitzero"`
	Result jsontext.Value `json:"result,omitzero"`
	Error  *remoteError   `json:"error,omitzero"`
}

// remoteError is an error of the other side. Its text holds nothing of user or card: both sides
// only send what is fit for a log.
type remoteError struct {
	Code crs.Code `json:"code"`
	Text string   `json:"text"`
}

func (e *remoteError) Error() string        { return e.Text }
func (e *remoteError) Is(target error) bool { return target == e.Code }

// ErrClosed is why nothing can be asked any more: the other program ended.
var ErrClosed = errors.New("the connection to the service ended")

// peer is one end of a connection. Each end may ask the other, any number of things at a time.
type peer struct {
	conn net.Conn

	// answer answers a request: with a *crs.PIN, with what becomes JSON, or with an error. Its
	// context ends when the other side cancels the request or goes.
	answer func(ctx context.Context, method string, params jsontext.Value) (any, error)

	// told takes in a notification, in the order of their coming. nil: none is expected.
	told func(method string, params jsontext.Value) error

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
	closeTime   = 500 * time.Millisecond // for a dialog that was cancelled to be gone
	maxRequests = 16                     // of one peer, under way
)

func newPeer(conn net.Conn, answer func(context.Context, string, jsontext.Value) (any, error)) *peer {
	return &peer{conn: conn, answer: answer, waiting: map[uint64]chan<- reply{}, answered: map[uint64]context.CancelFunc{}}
}

// run serves the connection until it ends, and returns why, nil when the other side closed it.
func (p *peer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { p.conn.Close() })
	var requests sync.WaitGroup
	defer requests.Wait()
	defer p.close()
	defer stop()
	defer cancel()
	for {
		b, id, pin, err := readFrame(p.conn)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if pin != nil {
			p.resolve(id, reply{pin: pin})
			continue
		}
		var m message
		if err := json.Unmarshal(b, &m, json.RejectUnknownMembers(true)); err != nil {
			return errors.New("not a message") // what is in it stays out of the log
		}
		switch {
		case m.Method == "" && m.Error != nil:
			p.resolve(m.ID, reply{err: m.Error})
		case m.Method == "":
			p.resolve(m.ID, reply{result: m.Result})
		case m.Method == "cancel" && m.ID == 0:
			p.cancel(m.Params)
		case m.ID == 0:
			if p.told == nil {
				return errors.New("a request without a number")
			}
			if err := p.told(m.Method, m.Params); err != nil {
				return err
			}
		default:
			ctx, done, err := p.begin(ctx, m.ID)
			if err != nil {
				return err
			}
			requests.Go(func() {
				result, err := p.answer(ctx, m.Method, m.Params)
				done()
				p.respond(m.ID, result, err)
			})
		}
	}
}

// call asks the other side and waits for its answer. When ctx ends it cancels the request, lets
// a dialog close and returns the context's error.
func (p *peer) call(ctx context.Context, method string, params any) (reply, error) {
	if ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	answered := make(chan reply, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return reply{}, ErrClosed
	}
	p.last++
	id := p.last
	p.waiting[id] = answered
	p.mu.Unlock()

	if err := p.send(message{ID: id, Method: method}, params); err != nil {
		p.resolve(id, reply{err: err})
	}
	select {
	case r := <-answered:
		return r, r.err
	case <-ctx.Done():
	}
	p.send(message{Method: "cancel"}, struct {
		ID uint64 `json:"id"`
	}{id})
	select {
	case r := <-answered:
		r.pin.Wipe()
	case <-time.After(closeTime):
		p.resolve(id, reply{err: ctx.Err()}) // an answer that still comes is for nobody
		(<-answered).pin.Wipe()
	}
	return reply{}, ctx.Err()
}

// ask is call for an answer that is JSON, nil when nothing of it is wanted.
func (p *peer) ask(ctx context.Context, method string, params, result any) error {
	r, err := p.call(ctx, method, params)
	if err == nil && r.pin != nil {
		r.pin.Wipe()
		err = errors.New("a PIN that was not asked for")
	}
	if err != nil || result == nil {
		return err
	}
	return unmarshal(r.result, result)
}

// notify tells the other side something that it does not answer.
func (p *peer) notify(method string, params any) error {
	return p.send(message{Method: method}, params)
}

// resolve hands an answer to whoever waits for it.
func (p *peer) resolve(id uint64, r reply) {
	p.mu.Lock()
	waiting := p.waiting[id]
	delete(p.waiting, id)
	p.mu.Unlock()
	if waiting == nil {
		r.pin.Wipe()
		return
	}
	waiting <- r
}

// begin notes a request of the other side, so that it can be cancelled.
func (p *peer) begin(ctx context.Context, id uint64) (context.Context, func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answered) == maxRequests {
		return nil, nil, errors.New("too many requests at a time")
	}
	if p.answered[id] != nil {
		return nil, nil, fmt.Errorf("request %d for the second time", id)
	}
	ctx, cancel := context.WithCancel(ctx)
	p.answered[id] = cancel
	return ctx, func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.answered, id)
	}, nil
}

func (p *peer) cancel(params jsontext.Value) {
	var which struct {
		ID uint64 `json:"id"`
	}
	if unmarshal(params, &which) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.answered[which.ID]; cancel != nil {
		cancel()
	}
}

// respond answers request id.
func (p *peer) respond(id uint64, result any, err error) {
	if pin, ok := result.(*crs.PIN); ok && err == nil {
		p.writing.Lock()
		defer p.writing.Unlock()
		p.conn.SetWriteDeadline(time.Now().Add(writeTime))
		if writePIN(p.conn, id, pin) != nil {
			p.conn.Close()
		}
		return
	}
	m := message{ID: id}
	if err != nil {
		m.Error = &remoteError{crs.CodeOf(err), outside.Text(err.Error())} // it may hold a path
	} else if m.Result, err = json.Marshal(result); err != nil {
		m.Error = &remoteError{crs.ErrInternal, err.Error()}
	}
	p.send(m, nil)
}

// send writes one message. A peer that does not read is left.
func (p *peer) send(m message, params any) error {
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
	p.writing.Lock()
	defer p.writing.Unlock()
	p.conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err := writeMessage(p.conn, b); err != nil {
		p.conn.Close()
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

// close answers whoever still waits.
func (p *peer) close() {
	p.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id, waiting := range p.waiting {
		waiting <- reply{err: ErrClosed}
		delete(p.waiting, id)
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
