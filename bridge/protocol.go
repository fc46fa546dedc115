package bridge

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
)

// session is the conversation with one client, whatever carries it: JSON-RPC 2.0
// (https://www.jsonrpc.org/specification), version 1 of the protocol.
type session struct {
	server  *Server
	origin  crs.Origin
	top     crs.Origin      // of the page that shows the one that asks, if that is of another site
	program func() string   // what runs the browser: see catalog.Prompt
	service context.Context // outlives the session: ends when the bridge does
	send    func([]byte)    // returns at once when the session has ended
	logins  sync.WaitGroup

	mu      sync.Mutex
	running map[string]context.CancelCauseFunc // logins by the id of their request
}

const protocolVersion = 1

// request is a message of a client.
type request struct {
	Version string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Method  string         `json:"method"`
	Params  jsontext.Value `json:"params"`
}

type helloParams struct {
	Client   string `json:"client"`
	Protocol *int   `json:"protocol"`
}

type helloResult struct {
	Protocol int `json:"protocol"`
}

type authenticateParams struct {
	Challenge    string `json:"challenge"`
	Lang         string `json:"lang"`
	PersonalData bool   `json:"personalData"`
}

type authenticateResult struct {
	Token        crs.Token `json:"token"`
	PersonalData []byte    `json:"personalData,omitempty"` // EF.DatiPersonali
}

type cancelParams struct {
	ID jsontext.Value `json:"id"`
}

// handle answers one message. A login goes on in a goroutine of its own, and answers later.
func (c *session) handle(ctx context.Context, message []byte) {
	r, err := parseRequest(message)
	if err != nil {
		c.server.log().Debug("message", "origin", c.origin.String(), "kind", "malformed")
		c.answer(r.ID, nil, err)
		return
	}
	kind := r.Method
	var result any
	switch r.Method {
	case "hello":
		result, err = hello(r.Params)
	case "authenticate":
		if err = c.authenticate(ctx, r); err == nil {
			c.server.log().Debug("message", "origin", c.origin.String(), "kind", kind)
			return
		}
	case "cancel":
		result, err = c.cancel(r.Params)
	default: // also "connect", which only native messaging takes, and first
		kind, err = "unknown", errMethod
	}
	c.server.log().Debug("message", "origin", c.origin.String(), "kind", kind)
	c.answer(r.ID, result, err)
}

// hello tells the version of the protocol and nothing else: no reader, no card, no program.
func hello(params jsontext.Value) (helloResult, error) {
	var p helloParams
	if err := decode(params, &p); err != nil {
		return helloResult{}, err
	}
	if p.Client == "" || p.Protocol == nil {
		return helloResult{}, errParams
	}
	if *p.Protocol != protocolVersion {
		return helloResult{}, crs.ErrUnsupportedVersion
	}
	return helloResult{protocolVersion}, nil
}

// authenticate starts a login.
func (c *session) authenticate(ctx context.Context, r request) error {
	var p authenticateParams
	if err := decode(r.Params, &p); err != nil {
		return err
	}
	id := string(r.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[id] != nil {
		return errRequest
	}
	if c.running == nil {
		c.running = map[string]context.CancelCauseFunc{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c.running[id] = cancel
	c.logins.Go(func() {
		result, err := c.server.login(ctx, loginRequest{
			origin:       c.origin,
			top:          c.top,
			program:      c.program,
			challenge:    p.Challenge,
			lang:         language(p.Lang),
			personalData: p.PersonalData,
			service:      c.service,
			progress:     func(s state) { c.notify(r.ID, s) },
		})
		c.mu.Lock()
		delete(c.running, id)
		c.mu.Unlock()
		cancel(nil)
		c.answer(r.ID, result, err)
	})
	return nil
}

// cancel ends a login. It is no error if the login has just ended on its own.
func (c *session) cancel(params jsontext.Value) (struct{}, error) {
	var p cancelParams
	if err := decode(params, &p); err != nil {
		return struct{}{}, err
	}
	id, ok := parseID(p.ID)
	if !ok {
		return struct{}{}, errParams
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if end := c.running[string(id)]; end != nil {
		end(crs.ErrCancelled)
	}
	return struct{}{}, nil
}

// language returns tag if the dialogs speak it, or else "", the language of the user's session.
func language(tag string) string {
	switch primary, _, _ := strings.Cut(strings.ToLower(tag), "-"); primary {
	case "it", "en", "de":
		return primary
	}
	return ""
}

// malformed is the number that JSON-RPC gives to a message that is not understood.
type malformed int

const (
	errParse   malformed = -32700
	errRequest malformed = -32600
	errMethod  malformed = -32601
	errParams  malformed = -32602
)

func (m malformed) Error() string { return crs.ErrInvalidRequest.Error() }

// Is maps all of them to one code of the closed list.
func (m malformed) Is(target error) bool { return target == crs.ErrInvalidRequest }

// parseRequest reads a message. Even with an error, the request carries the id of the message if
// that is a JSON object whose id can be read, for the answer to name it. Duplicate names and bad
// UTF-8 are not JSON here.
func parseRequest(message []byte) (request, error) {
	var r request
	if flat(message) && json.Unmarshal(message, &r, json.RejectUnknownMembers(true)) == nil {
		id, ok := parseID(r.ID)
		r.ID = id
		if ok && r.Version == "2.0" && r.Method != "" {
			return r, nil
		}
		return request{ID: id}, errRequest
	}
	if !jsontext.Value(message).IsValid() {
		return request{}, errParse
	}
	var carrier struct {
		ID jsontext.Value `json:"id"`
	}
	if json.Unmarshal(message, &carrier) != nil {
		return request{}, errRequest
	}
	id, _ := parseID(carrier.ID)
	return request{ID: id}, errRequest
}

// flat reports whether a JSON value is built as every message of this protocol is: no null, no
// array, and no more than an object in an object. For anything but JSON the result means nothing.
func flat(value []byte) bool {
	depth := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			for i++; i < len(value) && value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
		case '{':
			if depth++; depth > 2 {
				return false
			}
		case '}':
			depth--
		case '[', 'n': // of the literals, only null has an n
			return false
		}
	}
	return true
}

// parseID accepts an integer that JavaScript can hold or a short string, and returns it in the
// form in which ids are compared.
func parseID(v jsontext.Value) (jsontext.Value, bool) {
	const most = 64
	if len(v) == 0 || len(v) > most {
		return nil, false
	}
	switch v.Kind() {
	case '"':
		if id := v.Clone(); id.Canonicalize() == nil {
			return id, true
		}
	case '0':
		digits := strings.TrimPrefix(string(v), "-")
		if len(digits) <= 15 && strings.Trim(digits, "0123456789") == "" {
			return v, true
		}
	}
	return nil, false
}

// decode reads parameters, which must be an object.
func decode(params jsontext.Value, into any) error {
	if params.Kind() != '{' || json.Unmarshal(params, into, json.RejectUnknownMembers(true)) != nil {
		return errParams
	}
	return nil
}

type response struct {
	Version string         `json:"jsonrpc"`
	ID      jsontext.Value `json:"id"`
	Result  any            `json:"result,omitzero"`
	Error   *responseError `json:"error,omitzero"`
}

type responseError struct {
	Number  int    `json:"code"`
	Message string `json:"message"`
	Data    struct {
		Code crs.Code `json:"code"`
	} `json:"data"`
}

type progress struct {
	Version string         `json:"jsonrpc"`
	Method  string         `json:"method"`
	Params  progressParams `json:"params"`
}

type progressParams struct {
	ID    jsontext.Value `json:"id"`
	State string         `json:"state"`
}

// answer sends a result or an error.
func (c *session) answer(id jsontext.Value, result any, err error) {
	c.write(newResponse(id, result, err))
}

// newResponse is the answer to a request: a result or, of an error, its code and nothing else.
func newResponse(id jsontext.Value, result any, err error) response {
	if id == nil {
		id = jsontext.Value("null")
	}
	r := response{Version: "2.0", ID: id, Result: result}
	if err != nil {
		code := crs.CodeOf(err)
		r.Result = nil
		r.Error = &responseError{Number: -32000, Message: code.Error()}
		r.Error.Data.Code = code
		var number malformed
		if errors.As(err, &number) {
			r.Error.Number = int(number)
		}
	}
	return r
}

func (c *session) notify(id jsontext.Value, s state) {
	c.write(progress{Version: "2.0", Method: "progress", Params: progressParams{ID: id, State: s.String()}})
}

func (c *session) write(message any) {
	b, err := json.Marshal(message)
	if err != nil { // cannot be: every type above can be written
		c.server.log().Error("message not written")
		return
	}
	c.send(b)
}
