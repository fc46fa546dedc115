package bridge

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
)

// pipe carries the messages of one browser's native messaging. One goroutine reads; any goroutine
// may write an answer, one at a time.
type pipe struct {
	conn   net.Conn
	from   *bufio.Reader
	limits Limits
	hangUp context.CancelCauseFunc
	flow   throttle

	writing sync.Mutex // held while a message is written
}

// ServeNative answers one client of native messaging until it leaves, misbehaves or ctx ends, and
// returns when its logins have ended too. The other end must be this very program, which vouches
// for the browser. program returns what started it, as catalog.Prompt has it; it is called before
// the user is asked about an unknown site.
func (s *Server) ServeNative(ctx context.Context, conn net.Conn, program func() string) {
	service := ctx
	ctx, hangUp := context.WithCancelCause(ctx)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	p := &pipe{conn: conn, from: bufio.NewReader(conn), limits: s.limits(), flow: s.limits().throttle(), hangUp: hangUp}
	client := &session{server: s, service: service, program: program, send: func(b []byte) { p.write(ctx, b) }}
	defer client.logins.Wait()
	defer hangUp(errGone)

	leave, err := p.connect(ctx, client)
	if err != nil {
		s.log().Debug("refused", "reason", err)
		return
	}
	defer leave()
	s.log().Debug("connected", "origin", client.origin.String(), "by", "extension")
	defer s.log().Debug("disconnected", "origin", client.origin.String())
	for {
		message, err := p.read(ctx, p.limits.Idle)
		if err != nil {
			if errors.Is(err, errTooLong) || errors.Is(err, errFlood) {
				client.answer(nil, nil, errRequest)
			}
			return
		}
		client.handle(ctx, message)
	}
}

// read returns the next message, or an error if none arrives within the given time.
func (p *pipe) read(ctx context.Context, within time.Duration) ([]byte, error) {
	p.conn.SetReadDeadline(time.Now().Add(within))
	message, err := readFrame(p.from, p.limits.MessageBytes)
	if err != nil {
		return nil, err
	}
	return message, p.flow.hold(ctx)
}

// write sends a message. A client that does not take it in time is considered gone.
func (p *pipe) write(ctx context.Context, message []byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if ctx.Err() != nil {
		return
	}
	p.conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err := writeFrame(p.conn, message); err != nil {
		p.hangUp(errGone)
	}
}

// connect reads and answers the first message, in which the extension says who asks. A refusal says
// why, by its code alone.
func (p *pipe) connect(ctx context.Context, client *session) (leave func(), err error) {
	message, err := p.read(ctx, p.limits.Handshake)
	if errors.Is(err, errTooLong) {
		client.answer(nil, nil, errRequest)
	}
	if err != nil {
		return nil, err
	}
	s := client.server
	r, origin, top, err := parseConnect(message, s.Developer)
	var state crs.SiteState
	if err == nil {
		state, err = s.mayConnect(origin, top)
	}
	if err == nil {
		leave, err = s.seats.take(origin, p.limits)
	}
	if err != nil {
		client.answer(r.ID, nil, err)
		return nil, err
	}
	client.origin, client.top = origin, top
	client.answer(r.ID, connectResult{state == crs.SiteAllowed}, nil)
	return leave, nil
}

type connectParams struct {
	Origin    string  `json:"origin"`
	TopOrigin *string `json:"topOrigin"`
}

// connectResult is for the extension, which keeps it from the page: what it shows the user, and
// whether it answers pages that are written for another program.
type connectResult struct {
	Allowed bool `json:"allowed"`
}

// parseConnect reads the first message. The top site is that of the page in which a page of
// another site is shown; it is zero when both belong to one registrable domain.
func parseConnect(message []byte, developer int) (r request, origin, top crs.Origin, err error) {
	if r, err = parseRequest(message); err != nil {
		return r, origin, top, err
	}
	if r.Method != "connect" {
		return r, origin, top, errRequest
	}
	var params connectParams
	if err := decode(r.Params, &params); err != nil || params.Origin == "" {
		return r, origin, top, errParams
	}
	// As with a WebSocket, an origin that may not ask learns that, and no more.
	if origin, err = crs.ParseDeveloperOrigin(params.Origin, developer); err != nil {
		return r, crs.Origin{}, top, crs.ErrOriginDenied
	}
	if params.TopOrigin == nil {
		return r, origin, top, nil
	}
	if top, err = crs.ParseDeveloperOrigin(*params.TopOrigin, developer); err != nil {
		return r, crs.Origin{}, crs.Origin{}, crs.ErrOriginDenied
	}
	if registrable(top) == registrable(origin) {
		top = crs.Origin{}
	}
	return r, origin, top, nil
}

// mayConnect returns what the user decided about a site. It is an error if the user blocked it, or
// if it is shown within a page of another site that the user did not allow.
func (s *Server) mayConnect(origin, top crs.Origin) (crs.SiteState, error) {
	state, err := s.siteState(origin)
	if err == nil && state == crs.SiteBlocked {
		err = crs.ErrOriginDenied
	}
	if err != nil || top.IsZero() {
		return state, err
	}
	topState, err := s.siteState(top)
	if err == nil && topState != crs.SiteAllowed {
		err = crs.ErrOriginDenied
	}
	return state, err
}
