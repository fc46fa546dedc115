package bridge

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/trust"
)

// Server is the bridge. Cards, Screen and Sites must be set. A Server must not be copied.
type Server struct {
	Cards  Cards
	Screen dialog.Screen // where its user is asked
	Sites  Sites
	Limits Limits

	// Developer is a port under which pages of this computer may ask too, without TLS: see
	// crs.ParseDeveloperOrigin. 0, the default, means none.
	Developer int

	// AppVersion is the URL that tokens carry as their appVersion.
	AppVersion string

	// Log may be nil.
	Log *slog.Logger

	turns     turns
	questions questions
	mutes     mutes
	seats     seats
	keyboards keyboards
}

func (s *Server) limits() Limits { return s.Limits.withDefaults() }

var discard = slog.New(slog.DiscardHandler)

func (s *Server) log() *slog.Logger { return cmp.Or(s.Log, discard) }

// spareConnections is how many connections above Limits.Connections may be open for the short
// time that it takes to refuse them. Any more wait in the kernel's queue.
const spareConnections = 16

// Serve answers portals until ctx ends, closes l, and returns when everything it started has
// ended: it waits for a card that is comparing a PIN.
func (s *Server) Serve(ctx context.Context, l *Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()

	var accepting, serving sync.WaitGroup
	places := make(chan struct{}, s.limits().Connections+spareConnections)
	for _, one := range l.each {
		accepting.Go(func() {
			for {
				conn, err := one.Accept()
				switch {
				case err == nil:
				case errors.Is(err, net.ErrClosed):
					return
				default: // such as too many open files: it passes
					s.log().Warn("connection not accepted", "reason", err)
					time.Sleep(100 * time.Millisecond)
					continue
				}
				places <- struct{}{}
				serving.Go(func() {
					defer func() { <-places }()
					s.serve(ctx, conn, l.Port())
				})
			}
		})
	}
	accepting.Wait()
	serving.Wait()
}

// serve is the life of one connection: it is refused, or it becomes a WebSocket.
func (s *Server) serve(ctx context.Context, conn net.Conn, port int) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(s.limits().Handshake))

	request, origin, err := s.admit(conn, port)
	if err != nil {
		s.log().Debug("refused", "reason", err)
		refuse(conn)
		return
	}
	leave, err := s.seats.take(origin, s.limits())
	if err != nil {
		s.log().Debug("refused", "origin", origin.String(), "reason", err)
		refuse(conn)
		return
	}
	ws, err := upgrade(conn, request)
	if err != nil {
		leave()
		s.log().Debug("refused", "reason", err)
		refuse(conn)
		return
	}
	s.log().Debug("connected", "origin", origin.String())
	client := s.converse(ctx, ws, origin)
	leave()
	s.log().Debug("disconnected", "origin", origin.String())
	client.logins.Wait()
}

// admit decides whether a client may speak at all. Its errors are for the log: to the client
// every refusal is the same.
func (s *Server) admit(conn net.Conn, port int) (*http.Request, crs.Origin, error) {
	if err := trust.SameUser(conn); err != nil {
		return nil, crs.Origin{}, err
	}
	request, err := readRequest(conn)
	if err != nil {
		return nil, crs.Origin{}, err
	}
	if err := checkHost(request.Header["Host"], port); err != nil {
		return nil, crs.Origin{}, err
	}
	// No Origin: not a browser, or a request that browsers do not vouch for.
	origins := request.Header["Origin"]
	if len(origins) != 1 {
		return nil, crs.Origin{}, fmt.Errorf("%d Origin headers", len(origins))
	}
	origin, err := crs.ParseDeveloperOrigin(origins[0], s.Developer)
	if err != nil {
		return nil, crs.Origin{}, err
	}
	state, err := s.siteState(origin)
	if err != nil {
		return nil, crs.Origin{}, err
	}
	if state == crs.SiteBlocked {
		return nil, crs.Origin{}, fmt.Errorf("origin %q: blocked by the user", origin)
	}
	return request, origin, nil
}

// checkHost compares the Host header with the names of this server. A page that reached it by
// another name, which it made to point here (DNS rebinding), sends that name.
func checkHost(hosts []string, port int) error {
	p := ":" + strconv.Itoa(port)
	if len(hosts) != 1 || !slices.Contains([]string{"127.0.0.1" + p, "localhost" + p, "[::1]" + p}, hosts[0]) {
		return errors.New("foreign Host header")
	}
	return nil
}

// maxRequest bounds a handshake. Browsers send along the cookies of every program that serves
// pages on this host.
const maxRequest = 64 << 10

// readRequest reads the one request that this server knows. It does not use http.Server, which
// answers some malformed requests itself, in its own words.
func readRequest(from io.Reader) (*http.Request, error) {
	buffer := bufio.NewReader(io.LimitReader(from, maxRequest))
	r := textproto.NewReader(buffer)
	line, err := r.ReadLine()
	if err != nil {
		return nil, errors.New("no request line")
	}
	if line != "GET /v1 HTTP/1.1" {
		return nil, errors.New("another request than GET /v1")
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return nil, errors.New("malformed or too long header")
	}
	if buffer.Buffered() > 0 {
		return nil, errors.New("data before the handshake was complete")
	}
	return &http.Request{Method: http.MethodGet, Header: http.Header(header)}, nil
}

// upgrade makes the connection a WebSocket. The library's own check of the Origin is switched
// off: it accepts a missing one, and one that equals Host.
func upgrade(conn net.Conn, request *http.Request) (*websocket.Conn, error) {
	u := websocket.Upgrader{
		ReadBufferSize:  4 << 10,
		WriteBufferSize: 4 << 10,
		CheckOrigin:     func(*http.Request) bool { return true },
	}
	return u.Upgrade(&hijacked{conn: conn}, request, nil)
}

// hijacked hands a connection to the WebSocket library and drops what it would have answered.
type hijacked struct {
	conn   net.Conn
	header http.Header
}

func (r *hijacked) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
func (r *hijacked) Write(b []byte) (int, error) { return len(b), nil }
func (r *hijacked) WriteHeader(int)             {}

// Hijack implements http.Hijacker.
func (r *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r.conn, bufio.NewReadWriter(bufio.NewReader(r.conn), bufio.NewWriter(r.conn)), nil
}

// refusal is the one answer to a client that may not speak. It reveals no more than the open port
// does.
const refusal = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

func refuse(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(lingerTime))
	io.WriteString(conn, refusal)
	linger(conn)
}

const (
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 1 << 20
)

// linger reads what the client was still sending. Closing at once would answer it with a reset,
// which can overtake the last bytes that were written.
func linger(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, io.LimitReader(conn, lingerBytes))
}

// seats counts the open WebSockets.
type seats struct {
	mu    sync.Mutex
	all   int
	sites map[crs.Origin]int
}

func (s *seats) take(o crs.Origin, l Limits) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= l.Connections || s.sites[o] >= l.OriginConnections {
		return nil, fmt.Errorf("%w: too many connections", crs.ErrBusy)
	}
	if s.sites == nil {
		s.sites = map[crs.Origin]int{}
	}
	s.all++
	s.sites[o]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.sites[o]--; s.sites[o] == 0 {
			delete(s.sites, o)
		}
	}, nil
}
