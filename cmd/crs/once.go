package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// demoOnce plays the page and the user of a login, over the real WebSocket and the portal's real
// HTTP, and prints the eight hops of the way with the time that each took.
func demoOnce(ctx context.Context, log *slog.Logger) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	user := &scriptedUser{pin: virtualcard.DefaultPIN}
	d, err := newDemonstration(ctx, user, log, 0)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- d.run(ctx) }()
	err = onePage(ctx, d, user)
	stop()
	return errors.Join(err, <-served)
}

// onePage is what a browser does with the demonstration's page.
func onePage(ctx context.Context, d *demonstration, user *scriptedUser) error {
	p := &scriptedPage{ctx: ctx, address: d.address(), cookies: map[string]*http.Cookie{}}
	say := newHops()

	var asked struct{ Challenge string }
	if err := p.post("/crs/challenge", nil, &asked); err != nil {
		return fmt.Errorf("hop 1, the portal's challenge: %w", err)
	}
	say.hop("hop.page", "address", p.address)

	if err := p.connect(d.listener.Addr()); err != nil {
		return fmt.Errorf("hop 2, the bridge: %w", err)
	}
	defer p.ws.Close()
	if _, err := p.call("hello", map[string]any{"client": "crs-demo/1.0", "protocol": 1}); err != nil {
		return fmt.Errorf("hop 2, hello: %w", err)
	}
	say.hop("hop.front", "address", d.listener.Addr())

	user.hops, user.card = say, d.card.Info()
	result, err := p.call("authenticate", map[string]any{"challenge": asked.Challenge, "lang": "it", "personalData": true})
	if err != nil {
		return fmt.Errorf("hops 3 to 7, the login: %w", err)
	}
	say.hop("hop.card")

	if err := p.post("/crs/login", result, nil); err != nil {
		return fmt.Errorf("hop 8, the portal's verifier: %w", err)
	}
	page, err := p.get("/")
	if err != nil {
		return fmt.Errorf("hop 8, the citizen's page: %w", err)
	}
	holder := d.card.Info().Holder
	if !strings.Contains(html.UnescapeString(page), holder) {
		return errors.New("hop 8: the portal does not show who logged in")
	}
	say.hop("hop.server")
	fmt.Printf("\n%s\n", catalog.Say("demo.done", "holder", holder))
	return nil
}

// hops prints what happened, and how long it took since the hop before.
type hops struct {
	n    int
	last time.Time
}

func newHops() *hops { return &hops{last: time.Now()} }

// hop prints "who: what" in two columns.
func (h *hops) hop(key string, pairs ...string) {
	h.n++
	who, what, _ := strings.Cut(catalog.Say(key, pairs...), ": ")
	now := time.Now()
	fmt.Printf("%d  %8.1f ms  %-14s %s\n", h.n, float64(now.Sub(h.last).Microseconds())/1000, who, what)
	h.last = now
}

// scriptedUser answers every question at once: it is the dialog.Screen of the demonstration alone.
type scriptedUser struct {
	pin  string
	card crs.Info
	hops *hops
}

func (u *scriptedUser) Ask(_ context.Context, t catalog.Text) (bool, error) {
	switch t.Kind {
	case catalog.KindAllow:
		u.hops.hop("hop.bridge")
		u.hops.hop("hop.first", "site", t.Site)
		return true, nil
	case catalog.KindPersonal:
		u.hops.hop("hop.cards", "kind", u.card.Kind, "holder", u.card.Holder)
		return true, nil
	}
	return false, nil
}

func (u *scriptedUser) Choose(context.Context, catalog.Text, []string) (int, error) {
	return 0, errors.New("the embedded card is not the only one")
}

func (u *scriptedUser) AskPIN(context.Context, catalog.Text) (*crs.PIN, error) {
	u.hops.hop("hop.user")
	return crs.NewPIN([]byte(u.pin)), nil
}

// Tell and Wait fail: the demonstration has nothing for them to show.
func (u *scriptedUser) Tell(_ context.Context, t catalog.Text) error { return errors.New(t.After) }
func (u *scriptedUser) Wait(_ context.Context, t catalog.Text) error { return errors.New(t.After) }

// scriptedPage is a browser that runs one page.
type scriptedPage struct {
	ctx     context.Context
	address string
	cookies map[string]*http.Cookie
	ws      *websocket.Conn
	calls   int
}

// post sends JSON as the page's script would and reads JSON, if wanted.
func (p *scriptedPage) post(path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.address+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", p.address)
	text, err := p.do(request)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	return err
}

func (p *scriptedPage) get(path string) (string, error) {
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.address+path, nil)
	if err != nil {
		return "", err
	}
	b, err := p.do(request)
	return string(b), err
}

// do keeps cookies itself: for a browser localhost is trustworthy, so that it keeps Secure
// cookies of plain HTTP; for Go's cookie jar it is not.
func (p *scriptedPage) do(request *http.Request) ([]byte, error) {
	for _, c := range p.cookies {
		request.AddCookie(c)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s", response.Status, bytes.TrimSpace(b))
	}
	for _, c := range response.Cookies() {
		p.cookies[c.Name] = c
	}
	return b, nil
}

func (p *scriptedPage) connect(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	ws, response, err := dialer.DialContext(p.ctx, "ws://127.0.0.1:"+port+"/v1", http.Header{"Origin": {p.address}})
	if err != nil {
		if response != nil {
			return errors.New(response.Status)
		}
		return err
	}
	p.ws = ws
	return nil
}

// call sends a request and reads messages until its answer.
func (p *scriptedPage) call(method string, params any) (json.RawMessage, error) {
	p.calls++
	request := map[string]any{"jsonrpc": "2.0", "id": p.calls, "method": method, "params": params}
	if err := p.ws.WriteJSON(request); err != nil {
		return nil, err
	}
	for {
		var message struct {
			ID     json.RawMessage
			Result json.RawMessage
			Error  *struct {
				Message string
				Data    struct{ Code string }
			}
		}
		if err := p.ws.ReadJSON(&message); err != nil {
			return nil, err
		}
		switch {
		case string(message.ID) != strconv.Itoa(p.calls): // progress
		case message.Error != nil:
			return nil, fmt.Errorf("%s (%s)", message.Error.Message, message.Error.Data.Code)
		default:
			return message.Result, nil
		}
	}
}
