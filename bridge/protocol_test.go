package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// exchange sends one message to a session of its own, and returns what came back, as soon as
// the logins that it started have ended.
func exchange(s *Server, origin, message string) []string {
	o, err := crs.ParseOrigin(origin)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	var out []string
	c := &session{server: s, origin: o, program: aBrowser, service: context.Background(), send: func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, string(b))
	}}
	c.handle(context.Background(), []byte(message))
	c.logins.Wait()
	return out
}

// messages are what a client may send, and the answers that it gets, on any transport.
func messages() []struct{ message, want string } {
	ch := challenge()
	failure := func(id string, number int, code crs.Code) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q,"data":{"code":%q}}}`, id, number, code.Error(), string(code))
	}
	invalid := func(id string, number int) string { return failure(id, number, crs.ErrInvalidRequest) }
	call := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)
	}
	const hello = `"method":"hello","params":{"client":"x/1","protocol":1}`
	greeting := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":{"protocol":1}}` }
	deep := strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)

	return []struct{ message, want string }{
		{call("hello", `{"client":"crs.js/1.0","protocol":1}`), greeting("1")},
		{` { "jsonrpc" : "2.0" , "id" : 0 , ` + hello + " }\n", greeting("0")},
		{`{"jsonrpc":"2.0","id":-5,` + hello + `}`, greeting("-5")},
		{`{"jsonrpc":"2.0","id":"A\u0042","method":"hello","params":{"client":"x","protocol":1}}`, greeting(`"AB"`)},
		{call("hello", `{"client":"x","protocol":2}`), failure("1", -32000, crs.ErrUnsupportedVersion)},
		{call("hello", `{"client":"x","protocol":0}`), failure("1", -32000, crs.ErrUnsupportedVersion)},
		{call("cancel", `{"id":7}`), `{"jsonrpc":"2.0","id":1,"result":{}}`},

		// No JSON.
		{"", invalid("null", -32700)},
		{"hello", invalid("null", -32700)},
		{"{", invalid("null", -32700)},
		{"\x00", invalid("null", -32700)},
		{"\ufeff" + call("hello", `{"client":"x","protocol":1}`), invalid("null", -32700)},
		{`{"jsonrpc":"2.0","id":1,` + hello + `}{}`, invalid("null", -32700)},
		{`{"jsonrpc":"2.0","id":1,` + hello + `,}`, invalid("null", -32700)},
		{`{'jsonrpc':"2.0"}`, invalid("null", -32700)},
		{`{"jsonrpc":"2.0","id":1,"id":2,` + hello + `}`, invalid("null", -32700)},
		{`{"jsonrpc":"2.0","id":1,"params":null,"method":}`, invalid("null", -32700)},
		{call("hello", `{"client":"x","protocol":2,"protocol":1}`), invalid("null", -32700)},
		{call("hello", `{"client":"x","protocol":1,"protoco\u006c":1}`), invalid("null", -32700)},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", invalid("null", -32700)},
		{call("hello", "{\"client\":\"\xc0\xaf\",\"protocol\":1}"), invalid("null", -32700)},
		{call("hello", `{"client":"\ud800","protocol":1}`), invalid("null", -32700)},

		// No request.
		{`[]`, invalid("null", -32600)},
		{`[{"jsonrpc":"2.0","id":1,` + hello + `}]`, invalid("null", -32600)},
		{`1`, invalid("null", -32600)},
		{`"hello"`, invalid("null", -32600)},
		{`null`, invalid("null", -32600)},
		{`true`, invalid("null", -32600)},
		{`{}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0",` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":null,` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":1.5,` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":1e3,` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":12345678901234567890,` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":true,` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":[1],` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":{},` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 65) + `",` + hello + `}`, invalid("null", -32600)},
		{`{"id":1,` + hello + `}`, invalid("1", -32600)},
		{`{"jsonrpc":"1.0","id":1,` + hello + `}`, invalid("1", -32600)},
		{`{"jsonrpc":2.0,"id":1,` + hello + `}`, invalid("1", -32600)},
		{`{"jsonrpc":"2.0","id":1}`, invalid("1", -32600)},
		{`{"jsonrpc":"2.0","id":1,"method":7}`, invalid("1", -32600)},
		{`{"JSONRPC":"2.0","id":1,` + hello + `}`, invalid("1", -32600)},
		{`{"jsonrpc":"2.0","ID":1,` + hello + `}`, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","id":1,"origin":"https://evil.example",` + hello + `}`, invalid("1", -32600)},
		{`{"jsonrpc":"2.0","id":1,"result":{}}`, invalid("1", -32600)},
		{`{"jsonrpc":"2.0","id":1,"method":"hello","params":[{"client":"x","protocol":1}]}`, invalid("1", -32600)},
		{call("hello", `{"client":null,"protocol":1}`), invalid("1", -32600)},
		{call("hello", "null"), invalid("1", -32600)},
		{call("hello", `{"client":{"a":1},"protocol":1}`), invalid("1", -32600)},
		{call("hello", deep), invalid("1", -32600)},
		{deep, invalid("null", -32600)},
		{`{"jsonrpc":"2.0","method":"hello","params":null,"id":"x"}`, invalid(`"x"`, -32600)},

		// No such method.
		{call("sign", `{}`), invalid("1", -32601)},
		{call("Hello", `{"client":"x","protocol":1}`), invalid("1", -32601)},
		{call("rpc.discover", `{}`), invalid("1", -32601)},
		{call("status", `{}`), invalid("1", -32601)},
		{call("connect", `{"origin":"https://portale.example","topOrigin":"https://portale.example"}`), invalid("1", -32601)},

		// No such parameters.
		{`{"jsonrpc":"2.0","id":1,"method":"hello"}`, invalid("1", -32602)},
		{call("hello", `"x"`), invalid("1", -32602)},
		{call("hello", `{"protocol":1}`), invalid("1", -32602)},
		{call("hello", `{"client":"x"}`), invalid("1", -32602)},
		{call("hello", `{"client":"x","protocol":"1"}`), invalid("1", -32602)},
		{call("hello", `{"client":"x","protocol":1.0}`), invalid("1", -32602)},
		{call("hello", `{"client":"x","protocol":99999999999999999999}`), invalid("1", -32602)},
		{call("hello", `{"Client":"x","protocol":1}`), invalid("1", -32602)},
		{call("hello", `{"client":"x","protocol":1,"cards":true}`), invalid("1", -32602)},
		{call("cancel", `{}`), invalid("1", -32602)},
		{call("cancel", `{"id":1.5}`), invalid("1", -32602)},
		{call("cancel", `{"id":true}`), invalid("1", -32602)},
		{call("authenticate", `{}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":7}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":""}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+ch[:43]+`"}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+strings.Repeat("AAAA", 33)+`"}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+strings.Repeat("-_-_", 11)+`"}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":" `+ch+`"}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+ch+`","lang":1}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+ch+`","personalData":"yes"}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+ch+`","personaldata":true}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+ch+`","origin":"https://evil.example"}`), invalid("1", -32602)},
		{call("authenticate", `{"challenge":"`+ch+`","hash":"AAAA"}`), invalid("1", -32602)},
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, test := range messages() {
		ui := newUser()
		s := &Server{Cards: holding(newCard()), Screen: ui, Sites: allowed(portale)}
		got := exchange(s, portale, test.message)
		if len(got) != 1 || got[0] != test.want {
			t.Errorf("%.200s\n got %q\nwant %q", test.message, got, test.want)
		}
		if asked := ui.Log(); asked != "" {
			t.Errorf("%.200s: the user was asked %s", test.message, asked)
		}
	}
}

// TestMessagesOnTheWay sends them all over each way on which they come.
func TestMessagesOnTheWay(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]func(*world) (exchange func(string) (string, error)){
		"WebSocket": func(w *world) func(string) (string, error) {
			c := w.dial(portale)
			return func(message string) (string, error) {
				if err := c.ws.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
					return "", err
				}
				_, answer, err := c.ws.ReadMessage()
				return string(answer), err
			}
		},
		"native messaging": func(w *world) func(string) (string, error) {
			f := w.native("")
			f.send(connectMessage(`{"origin":"` + portale + `"}`))
			f.read()
			return f.exchange
		},
		"native host": func(w *world) func(string) (string, error) {
			f := w.relayed()
			f.send(connectMessage(`{"origin":"` + portale + `"}`))
			f.read()
			return f.exchange
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, unlimited)
			exchange := way(w)
			for _, test := range messages() {
				if got, err := exchange(test.message); err != nil || got != test.want {
					t.Fatalf("%.200s\n got %q, %v\nwant %q", test.message, got, err, test.want)
				}
			}
			if asked := w.ui.Log(); asked != "" {
				t.Errorf("the user was asked %s", asked)
			}
		})
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{"it": "it", "en": "en", "it-IT": "it", "EN-us": "en", "de": "de", "de-IT": "de", "": "", "fr": "", "italian": "", "it_IT": ""} {
		t.Run(tag, func(t *testing.T) {
			if got := language(tag); got != want {
				t.Errorf("language(%q) = %q", tag, got)
			}
		})
	}
}

// A request whose id is already that of a login could not be answered unmistakably.
func TestSameIDTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
	})
	c := w.dial(portale)
	c.authenticate(1, "")
	for c.read().Params.State != "pin" {
	}
	c.authenticate(1, "")
	if m := c.read(); m.code() != crs.ErrInvalidRequest || m.Error.Code != -32600 {
		t.Errorf("%+v", m.Error)
	}
	c.send(`{"jsonrpc":"2.0","id":2,"method":"cancel","params":{"id":1}}`)
	codes := map[string]crs.Code{}
	for range 2 {
		m := c.read()
		codes[string(m.ID)] = m.code()
	}
	if codes["1"] != crs.ErrCancelled || codes["2"] != "" {
		t.Errorf("cancel: %v", codes)
	}
}

// No field of the protocol carries a PIN, a hash to sign, or an origin.
func TestT11NoPINInProtocol(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"request":            "jsonrpc id method params",
		"helloParams":        "client protocol",
		"helloResult":        "protocol",
		"authenticateParams": "challenge lang personalData",
		"authenticateResult": "token personalData",
		"cancelParams":       "id",
		"progressParams":     "id state",
		"responseError":      "code message data",
	}
	for _, v := range []any{request{}, helloParams{}, helloResult{}, authenticateParams{}, authenticateResult{}, cancelParams{}, progressParams{}, responseError{}} {
		typ := reflect.TypeOf(v)
		var names []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != want[typ.Name()] {
			t.Errorf("%s has fields %q", typ.Name(), got)
		}
	}
	s := &Server{Cards: holding(newCard()), Screen: newUser(), Sites: allowed(portale)}
	for _, field := range []string{"pin", "PIN", "puk", "password", "secret"} {
		m := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"authenticate","params":{"challenge":%q,%q:"12345"}}`, challenge(), field)
		if got := exchange(s, portale, m); len(got) != 1 || !strings.Contains(got[0], "invalid_request") {
			t.Errorf("field %q: %q", field, got)
		}
	}
}

// A token made for one site is of no use to another one that forwards the challenge.
func TestT04TokenIsBoundToOrigin(t *testing.T) {
	t.Parallel()
	const evil = "https://portale.example.evil.example"
	w := newWorld(t)
	w.sites.set(evil, crs.SiteAllowed)
	c := w.dial(evil)
	ch := c.authenticate(1, "")
	m, _ := c.reply()
	token := checkToken(t, m, evil, ch)
	if verify(token, portale, ch) == nil {
		t.Error("the token holds for another site")
	}
	if verify(token, evil, challenge()) == nil {
		t.Error("the token holds for another challenge")
	}
}

// For any input from a page: no panic, every answer is one well-formed object that names no cause,
// and a card signs nothing but this page's origin with a challenge.
func FuzzT04Messages(f *testing.F) {
	ch := challenge()
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"crs.js/1.0","protocol":1}}`,
		`{"jsonrpc":"2.0","id":"x","method":"authenticate","params":{"challenge":"` + ch + `","lang":"it","personalData":true}}`,
		`{"jsonrpc":"2.0","id":1,"method":"authenticate","params":{"challenge":"` + strings.Repeat("A", 128) + `"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"authenticate","params":{"challenge":"` + ch + `","hash":"AAAA","origin":"https://evil.example"}}`,
		`{"jsonrpc":"2.0","id":2,"method":"cancel","params":{"id":1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"connect","params":{"origin":"https://a.example","topOrigin":"https://a.example"}}`,
		`[{"jsonrpc":"2.0","id":1,"method":"hello"}]`,
		`{"jsonrpc":"2.0","id":null,"method":"hello","params":null}`,
		strings.Repeat(`{"a":`, 100), "\xff", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		card := newCard()
		s := &Server{Cards: holding(card), Screen: newUser(), Sites: allowed(portale)}
		replies := 0
		for _, out := range exchange(s, portale, in) {
			d := json.NewDecoder(bytes.NewReader([]byte(out)))
			d.DisallowUnknownFields()
			var m message
			if err := d.Decode(&m); err != nil || m.JSONRPC != "2.0" {
				t.Fatalf("%q: answer %s: %v", in, out, err)
			}
			if m.Method == "" {
				replies++
			}
			if m.Error != nil && (m.Error.Message != m.code().Error() || m.code() == crs.ErrInternal) {
				t.Errorf("%q: %s", in, out)
			}
		}
		if replies != 1 {
			t.Errorf("%q: %d replies", in, replies)
		}
		if len(card.signed) == 0 {
			return
		}
		var sent struct{ Params struct{ Challenge string } }
		if err := json.Unmarshal([]byte(in), &sent); err != nil {
			t.Fatal(err)
		}
		o, _ := crs.ParseOrigin(portale)
		c, err := crs.ParseChallenge(sent.Params.Challenge)
		if err != nil {
			t.Fatalf("%q: signed without a good challenge", in)
		}
		want, err := crs.NewStatement(o, c)
		if err != nil || len(card.signed) != 1 || card.signed[0] != want {
			t.Errorf("%q: signed %v", in, card.signed)
		}
	})
}

// hello and every refusal are answered at once also while a login runs.
func TestHelloDuringLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
		w.Limits.Login = 500 * time.Millisecond
	})
	c := w.dial(portale)
	c.authenticate(1, "")
	for c.read().Params.State != "pin" {
	}
	c.send(`{"jsonrpc":"2.0","id":2,"method":"hello","params":{"client":"x","protocol":1}}`)
	if m := c.read(); string(m.ID) != "2" || string(m.Result) != `{"protocol":1}` {
		t.Errorf("hello: %+v", m)
	}
	if m := c.read(); m.code() != crs.ErrTimeout {
		t.Errorf("login: %+v", m)
	}
}
