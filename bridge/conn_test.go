package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
)

func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	want := Limits{
		MessageBytes: 65536, MessageRate: 10, MessageBurst: 50, MessageWait: time.Second,
		OriginConnections: 4, Connections: 64,
		Handshake: 5 * time.Second, Idle: 600 * time.Second, Ping: 30 * time.Second,
		Login: 300 * time.Second, Input: 120 * time.Second,
		Question: 60 * time.Second, Dismissals: 3, Mute: 600 * time.Second,
	}
	if got := (&Server{}).limits(); got != want {
		t.Errorf("defaults %+v", got)
	}
	own := Limits{MessageBytes: 1, MessageRate: 2, MessageBurst: 3, MessageWait: 4, OriginConnections: 5,
		Connections: 6, Handshake: 7, Idle: 8, Ping: 9, Login: 10, Input: 11, Question: 12, Dismissals: 13, Mute: 14}
	if got := (&Server{Limits: own}).limits(); got != own {
		t.Errorf("own limits became %+v", got)
	}
}

// closeCode reads until the bridge closes the connection, and returns its code.
func (c *client) closeCode() int {
	c.ws.SetReadDeadline(time.Now().Add(await.Limit))
	for {
		_, _, err := c.ws.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code
		case err != nil:
			c.t.Errorf("no close frame: %v", err)
			return 0
		}
	}
}

func TestT25TooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	padded := func(size int) string {
		const start, end = `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"client":"`, `"}}`
		return start + strings.Repeat("x", size-len(start)-len(end)) + end
	}
	c := w.dial(portale)
	c.send(padded(64 << 10))
	if m := c.read(); m.code() != "" {
		t.Errorf("64 KiB: %s", m.code())
	}
	c.send(padded(64<<10 + 1))
	if code := c.closeCode(); code != 1009 {
		t.Errorf("64 KiB + 1: closed with %d", code)
	}

	// In fragments, too.
	c = w.dial(portale)
	writer, err := c.ws.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		writer.Write(make([]byte, 1<<10))
	}
	if code := c.closeCode(); code != 1009 {
		t.Errorf("in fragments: closed with %d", code)
	}
}

func TestT25Binary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial(portale)
	hello := []byte(`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"x","protocol":1}}`)
	if err := c.ws.WriteMessage(websocket.BinaryMessage, hello); err != nil {
		t.Fatal(err)
	}
	if code := c.closeCode(); code != 1003 {
		t.Errorf("closed with %d", code)
	}
}

func TestT25Flood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial(portale)
	answers := make(chan int)
	began := time.Now()
	go func() {
		n := 0
		c.ws.SetReadDeadline(time.Now().Add(await.Limit))
		for {
			_, _, err := c.ws.ReadMessage()
			if err == nil {
				n++
				continue
			}
			if !websocket.IsCloseError(err, 1008) {
				t.Errorf("closed with %v", err)
			}
			answers <- n
			return
		}
	}()
	for i := range 1000 {
		message := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"hello","params":{"client":"x","protocol":1}}`, i)
		if c.ws.WriteMessage(websocket.TextMessage, []byte(message)) != nil {
			break
		}
	}
	// The burst, and what the rate allows in the time that it took, which is the second for which
	// messages are held back or, on a busy machine, longer.
	if n := <-answers; n < 50 || n > 51+int(10*time.Since(began).Seconds()) {
		t.Errorf("%d of 1000 messages were answered in %v", n, time.Since(began))
	}

	pings := w.dial(portale)
	go func() {
		for pings.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) == nil {
		}
	}()
	if code := pings.closeCode(); code != 1008 {
		t.Errorf("pings: closed with %d", code)
	}
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	flow := throttle{rate: 10, burst: 50, most: time.Second}
	now := time.Unix(1, 0)
	take := func() time.Duration {
		t.Helper()
		wait, err := flow.take(now)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(wait)
		return wait
	}
	for i := range 50 {
		if wait := take(); wait != 0 {
			t.Fatalf("message %d of the burst waits %v", i, wait)
		}
	}
	for i := range 10 {
		if wait := take(); wait != 100*time.Millisecond {
			t.Fatalf("message %d after the burst waits %v", i, wait)
		}
	}
	if _, err := flow.take(now); err != errFlood {
		t.Errorf("after a second of waiting: %v", err)
	}
	now = now.Add(time.Hour)
	for range 50 {
		if take() != 0 {
			t.Fatal("the burst does not come back")
		}
	}
	for range 1000 { // any number at the rate
		now = now.Add(100 * time.Millisecond)
		if take() != 0 {
			t.Fatal("a client at the rate is held back")
		}
	}
}

func TestT25Idle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.Ping, w.Limits.Idle = 200*time.Millisecond, 500*time.Millisecond })
	c := w.dial(portale)
	pings := 0
	answer := c.ws.PingHandler()
	c.ws.SetPingHandler(func(data string) error { pings++; return answer(data) })
	if code := c.closeCode(); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
	if pings == 0 {
		t.Error("no ping came")
	}
}

// A peer that is gone without saying so is noticed by its missing pongs.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.Ping = 50 * time.Millisecond })
	c := w.dial(portale)
	c.ws.SetPingHandler(func(string) error { return nil })
	c.ws.SetReadDeadline(time.Now().Add(await.Limit))
	_, _, err := c.ws.ReadMessage()
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("still connected: %v", err)
	}
}

// The page can go at any moment; its dialog closes, and the next login works.
func TestPageClosedWhilePINDialogIsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open, closed := make(chan struct{}), make(chan struct{})
	w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) {
		close(open)
		defer close(closed)
		return nil, never(ctx)
	})
	c := w.dial(portale)
	c.authenticate(1, "")
	for c.read().Params.State != "pin" {
	}
	// The page hears before the dialog opens. If it leaves in between there is no dialog: see
	// TestPageClosedBeforePINDialog.
	select {
	case <-open:
	case <-time.After(await.Limit):
		t.Fatal("no dialog opens")
	}
	c.ws.Close()
	select {
	case <-closed:
	case <-time.After(await.Limit):
		t.Fatal("the dialog stays open")
	}
	w.ui.OnPIN(catalog.KindPIN, nil)
	await.That(t, "the next login works", func() bool { m, _ := w.dial(portale).login(""); return m.code() == "" })
	if _, signs := w.card.used(); signs != 1 {
		t.Errorf("%d calls of Sign", signs)
	}
	if !strings.Contains(w.logs.String(), "code=gone") {
		t.Errorf("log:\n%s", w.logs)
	}
}

// A page that leaves after it heard of the PIN and before the dialog opens no dialog.
func TestPageClosedBeforePINDialog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, err := crs.ParseOrigin(portale)
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancelCause(t.Context())
	_, err = w.login(ctx, loginRequest{
		origin: o, program: aBrowser, challenge: challenge(), service: t.Context(),
		progress: func(s state) {
			if s == statePIN {
				hangUp(errGone)
			}
		},
	})
	if _, signs := w.card.used(); !errors.Is(err, errGone) || signs != 0 || w.ui.Log() != "" {
		t.Errorf("%v, %d calls of Sign, asked %q", err, signs, w.ui.Log())
	}
}
