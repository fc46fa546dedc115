package portal

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs/internal/test/await"
)

// A Bridge is the other end of crs.js in tests: it speaks the protocol's messages, as the
// test tells it to, on a free port.
type Bridge struct {
	Addr string // 127.0.0.1:PORT

	t     testing.TB
	mu    sync.Mutex
	serve func(*Conn)
	asked int
}

// A Message is one of JSON-RPC, from either side.
type Message struct {
	Version string         `json:"jsonrpc"`
	ID      int            `json:"id,omitzero"`
	Method  string         `json:"method,omitempty"`
	Params  map[string]any `json:"params,omitempty"`
	Result  any            `json:"result,omitempty"`
	Error   any            `json:"error,omitempty"`
}

// NewBridge listens until the test ends. It refuses every connection until Serve is called.
func NewBridge(t testing.TB) *Bridge {
	t.Helper()
	b := &Bridge{t: t}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.Addr = server.Listener.Addr().String()
	return b
}

// Serve sets what is done with a connection from now on; nil refuses it at the handshake. It
// returns the number of handshakes since the last call.
func (b *Bridge) Serve(serve func(*Conn)) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.serve, b.asked = serve, 0
	return asked
}

// ServeHTTP answers one handshake.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.asked++
	serve := b.serve
	b.mu.Unlock()
	if serve == nil || r.URL.Path != "/v1" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	serve(&Conn{t: b.t, ws: ws, Origin: r.Header.Get("Origin")})
	// Closed in order: a browser may not read what came before a connection that breaks off.
	ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(await.Limit))
	ws.SetReadDeadline(time.Now().Add(await.Limit))
	for err == nil {
		_, _, err = ws.ReadMessage()
	}
}

// closedPort returns an address of the loopback interface where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Conn is one connection of a browser.
type Conn struct {
	Origin string
	t      testing.TB
	ws     *websocket.Conn
}

// Read returns the next message, and false when the browser closed the connection.
func (c *Conn) Read() (Message, bool) {
	var m Message
	kind, b, err := c.ws.ReadMessage()
	if err != nil {
		return m, false
	}
	if err := json.Unmarshal(b, &m); err != nil || kind != websocket.TextMessage || m.Version != "2.0" {
		c.t.Errorf("the client sent %q: %v", b, err)
	}
	return m, true
}

// Write sends a message.
func (c *Conn) Write(m Message) {
	m.Version = "2.0"
	b, err := json.Marshal(m)
	must(c.t, err)
	c.WriteText(string(b))
}

// WriteText sends a text frame that may be anything.
func (c *Conn) WriteText(s string) { c.ws.WriteMessage(websocket.TextMessage, []byte(s)) }

// Progress tells what the citizen is doing now.
func (c *Conn) Progress(id int, states ...string) {
	for _, state := range states {
		c.Write(Message{Method: "progress", Params: map[string]any{"id": id, "state": state}})
	}
}

// Refuse answers with an error of the closed list.
func (c *Conn) Refuse(id int, code string) {
	c.Write(Message{ID: id, Error: map[string]any{
		"code": -32000, "message": "A fixed sentence.", "data": map[string]string{"code": code},
	}})
}

// Hello answers the first message of a client and returns the next one.
func (c *Conn) Hello() (Message, bool) {
	m, ok := c.Read()
	if !ok {
		return m, false
	}
	if m.Method != "hello" || m.Params["protocol"] != 1.0 || m.Params["client"] == "" {
		c.t.Errorf("the client's first message is %+v", m)
	}
	c.Write(Message{ID: m.ID, Result: map[string]any{"protocol": 1}})
	return c.Read()
}
