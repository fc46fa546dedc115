package bridge

import (
	"bufio"
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/trust"
)

// unlimited lets a benchmark send as fast as it can.
func unlimited(w *world) {
	w.Limits.MessageRate, w.Limits.MessageBurst = 1e6, 1e6
}

// timedCard signs once and for all, and adds up the time that a login spends in it. The one
// statement that it signs is that of the benchmark.
type timedCard struct {
	*testCard
	mu    sync.Mutex
	spent time.Duration
}

func (c *timedCard) Sign(ctx context.Context, pin *crs.PIN, s crs.Statement) (crs.Signature, error) {
	defer c.add(time.Now())
	return c.testCard.Sign(ctx, pin, s)
}

func (c *timedCard) Certificate(ctx context.Context) (*x509.Certificate, error) {
	defer c.add(time.Now())
	return c.testCard.Certificate(ctx)
}

func (c *timedCard) add(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spent += time.Since(since)
}

// BenchmarkLogin measures what the bridge adds to a login: from the request on the wire to the
// token on the wire, with a card in memory and a user who answers at once, minus the card.
func BenchmarkLogin(b *testing.B) {
	w := newWorld(b, unlimited, func(w *world) {
		w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	card := &timedCard{testCard: w.card}
	w.cards.set(crs.Reader{Name: "reader", Card: card})
	c := w.dial(portale)
	var overheads []time.Duration
	for b.Loop() {
		card.spent = 0
		began := time.Now()
		c.authenticate(1, "")
		for {
			_, message, err := c.ws.ReadMessage()
			if err != nil {
				b.Fatal(err)
			}
			if len(message) > 500 { // the token, after the progress
				break
			}
		}
		overheads = append(overheads, time.Since(began)-card.spent)
	}
	b.ReportMetric(float64(median(overheads).Microseconds()), "µs-median-overhead")
}

// BenchmarkHello compares a round trip of hello with that of a bare WebSocket echo, message by
// message in the same run.
func BenchmarkHello(b *testing.B) {
	w := newWorld(b, unlimited, func(w *world) {
		w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	bridge, echo := w.dial(portale).ws, dialEcho(b)
	hello := []byte(`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"crs.js/1.0","protocol":1}}`)
	roundTrip := func(ws *websocket.Conn) time.Duration {
		began := time.Now()
		if err := ws.WriteMessage(websocket.TextMessage, hello); err != nil {
			b.Fatal(err)
		}
		if _, _, err := ws.ReadMessage(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var hellos, echoes []time.Duration
	for b.Loop() {
		hellos = append(hellos, roundTrip(bridge))
		echoes = append(echoes, roundTrip(echo))
	}
	h, e := median(hellos), median(echoes)
	b.ReportMetric(float64(h.Nanoseconds())/1000, "µs-median-hello")
	b.ReportMetric(float64(e.Nanoseconds())/1000, "µs-median-echo")
	b.ReportMetric(float64(h)/float64(e), "hello/echo")
}

// BenchmarkPeer measures how long it takes to find the user of a connection.
func BenchmarkPeer(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for b.Loop() {
		if err := trust.SameUser(conn); err != nil {
			b.Fatal(err)
		}
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// dialEcho connects to a server that does nothing but send each message back.
func dialEcho(b *testing.B) *websocket.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		ws, err := upgrade(conn, request)
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, message, err := ws.ReadMessage()
			if err != nil || ws.WriteMessage(kind, message) != nil {
				return
			}
		}
	}()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+l.Addr().String()+"/v1", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ws.Close(); l.Close() })
	return ws
}

// BenchmarkNativeLogin is BenchmarkLogin over native messaging's frames and a Unix socket.
func BenchmarkNativeLogin(b *testing.B) {
	w := newWorld(b, unlimited, func(w *world) {
		w.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	card := &timedCard{testCard: w.card}
	w.cards.set(crs.Reader{Name: "reader", Card: card})
	l, err := net.Listen("unix", b.TempDir()+"/portal.sock")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := l.Accept(); err == nil {
			w.ServeNative(context.Background(), conn, aBrowser)
		}
	}()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { conn.Close(); <-served }()
	from := bufio.NewReader(conn)
	writeFrame(conn, []byte(`{"jsonrpc":"2.0","id":1,"method":"connect","params":{"origin":"`+portale+`"}}`))
	readFrame(from, maxReply)
	var overheads []time.Duration
	for b.Loop() {
		card.spent = 0
		began := time.Now()
		writeFrame(conn, []byte(`{"jsonrpc":"2.0","id":1,"method":"authenticate","params":{"challenge":"`+challenge()+`"}}`))
		for {
			message, err := readFrame(from, maxReply)
			if err != nil {
				b.Fatal(err)
			}
			if len(message) > 500 {
				break
			}
		}
		overheads = append(overheads, time.Since(began)-card.spent)
	}
	b.ReportMetric(float64(median(overheads).Microseconds()), "µs-median-overhead")
}
