package bridge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
)

// framed is a client of native messaging.
type framed struct {
	t    testing.TB
	conn net.Conn
	from *bufio.Reader
	gone chan struct{} // closed when the bridge has done with it
	stop func()        // ends the bridge
}

func (w *world) native(program string) *framed {
	w.t.Helper()
	here, there := net.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	f := &framed{t: w.t, conn: here, from: bufio.NewReader(here), gone: make(chan struct{}), stop: stop}
	go func() {
		defer close(f.gone)
		w.ServeNative(ctx, there, func() string { return program })
	}()
	w.t.Cleanup(func() { here.Close(); <-f.gone; stop() })
	return f
}

// relayed is a client behind a native host.
func (w *world) relayed() *framed {
	w.t.Helper()
	service := w.native("")
	here, there := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Relay(there, service.conn)
	}()
	w.t.Cleanup(func() { here.Close(); <-ended })
	return &framed{t: w.t, conn: here, from: bufio.NewReader(here), gone: service.gone}
}

// exchange sends a message and returns the answer, both as they are.
func (f *framed) exchange(message string) (string, error) {
	f.send(message)
	f.conn.SetReadDeadline(time.Now().Add(await.Limit))
	answer, err := readFrame(f.from, maxReply)
	return string(answer), err
}

func (f *framed) send(message string) {
	f.t.Helper()
	f.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if err := writeFrame(f.conn, []byte(message)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *framed) read() message {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(await.Limit))
	b, err := readFrame(f.from, maxReply)
	if err != nil {
		f.t.Fatalf("no answer: %v", err)
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// ends checks that the bridge leaves.
func (f *framed) ends() {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(await.Limit))
	b, err := readFrame(f.from, maxReply)
	if err == nil {
		f.t.Errorf("another answer: %s", b)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.t.Fatal("the bridge stays")
	}
	<-f.gone
}

func connectMessage(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"connect","params":` + params + `}`
}

// TestT05Connect: what the extension says of the page decides whether it may ask, and nobody
// else's page within it.
func TestT05Connect(t *testing.T) {
	t.Parallel()
	const other = "https://altro.example"
	for _, test := range []struct {
		first string
		want  crs.Code
	}{
		{connectMessage(`{"origin":"https://portale.example"}`), ""},
		{connectMessage(`{"origin":"https://unknown.example"}`), ""},
		{connectMessage(`{"origin":"https://portale.example","topOrigin":"https://portale.example"}`), ""},
		{connectMessage(`{"origin":"https://unknown.example","topOrigin":"https://www.unknown.example"}`), ""},
		{connectMessage(`{"origin":"https://unknown.example","topOrigin":"https://portale.example"}`), ""},
		{connectMessage(`{"origin":"https://portale.example","topOrigin":"https://altro.example"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"https://a.github.io","topOrigin":"https://b.github.io"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"https://portale.example","topOrigin":"null"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"https://portale.example","topOrigin":""}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"https://blocked.example"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"https://unknown.example","topOrigin":"https://blocked.example"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"http://portale.example"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"https://Portale.example"}`), crs.ErrOriginDenied},
		{connectMessage(`{"origin":"null"}`), crs.ErrOriginDenied},
		{connectMessage(`{}`), crs.ErrInvalidRequest},
		{connectMessage(`{"origin":1}`), crs.ErrInvalidRequest},
		{connectMessage(`{"origin":"https://portale.example","__proto__":{}}`), crs.ErrInvalidRequest},
		{connectMessage(`{"origin":"https://portale.example","origin":"https://altro.example"}`), crs.ErrInvalidRequest},
		{`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"crs.js/1.0","protocol":1}}`, crs.ErrInvalidRequest},
		{`{"jsonrpc":"2.0","id":1,"method":"hello","params":{"origin":"https://portale.example"}}`, crs.ErrInvalidRequest},
		{`connect`, crs.ErrInvalidRequest},
		{``, crs.ErrInvalidRequest},
	} {
		t.Run(test.first, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.sites.set("https://blocked.example", crs.SiteBlocked) })
			f := w.native("")
			f.send(test.first)
			if m := f.read(); m.code() != test.want {
				t.Errorf("%q, not %q", m.code(), test.want)
			}
			if test.want != "" {
				f.ends()
			} else {
				f.send(connectMessage(`{"origin":"` + other + `"}`))
				if m := f.read(); m.code() != crs.ErrInvalidRequest {
					t.Errorf("a second connect: %q", m.code())
				}
			}
			if w.ui.Log() != "" || w.cards.looked() != 0 {
				t.Errorf("asked %q, %d looks at the cards", w.ui.Log(), w.cards.looked())
			}
		})
	}
	w := newWorld(t)
	c := w.dial(portale)
	c.send(connectMessage(`{"origin":"` + other + `"}`))
	if m := c.read(); m.code() != crs.ErrInvalidRequest {
		t.Errorf("connect by a page: %q", m.code())
	}
}

// TestT05TopAndProgram: the question names the page around, and the program that is no browser;
// a page around that the user blocks meanwhile ends it.
func TestT05TopAndProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.Question = time.Nanosecond })
	f := w.native("/home/x/y")
	f.send(connectMessage(`{"origin":"https://unknown.example","topOrigin":"` + portale + `"}`))
	f.read()
	authenticate := fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":"authenticate","params":{"challenge":%q}}`, challenge())
	login := func() (m message) {
		f.send(authenticate)
		for m = f.read(); m.Method == "progress"; m = f.read() {
		}
		return m
	}
	m := login()
	asked := w.ui.Texts(catalog.KindAllow)
	if m.code() != "" || len(asked) != 1 || !strings.Contains(asked[0].Before, site.Origin.Host()) || !strings.Contains(asked[0].After, "/home/x/y") {
		t.Errorf("%q, asked %+v", m.code(), asked)
	}
	w.sites.set(portale, crs.SiteBlocked)
	if m := login(); m.code() != crs.ErrOriginDenied {
		t.Errorf("within a blocked page: %q", m.code())
	}
}

// TestT31OtherProgram: a program that sends a browser's Origin is named.
func TestT31OtherProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dial("https://unknown.example").login("")
	if asked := w.ui.Texts(catalog.KindAllow); len(asked) != 1 || !strings.Contains(asked[0].After, ".test") {
		t.Errorf("the program that asks is not named: %+v", asked)
	}
}

// TestT25Frames: any bytes in frames are answered or end the connection, and the next client is
// served.
func TestT25Frames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.MessageBurst, w.Limits.MessageWait = 20, time.Nanosecond })
	first := connectMessage(`{"origin":"` + portale + `"}`)
	frame := func(n uint32, body string) string {
		return string(binary.NativeEndian.AppendUint32(nil, n)) + body
	}
	for name, raw := range map[string]string{
		"4 GiB": frame(1<<32-1, "x"), "too long": frame(64<<10+1, "x"), "a big-endian length": "\x00\x00\x00\x20{}",
	} {
		t.Run(name, func(t *testing.T) {
			for _, connected := range []bool{false, true} {
				f := w.native("")
				if connected {
					f.send(first)
					f.read()
				}
				f.conn.Write([]byte(raw)[:4])
				if m := f.read(); m.code() != crs.ErrInvalidRequest {
					t.Errorf("%q", m.code())
				}
				f.ends()
			}
		})
	}
	f := w.native("")
	f.conn.Write([]byte(frame(100, "{")))
	f.conn.Close() // in the middle
	<-f.gone

	f = w.native("")
	hello := `{"jsonrpc":"2.0","id":2,"method":"hello","params":{"client":"x","protocol":1}}`
	go f.conn.Write([]byte(frame(uint32(len(first)), first) + frame(uint32(len(hello)), hello)))
	if a, b := f.read(), f.read(); a.code() != "" || b.code() != "" {
		t.Errorf("two in one write: %q, %q", a.code(), b.code())
	}
	go func() {
		for range 1000 {
			if writeFrame(f.conn, []byte(hello)) != nil {
				return
			}
		}
	}()
	answers := 0
	for m := f.read(); m.code() == ""; m = f.read() {
		answers++
	}
	if answers > 40 {
		t.Errorf("%d answers to a flood", answers)
	}
	<-f.gone

	var full []*framed
	for range 5 {
		f := w.native("")
		f.send(first)
		full = append(full, f)
	}
	busy := 0
	for _, f := range full {
		if f.read().code() == crs.ErrBusy {
			busy++
		}
	}
	if busy != 1 {
		t.Errorf("%d of 5 connections of an origin were refused", busy)
	}
}

// TestNativeEnds: a client is left when the bridge ends, and has left when its card has done.
func TestNativeEnds(t *testing.T) {
	t.Parallel()
	signing, signed := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(w *world) { w.card.entered = func() { close(signing); <-signed } })
	first := connectMessage(`{"origin":"` + portale + `"}`)
	f := w.native("")
	f.send(first)
	f.read()
	f.stop()
	f.ends()

	f = w.native("")
	f.send(first)
	f.read()
	f.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":"authenticate","params":{"challenge":%q}}`, challenge()))
	for f.read().Params.State != "signing" {
	}
	<-signing
	f.conn.Close()
	select {
	case <-f.gone:
		t.Error("the card is not waited for")
	case <-time.After(100 * time.Millisecond):
	}
	close(signed)
	<-f.gone
}

// TestNativeTime: a client that says nothing, or does not read its messages, is dropped.
func TestNativeTime(t *testing.T) {
	t.Parallel()
	first := connectMessage(`{"origin":"` + portale + `"}`)
	for name, test := range map[string]struct {
		limits Limits
		speak  func(*framed)
	}{
		"before connect": {Limits{Handshake: 50 * time.Millisecond}, func(*framed) {}},
		"after connect":  {Limits{Idle: 50 * time.Millisecond}, func(f *framed) { f.send(first); f.read() }},
		"deaf":           {Limits{}, func(f *framed) { f.send(first) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { w.Limits = test.limits })
			f := w.native("")
			test.speak(f)
			select {
			case <-f.gone:
			case <-time.After(2 * writeTime):
				t.Error("it is waited for")
			}
		})
	}
}

// relayed7 starts a relay, and sends request 7 through it.
func relayed7(t *testing.T) (browser, service net.Conn, done chan error) {
	browser, host := net.Pipe()
	service, theirs := net.Pipe()
	done = make(chan error, 1)
	go func() { done <- Relay(host, theirs) }()
	ask := `{"jsonrpc":"2.0","id":7,"method":"authenticate","params":{}}`
	go writeFrame(browser, []byte(ask))
	if b, err := readFrame(service, maxReply); string(b) != ask {
		t.Fatalf("%s, %v", b, err)
	}
	return browser, service, done
}

// TestRelayLeft: a browser that goes in the middle of a login is no error, and the service notices.
func TestRelayLeft(t *testing.T) {
	t.Parallel()
	browser, service, done := relayed7(t)
	browser.Close()
	if b, err := readFrame(service, maxReply); err != io.EOF {
		t.Errorf("%s, %v", b, err)
	}
	service.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRelay: a service that ends is answered for.
func TestRelay(t *testing.T) {
	t.Parallel()
	browser, service, done := relayed7(t)
	began := time.Now()
	service.Close()
	b, err := readFrame(browser, maxReply)
	if err != nil || !bytes.Contains(b, []byte(`"id":7`)) || !bytes.Contains(b, []byte(`"internal"`)) || time.Since(began) > time.Second {
		t.Errorf("%s, %v", b, err)
	}
	if <-done == nil {
		t.Error("no error")
	}
	browser.Close()
}

func FuzzConnect(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00{}"))
	m := connectMessage(`{"origin":"https://portale.example","topOrigin":"https://altro.example"}`)
	f.Add(append(binary.NativeEndian.AppendUint32(nil, uint32(len(m))), m...))
	f.Fuzz(func(t *testing.T, b []byte) {
		message, err := readFrame(bytes.NewReader(b), 64<<10)
		if err != nil {
			if message != nil {
				t.Error("a message beside an error")
			}
			return
		}
		var again bytes.Buffer
		writeFrame(&again, message)
		if !bytes.Equal(again.Bytes(), b[:again.Len()]) {
			t.Error("written again it is another frame")
		}
		_, origin, top, err := parseConnect(message, 0)
		if (err == nil) == origin.IsZero() || err != nil && !top.IsZero() {
			t.Errorf("%q in %q, %v", origin, top, err)
		}
	})
}
