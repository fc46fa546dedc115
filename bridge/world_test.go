package bridge

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/screen"
)

const (
	testPIN    = "31415"
	testHolder = "ADA ESEMPIO"
	testCardID = "6030000000000017"
	testFile   = "EF.DatiPersonali of nobody"
	portale    = "https://portale.example"
)

// testKey makes the throw-away key of the test cards.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: testHolder},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
})

// testCard signs with a software key behind a PIN, and counts every call.
type testCard struct {
	mu       sync.Mutex
	info     crs.Info
	status   crs.PINStatus
	noStatus error // of PINStatus
	data     []byte
	noData   error   // of PersonalData
	failures []error // of the next calls of Sign, which do not look at the PIN
	entered  func()  // called within Sign
	calls    int     // of any method that does I/O
	signed   []crs.Statement
	pins     []*crs.PIN
}

func newCard() *testCard {
	return &testCard{
		info: crs.Info{Reader: "reader 0", Kind: "CNS", Holder: testHolder, ID: testCardID,
			PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}, PUKFormat: crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}},
		status: crs.PINStatus{Retries: -1},
		data:   []byte(testFile),
	}
}

func (c *testCard) Info() crs.Info { return c.info }

func (c *testCard) Certificate(context.Context) (*x509.Certificate, error) {
	c.count()
	_, cert := testKey()
	return cert, nil
}

func (c *testCard) PINStatus(context.Context) (crs.PINStatus, error) {
	c.count()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.noStatus
}

func (c *testCard) PersonalData(context.Context) ([]byte, error) {
	c.count()
	if c.data == nil {
		return nil, crs.ErrNoPersonalData
	}
	return c.data, c.noData
}

func (c *testCard) Sign(_ context.Context, pin *crs.PIN, s crs.Statement) (crs.Signature, error) {
	c.count()
	if c.entered != nil {
		c.entered()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signed = append(c.signed, s)
	typed := []byte(testPIN) // on the reader
	if pin != nil {
		c.pins = append(c.pins, pin)
		var err error
		if typed, err = pin.Spend(); err != nil {
			return crs.Signature{}, err
		}
	}
	if len(c.failures) > 0 {
		err := c.failures[0]
		c.failures = c.failures[1:]
		if err != nil {
			return crs.Signature{}, err
		}
	}
	if string(typed) != testPIN {
		return crs.Signature{}, &crs.PINError{Retries: 2, SW: 0x63c2}
	}
	key, cert := testKey()
	digest, err := s.Digest(crs.RS256)
	if err != nil {
		return crs.Signature{}, err
	}
	b, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
	return crs.Signature{Algorithm: crs.RS256, Certificate: cert, Bytes: b}, err
}

func (c *testCard) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
}

// used returns the number of calls that did I/O and of calls of Sign.
func (c *testCard) used() (calls, signs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls, len(c.signed)
}

// testCards are readers that a test fills and empties.
type testCards struct {
	mu      sync.Mutex
	readers []crs.Reader
	changed chan struct{}
	looks   int
}

func holding(cards ...crs.Card) *testCards {
	t := &testCards{}
	for _, card := range cards {
		t.readers = append(t.readers, crs.Reader{Name: "reader", Card: card})
	}
	return t
}

func (t *testCards) Readers() ([]crs.Reader, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.looks++
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.readers, t.changed
}

func (t *testCards) set(readers ...crs.Reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers = readers
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

func (t *testCards) looked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.looks
}

// newUser is a user who says yes, inserts nothing, picks the first card and types the right PIN.
func newUser() *screen.User { return &screen.User{PIN: testPIN, PUK: testPUK, Fresh: freshPIN} }

// never is a dialog that the user leaves alone.
var never = screen.Never

// site is what the dialogs of a login say of who asks.
var site = func() catalog.Prompt {
	o, err := crs.ParseOrigin(portale)
	if err != nil {
		panic(err)
	}
	return catalog.Prompt{Origin: o}
}()

// pinAfter is the note of a PIN that a login asks for once more, and why.
func pinAfter(last error) string {
	return screen.Note(catalog.PIN(catalog.PINPrompt{Prompt: site, Last: last}))
}

// report notes what a login shows.
func report(problem error) string { return screen.Note(catalog.Report(site, problem)) }

// insertAfter is the note of a card that is asked for because of a problem.
func insertAfter(problem error) string {
	return screen.Note(catalog.InsertCard(site, []crs.Reader{{Name: "a", Err: problem}}))
}

// readerAfter is pinAfter where the PIN is typed on the reader, and keyboardAfter what is offered when
// its keys failed.
func readerAfter(last error) string {
	return screen.Note(catalog.ReaderPIN(catalog.PINPrompt{Prompt: site, Last: last}))
}
func keyboardAfter(failed error) string {
	return screen.Note(catalog.Keyboard(site, newCard().info, failed))
}

// ownPINAfter, ownReaderAfter and ownKeyboardAfter are the same of what the owner asks for, and pukAfter
// is of the PUK.
func ownPINAfter(last error) string {
	return screen.Note(catalog.PINFlow{}.OldPIN(catalog.PINPrompt{Last: last}))
}
func ownReaderAfter(last error) string {
	return screen.Note(catalog.ReaderPIN(catalog.PINPrompt{Last: last}))
}
func ownKeyboardAfter(failed error) string {
	return screen.Note(catalog.Keyboard(catalog.Prompt{}, newCard().info, failed))
}
func pukAfter(last error) string {
	return screen.Note(catalog.PINFlow{Unblock: true}.PUK(catalog.PUKPrompt{Last: last}))
}

// outcome is the note of what became of a change or an unblock.
func outcome(unblock bool, problem error) string {
	return screen.Note(catalog.PINFlow{Unblock: unblock}.Report(problem))
}

// testSites is the user's list of sites.
type testSites struct {
	mu     sync.Mutex
	states map[string]crs.SiteState
	broken error
}

func allowed(origins ...string) *testSites {
	s := &testSites{states: map[string]crs.SiteState{}}
	for _, o := range origins {
		s.states[o] = crs.SiteAllowed
	}
	return s
}

func (s *testSites) State(o crs.Origin) (crs.SiteState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[o.String()], s.broken
}

func (s *testSites) Allow(o crs.Origin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.states[o.String()] == crs.SiteBlocked {
		return errors.New("blocked")
	}
	s.states[o.String()] = crs.SiteAllowed
	return nil
}

func (s *testSites) set(o string, state crs.SiteState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[o] = state
}

// world is a bridge on a free port, with a user, a card, and a log.
type world struct {
	*Server
	t     testing.TB
	addr  string
	ui    *screen.User
	card  *testCard
	cards *testCards
	sites *testSites
	logs  *logBuffer
	stop  func() // ends the bridge and waits until it has ended
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld starts a bridge with a card in its reader and a site that is allowed: portale.
func newWorld(t testing.TB, change ...func(*world)) *world {
	t.Helper()
	card := newCard()
	w := &world{t: t, ui: newUser(), card: card, cards: holding(card), sites: allowed(portale), logs: &logBuffer{}}
	w.Server = &Server{
		AppVersion: "https://crs.example/0",
		Log:        slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(w)
	}
	w.Cards, w.Screen, w.Sites = w.cards, w.ui, w.sites
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { w.Serve(ctx, l); close(served) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-served:
		case <-time.After(await.Limit):
			t.Error("Serve does not return")
		}
	})
	t.Cleanup(w.stop)
	return w
}

// client is a portal's page.
type client struct {
	t  testing.TB
	ws *websocket.Conn
}

func (w *world) try(origin string) (*client, error) {
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/v1", header)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { ws.Close() })
	return &client{w.t, ws}, nil
}

func (w *world) dial(origin string) *client {
	w.t.Helper()
	c, err := w.try(origin)
	if err != nil {
		w.t.Fatalf("%s: %v", origin, err)
	}
	return c
}

func (c *client) send(message string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

// message is any message of the bridge.
type message struct {
	JSONRPC string
	ID      json.RawMessage
	Method  string
	Params  struct {
		ID    json.RawMessage
		State string
	}
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
		Data    struct{ Code crs.Code }
	}
}

func (c *client) read() message {
	c.t.Helper()
	c.ws.SetReadDeadline(time.Now().Add(await.Limit))
	_, b, err := c.ws.ReadMessage()
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var m message
	if err := d.Decode(&m); err != nil || m.JSONRPC != "2.0" {
		c.t.Fatalf("answer %s: %v", b, err)
	}
	return m
}

// reply reads up to the answer, and returns the states that came before.
func (c *client) reply() (m message, states string) {
	c.t.Helper()
	var all []string
	for {
		m := c.read()
		if m.Method != "progress" {
			return m, strings.Join(all, " ")
		}
		all = append(all, m.Params.State)
	}
}

// code returns the code of an error, "" for a result.
func (m message) code() crs.Code {
	if m.Error == nil {
		return ""
	}
	return m.Error.Data.Code
}

// challenge returns a new challenge.
func challenge() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

func (c *client) authenticate(id int, more string) string {
	c.t.Helper()
	ch := challenge()
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"authenticate","params":{"challenge":%q%s}}`, id, ch, more))
	return ch
}

// login is a login from request to reply.
func (c *client) login(more string) (message, string) {
	c.t.Helper()
	c.authenticate(1, more)
	return c.reply()
}

// checkToken reads the token of a reply and checks that it was made for this site and challenge.
func checkToken(t testing.TB, m message, origin, challenge string) crs.Token {
	t.Helper()
	if m.Error != nil {
		t.Fatalf("login failed: %+v", m.Error)
	}
	var result struct{ Token json.RawMessage }
	if err := json.Unmarshal(m.Result, &result); err != nil {
		t.Fatal(err)
	}
	token, err := crs.ParseToken(result.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(token, origin, challenge); err != nil {
		t.Fatal(err)
	}
	return token
}

func verify(token crs.Token, origin, ch string) error {
	cert, err := x509.ParseCertificate(token.UnverifiedCertificate)
	if err != nil {
		return err
	}
	o, err1 := crs.ParseOrigin(origin)
	c, err2 := crs.ParseChallenge(ch)
	s, err3 := crs.NewStatement(o, c)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	return crs.Signature{Algorithm: token.Algorithm, Certificate: cert, Bytes: token.Signature}.Verify(s)
}

// aBrowser is a loginRequest's program about which there is nothing to say.
func aBrowser() string { return "" }
