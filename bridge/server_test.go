package bridge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/await"
)

// knock sends a raw request and returns the raw answer, up to the header's end.
func knock(t testing.TB, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(await.Limit))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	var answer strings.Builder
	b := make([]byte, 1024)
	for {
		n, err := conn.Read(b)
		answer.Write(b[:n])
		if strings.HasPrefix(answer.String(), "HTTP/1.1 101 ") {
			return answer.String()
		}
		if err != nil {
			if err != io.EOF {
				t.Errorf("after %q: %v", answer.String(), err)
			}
			return answer.String()
		}
	}
}

// handshake is a browser's, with the lines of header in place of Host and Origin.
func handshake(header ...string) string {
	return "GET /v1 HTTP/1.1\r\n" + strings.Join(header, "\r\n") +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

func accepted(answer string) bool { return strings.HasPrefix(answer, "HTTP/1.1 101 ") }

const allowedSite, unknownSite, refused = "allowed", "may ask", "403"

func TestT01Origins(t *testing.T) {
	t.Parallel()
	const site = "https://portale.example.it"
	w := newWorld(t, func(w *world) {
		w.sites = allowed(site, "https://xn--portal-7ua.example")
		w.sites.set("https://blocked.example", crs.SiteBlocked)
		w.Limits.OriginConnections = 1000
		w.Limits.Question = time.Nanosecond
		w.Limits.Dismissals = 1000
		w.ui.OnAsk(catalog.KindAllow, func(context.Context, catalog.Text) (bool, error) { return false, nil })
	})
	for _, test := range []struct{ origin, want string }{
		{site, allowedSite},
		{"https://xn--portal-7ua.example", allowedSite},

		// Sites of their own, which the user is asked about.
		{site + ".evil.it", unknownSite},
		{"https://evil-portale.example.it", unknownSite},
		{"https://portale.example.it.", refused},
		{"https://sub.portale.example.it", unknownSite},
		{"https://example.it", unknownSite},
		{"https://portale-example.it", unknownSite},
		{site + ":8443", unknownSite},
		{site + ":444", unknownSite},
		{"https://xn--portale-example-v2d.it", unknownSite},
		{"https://xn--prtale-fxa.example.it", unknownSite},
		{"https://10.0.0.1", unknownSite},
		{"https://[2001:db8::1]", unknownSite},
		{"https://localhost", unknownSite},
		{"https://127.0.0.1:8443", unknownSite},

		{"https://blocked.example", refused},
		{"http://portale.example.it", refused},
		{"http://localhost:3000", refused},
		{"http://127.0.0.1:3000", refused},
		{"http://" + w.addr, refused}, // equal to Host, as after DNS rebinding
		{"null", refused},
		{"", refused},
		{site + ":443", refused},
		{site + ":0443", refused},
		{site + ":0", refused},
		{site + ":65536", refused},
		{site + ":", refused},
		{site + "/", refused},
		{site + "/login", refused},
		{site + "?", refused},
		{site + "#", refused},
		{"https://Portale.example.it", refused},
		{"HTTPS://portale.example.it", refused},
		{"https://PORTALE.EXAMPLE.IT", refused},
		{"https://user@portale.example.it", refused},
		{"https://portale.example.it@evil.it", refused},
		{"https://user:secret@portale.example.it", refused},
		{"https://portàle.example.it", refused},
		{"https://portale%2eexample.it", refused},
		{"https://portale.example.it\\evil.it", refused},
		{"https://portale.example.it, https://evil.it", refused},
		{"https://portale.example.it https://evil.it", refused},
		{"https://portale..example.it", refused},
		{"https://.example.it", refused},
		{"https://*.example.it", refused},
		{"https://", refused},
		{"https:", refused},
		{"https://0x7f.1", refused},
		{"https://127.1", refused},
		{"https://[::ffff:10.0.0.1]", refused},
		{"https://[::1", refused},
		{"wss://portale.example.it", refused},
		{"ftp://portale.example.it", refused},
		{"file://", refused},
		{"chrome-extension://cfgchpekgbpfifkmdgicolkfoiheflkc", refused},
		{"moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc", refused},
		{"https://" + strings.Repeat("a.", 130) + "it", refused},
	} {
		t.Run(test.origin, func(t *testing.T) {
			if got := whatHappens(w, test.origin); got != test.want {
				t.Errorf("Origin %q: %s, want %s", test.origin, got, test.want)
			}
		})
	}

	for _, twice := range [][]string{
		{"Origin: " + site, "Origin: " + site},
		{"Origin: " + site, "Origin: https://evil.it"},
		{"Origin: https://evil.it", "origin: " + site},
	} {
		if answer := knock(t, w.addr, handshake(append(twice, "Host: "+w.addr)...)); answer != refusal {
			t.Errorf("%q: %q", twice, answer)
		}
	}
}

// whatHappens connects as a page of an origin would, and asks for a login.
func whatHappens(w *world, origin string) string {
	header := []string{"Host: " + w.addr}
	if origin != "" {
		header = append(header, "Origin: "+origin)
	}
	switch answer := knock(w.t, w.addr, handshake(header...)); {
	case answer == refusal:
		return refused
	case !accepted(answer):
		return answer
	}
	c, err := w.try(origin)
	if err != nil {
		return err.Error()
	}
	defer c.ws.Close()
	switch m, states := c.login(""); {
	case states == "consent" && m.code() == crs.ErrCancelled:
		return unknownSite
	case states == "card pin signing" && m.code() == "":
		return allowedSite
	default:
		return fmt.Sprintf("%s %s", states, m.code())
	}
}

func TestDeveloperOrigins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Developer = 3000 })
	for origin, want := range map[string]bool{
		"http://localhost:3000":        true,
		"http://127.0.0.1:3000":        true,
		"http://localhost:3001":        false,
		"http://localhost":             false,
		"http://[::1]:3000":            false,
		"http://evil.example:3000":     false,
		"http://localhost:3000.evil.x": false,
	} {
		t.Run(origin, func(t *testing.T) {
			if got := accepted(knock(t, w.addr, handshake("Host: "+w.addr, "Origin: "+origin))); got != want {
				t.Errorf("Origin %s with --developer 3000: %v", origin, got)
			}
		})
	}
	w.ui.OnAsk(catalog.KindAllow, func(_ context.Context, p catalog.Text) (bool, error) {
		if !strings.HasPrefix(p.Before, catalog.Say("developer")) {
			t.Error("the dialog does not say that developer pages are accepted")
		}
		return false, nil
	})
	w.dial("http://localhost:3000").login("")
	w.dial("https://unknown.example").login("")
}

func TestT02Hosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.OriginConnections = 1000 })
	port := w.addr[strings.LastIndexByte(w.addr, ':'):]
	origin := "Origin: " + portale
	for host, want := range map[string]bool{
		"127.0.0.1" + port:                 true,
		"localhost" + port:                 true,
		"[::1]" + port:                     true,
		"127.0.0.1":                        false,
		"localhost":                        false,
		"":                                 false,
		"127.0.0.1:80":                     false,
		"127.0.0.1:1" + port[1:]:           false,
		"127.0.0.2" + port:                 false,
		"127.1" + port:                     false,
		"2130706433" + port:                false,
		"0.0.0.0" + port:                   false,
		"::1" + port:                       false,
		"[0:0:0:0:0:0:0:1]" + port:         false,
		"[::ffff:127.0.0.1]" + port:        false,
		"LOCALHOST" + port:                 false,
		"localhost." + port:                false,
		"localhost.evil.example" + port:    false,
		"evil.example" + port:              false,
		"127.0.0.1.evil.example" + port:    false,
		"evil.example@127.0.0.1" + port:    false,
		"127.0.0.1" + port + ".evil.it":    false,
		"127.0.0.1" + port + ", evil.it":   false,
		"portale.example":                  false,
		"portale.example" + port:           false,
		"http://127.0.0.1" + port:          false,
		"127.0.0.1" + port + "/":           false,
		"127.0.0.1" + port + " evil.it":    false,
		"[::1]" + port + "\r\n evil.it":    false,
		"127.0.0.1" + port + "\r\nHost: x": false,
	} {
		t.Run(host, func(t *testing.T) {
			answer := knock(t, w.addr, handshake("Host: "+host, origin))
			if accepted(answer) != want || !want && answer != refusal {
				t.Errorf("Host %q: %q", host, answer)
			}
		})
	}
	if answer := knock(t, w.addr, handshake(origin)); answer != refusal {
		t.Errorf("without Host: %q", answer)
	}
	absolute := strings.Replace(handshake("Host: evil.example", origin), "/v1", "http://"+w.addr+"/v1", 1)
	if answer := knock(t, w.addr, absolute); answer != refusal {
		t.Errorf("absolute request: %q", answer)
	}
}

// Nothing that a browser adds on its own, and nothing from an earlier login, gives a page any
// right.
func TestT03NoAmbientRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookies := handshake("Host: "+w.addr, "Origin: "+portale, "Cookie: session=1", "Authorization: Basic YTpi")
	answer := knock(t, w.addr, cookies)
	if !accepted(answer) || strings.Contains(strings.ToLower(answer), "cookie") {
		t.Errorf("answer %q", answer)
	}
	if answer := knock(t, w.addr, handshake("Host: "+w.addr, "Origin: http://portale.example", "Cookie: session=1")); answer != refusal {
		t.Errorf("answer %q", answer)
	}

	first, second := w.dial(portale), w.dial(portale)
	first.login("")
	second.login("")
	if asked := w.ui.Log(); asked != "pin pin" {
		t.Errorf("a login after a login: asked %q", asked)
	}

	// One connection cannot reach the login of another, not even of the same site.
	typed := make(chan struct{})
	w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) {
		select {
		case <-typed:
			return crs.NewPIN([]byte(testPIN)), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	ch := first.authenticate(5, "")
	for first.read().Params.State != "pin" {
	}
	second.send(`{"jsonrpc":"2.0","id":6,"method":"cancel","params":{"id":5}}`)
	if m := second.read(); string(m.Result) != "{}" {
		t.Errorf("cancel: %+v", m)
	}
	close(typed)
	m, _ := first.reply()
	checkToken(t, m, portale, ch)
}

func TestListenTakesTheNextPort(t *testing.T) {
	first, err := Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.Port() != 27770 || len(first.each) != 2 || first.Addr() != "127.0.0.1:27770" {
		t.Errorf("listens on %s, %d addresses", first.Addr(), len(first.each))
	}
	// A port of which one address is taken is left alone altogether.
	blocker, err := net.Listen("tcp", "[::1]:27771")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Port() != 27772 {
		t.Errorf("second listens on %d", second.Port())
	}
	if l, err := net.Listen("tcp", "127.0.0.1:27771"); err != nil {
		t.Errorf("half of a port that was not taken is kept: %v", err)
	} else {
		l.Close()
	}
	if l, err := Listen(""); err == nil {
		l.Close()
		t.Error("a third one finds a port")
	}
	blocker.Close()
	third, err := Listen("")
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
}

// All clients that may not speak get the same answer, so that it reveals nothing.
func TestT16OneRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.sites.set("https://blocked.example", crs.SiteBlocked)
		w.Limits.Handshake = 500 * time.Millisecond
	})
	good := handshake("Host: "+w.addr, "Origin: "+portale)
	requests := []string{
		"", "\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + w.addr + "\r\n\r\n",
		"GET /v1 HTTP/1.1\r\nHost: " + w.addr + "\r\n\r\n",
		"GET /v1 HTTP/1.1\r\nHost: " + w.addr + "\r\nOrigin: " + portale + "\r\n\r\n",
		"OPTIONS /v1 HTTP/1.1\r\nHost: " + w.addr + "\r\nOrigin: " + portale + "\r\nAccess-Control-Request-Method: GET\r\n\r\n",
		strings.Replace(good, "GET", "POST", 1),
		strings.Replace(good, "GET", "HEAD", 1),
		strings.Replace(good, "/v1", "/v2", 1),
		strings.Replace(good, "/v1", "/v1/", 1),
		strings.Replace(good, "/v1", "/v1?x", 1),
		strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1),
		strings.Replace(good, "HTTP/1.1", "HTTP/2.0", 1),
		strings.Replace(good, "Connection: Upgrade", "Connection: close", 1),
		strings.Replace(good, "Upgrade: websocket", "Upgrade: h2c", 1),
		strings.Replace(good, "Version: 13", "Version: 8", 1),
		strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1),
		strings.Replace(good, "Sec-WebSocket-Key", "X", 1),
		strings.Replace(good, "Origin: ", "Origin", 1),
		strings.Replace(good, "\r\n\r\n", "\r\n", 1),
		good[:len(good)-2] + "X-Long: " + strings.Repeat("x", maxRequest) + "\r\n\r\n",
		good + "\x81\x80\x00\x00\x00\x00", // a frame before the answer
	}
	for i := range 50 {
		requests = append(requests,
			handshake("Host: "+w.addr, fmt.Sprintf("Origin: http://site%d.example", i)),
			handshake("Host: "+w.addr, fmt.Sprintf("Origin: https://Site%d.example", i)))
	}
	requests = append(requests,
		handshake("Host: "+w.addr, "Origin: https://blocked.example"),
		handshake("Host: evil.example", "Origin: "+portale),
		handshake("Host: "+w.addr))
	for _, request := range requests {
		if answer := knock(t, w.addr, request); answer != refusal {
			t.Errorf("%.120q: answer %q", request, answer)
		}
	}
	if !accepted(knock(t, w.addr, good)) {
		t.Error("the good request is refused too")
	}
	for _, word := range []string{"access-control", "date:", "server:", "crs", "bridge"} {
		if strings.Contains(strings.ToLower(refusal), word) {
			t.Errorf("the refusal holds %q", word)
		}
	}
}

// What is accepted of a handshake is what any other HTTP server would have read.
func FuzzHandshake(f *testing.F) {
	f.Add(handshake("Host: 127.0.0.1:27770", "Origin: "+portale))
	f.Add(handshake("Host: localhost:27770", "Origin: null", "origin:\tx", "Cookie: a=b"))
	f.Add(handshake("Host: a", " folded", "Origin : x"))
	f.Add("GET /v1 HTTP/1.1\nHost: a\n\n")
	f.Add("\x16\x03\x01")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := readRequest(strings.NewReader(in))
		if err != nil {
			if got != nil {
				t.Error("a request and an error")
			}
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(in)))
		if err != nil {
			return // another server is stricter in something that is not asked about here
		}
		if want.Method != "GET" || want.URL.Path != "/v1" || !slices.Equal(got.Header["Origin"], want.Header["Origin"]) {
			t.Errorf("%q read as %v", in, got.Header)
		}
		if hosts := got.Header["Host"]; len(hosts) > 0 && hosts[0] != want.Host {
			t.Errorf("%q: Host %q, not %q", in, hosts, want.Host)
		}
	})
}

// A damaged list of sites may hide that a site is blocked.
func TestUnreadableSitesRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial(portale)
	w.sites.mu.Lock()
	w.sites.broken = errors.New("damaged")
	w.sites.mu.Unlock()
	if answer := knock(t, w.addr, handshake("Host: "+w.addr, "Origin: "+portale)); answer != refusal {
		t.Errorf("answer %q", answer)
	}
	if m, _ := c.login(""); m.code() != crs.ErrInternal {
		t.Errorf("login: %s", m.code())
	}
}

func TestThousandConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type outcome struct {
		c   *client
		err error
	}
	outcomes := make(chan outcome)
	for i := range 1000 {
		go func() {
			c, err := w.try(fmt.Sprintf("https://site%d.example", i%100))
			outcomes <- outcome{c, err}
		}()
	}
	var open []*client
	for range 1000 {
		switch o := <-outcomes; {
		case o.err == nil:
			open = append(open, o.c)
		case o.err.Error() != "websocket: bad handshake":
			t.Errorf("refused with %v", o.err)
		}
	}
	if len(open) != 64 {
		t.Errorf("%d connections are open", len(open))
	}
	if answer := knock(t, w.addr, handshake("Host: "+w.addr, "Origin: "+portale)); answer != refusal {
		t.Errorf("one more: %q", answer)
	}
	open[0].ws.Close()
	await.That(t, "a place is free again", func() bool {
		c, err := w.try(portale)
		if err == nil {
			open[0] = c
		}
		return err == nil
	})
	if m, _ := open[0].login(""); m.code() != "" {
		t.Errorf("login among 64 connections: %s", m.code())
	}
}

func TestT25ConnectionsOfOneOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var open []*client
	for range 4 {
		open = append(open, w.dial(portale))
	}
	if answer := knock(t, w.addr, handshake("Host: "+w.addr, "Origin: "+portale)); answer != refusal {
		t.Errorf("a fifth connection: %q", answer)
	}
	w.dial("https://other.example")
	open[0].ws.Close()
	await.That(t, "the place is free again", func() bool { _, err := w.try(portale); return err == nil })
}

func TestT25SlowHandshake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.Handshake = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(await.Limit))
	_, err = io.WriteString(conn, "GET /v1 HTTP/1.1\r\n")
	for err == nil { // it sends all the time, but never ends
		time.Sleep(10 * time.Millisecond)
		_, err = io.WriteString(conn, "X: y\r\n")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the handshake may take for ever")
	}
	if m, _ := w.dial(portale).login(""); m.code() != "" {
		t.Errorf("afterwards: %s", m.code())
	}
}

func TestServeEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ui.OnPIN(catalog.KindPIN, func(ctx context.Context, _ catalog.Text) (*crs.PIN, error) { return nil, never(ctx) })
	c := w.dial(portale)
	c.authenticate(1, "")
	for c.read().Params.State != "pin" {
	}
	w.dial("https://idle.example")
	w.stop()
	if _, err := w.try(portale); err == nil {
		t.Error("still accepts")
	}
	if _, err := http.Get("http://" + w.addr); err == nil {
		t.Error("still answers")
	}
}
