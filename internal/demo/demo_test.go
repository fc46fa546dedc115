package demo

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// A town is the portal of the demonstration, listening, with a CA and a card.
type town struct {
	url  string
	ca   *portaltest.CA
	card *portaltest.Card
	data []byte // EF.DatiPersonali that the bridge hands out
}

func newTown(t *testing.T) *town {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ca := portaltest.NewCA(t)
	town := &town{
		url:  "http://localhost:" + port,
		ca:   ca,
		card: ca.NewCard(t, portaltest.EC(t, elliptic.P256()), nil),
		data: portaltest.PersonalData(t),
	}
	handler := New(ca.Pool(), slog.New(slog.DiscardHandler), portaltest.Origin(t, town.url))
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return town
}

// logIn plays bridge and citizen: it tells the progress, signs and hands out the data.
func (town *town) logIn(t *testing.T) func(*portaltest.Conn) {
	return func(c *portaltest.Conn) {
		m, ok := c.Hello()
		if !ok {
			return
		}
		c.Progress(m.ID, "consent", "card", "pin", "signing")
		challenge, err := crs.ParseChallenge(m.Params["challenge"].(string))
		if err != nil {
			t.Error(err)
		}
		result := map[string]any{"token": json.RawMessage(town.card.Token(t, portaltest.Origin(t, c.Origin), challenge))}
		if m.Params["personalData"] == true && town.data != nil {
			result["personalData"] = town.data
		}
		c.Write(portaltest.Message{ID: m.ID, Result: result})
		c.Read()
	}
}

// visible returns the text that an element shows.
func visible(t *testing.T, ctx context.Context, selector string) string {
	t.Helper()
	var s string
	if err := chromedp.Run(ctx, chromedp.Text(selector, &s, chromedp.ByQuery)); err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
	return s
}

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// press clicks. Where the page before was just left, the browser may lose the element that was found.
func press(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for tries := 1; ; tries++ {
			err := chromedp.Click(selector, chromedp.ByQuery).Do(ctx)
			if lost := (*cdproto.Error)(nil); !errors.As(err, &lost) || tries == 5 {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func speak(language string) chromedp.Action {
	return network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": language})
}

// The whole demonstration in Chromium, with crs.js, cookies over http://localhost, and a
// bridge that plays the citizen.
func TestDemonstration(t *testing.T) {
	t.Parallel()
	town := newTown(t)
	bridge := portaltest.NewBridge(t)
	ctx := portaltest.Browser{Ports: [3]string{bridge.Addr}}.Start(t)
	var complaints []string
	chromedp.ListenTarget(ctx, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && e.Response.Status >= 500 {
			complaints = append(complaints, e.Response.URL)
		}
	})
	pressLogin := press("#login")
	errorCode := func(want string) {
		t.Helper()
		var code string
		run(t, ctx, chromedp.WaitVisible("#reason", chromedp.ByQuery), chromedp.AttributeValue("#reason", "data-code", &code, nil, chromedp.ByQuery))
		if code != want {
			t.Errorf("the page explains %q, want %q", code, want)
		}
		if s := visible(t, ctx, "#reason"); len(s) < 60 {
			t.Errorf("%s is explained with %q", want, s)
		}
	}

	// An Italian citizen logs in, sees the sheet, and logs out.
	bridge.Serve(town.logIn(t))
	run(t, ctx, network.Enable(), speak("it-IT,it;q=0.9"), chromedp.Navigate(town.url), pressLogin, chromedp.WaitVisible("dl", chromedp.ByQuery))
	main := visible(t, ctx, "main")
	for _, want := range []string{"Buongiorno, ADA ESEMPIO", portaltest.CodiceFiscale, "01/01/1970", "Femminile", "X998", "Corrispondono all’impronta"} {
		if !strings.Contains(main, want) {
			t.Errorf("the sheet lacks %q:\n%s", want, main)
		}
	}
	var script string
	run(t, ctx, chromedp.Evaluate("document.cookie", &script))
	if strings.Contains(script, "crs") {
		t.Errorf("a script can read the cookies %q", script)
	}
	run(t, ctx, chromedp.Click(".who button", chromedp.ByQuery), chromedp.WaitVisible("#login", chromedp.ByQuery))

	// Data that were changed on the way are marked.
	town.data = bytes.Replace(town.data, []byte("X998"), []byte("X997"), 1)
	run(t, ctx, pressLogin, chromedp.WaitVisible(".unverified dl", chromedp.ByQuery))
	if s := visible(t, ctx, ".unverified"); !strings.Contains(s, "non verificato") || !strings.Contains(s, "X997") {
		t.Errorf("unverified data are shown as %q", s)
	}
	run(t, ctx, chromedp.Click(".who button", chromedp.ByQuery), chromedp.WaitVisible("#login", chromedp.ByQuery))

	// In English; the citizen keeps the data to themselves.
	town.data = nil
	run(t, ctx, chromedp.Click(`nav a[lang="en"]`, chromedp.ByQuery), chromedp.WaitVisible(`html[lang="en"] #login`, chromedp.ByQuery), pressLogin, chromedp.WaitVisible("dl", chromedp.ByQuery))
	if s := visible(t, ctx, "main"); !strings.Contains(s, "Good day, ADA ESEMPIO") || !strings.Contains(s, "The record is empty") {
		t.Errorf("the English page says %q", s)
	}
	run(t, ctx, chromedp.Click(".who button", chromedp.ByQuery), chromedp.WaitVisible("#login", chromedp.ByQuery))

	// Errors of the bridge, and the way out of them.
	bridge.Serve(func(c *portaltest.Conn) {
		if m, ok := c.Hello(); ok {
			c.Refuse(m.ID, "pin_blocked")
			c.Read()
		}
	})
	run(t, ctx, pressLogin)
	errorCode("pin_blocked")
	bridge.Serve(nil)
	run(t, ctx, chromedp.Click("#again", chromedp.ByQuery))
	errorCode("bridge_unavailable")

	// A card of another CA: the portal refuses it, and says why.
	bridge.Serve(town.logIn(t))
	good := town.card
	town.card = portaltest.NewCA(t).NewCard(t, portaltest.EC(t, elliptic.P256()), nil)
	run(t, ctx, chromedp.Click("#again", chromedp.ByQuery))
	errorCode("portal_issuer")
	town.card = good

	// The citizen cancels on the page: the bridge is told.
	asked, cancelled := make(chan struct{}), make(chan portaltest.Message, 1)
	bridge.Serve(func(c *portaltest.Conn) {
		if m, ok := c.Hello(); ok {
			close(asked) // before this there is nothing to cancel
			c.Progress(m.ID, "pin")
			m, _ = c.Read()
			cancelled <- m
		}
	})
	run(t, ctx, chromedp.Click("#again", chromedp.ByQuery))
	<-asked
	run(t, ctx, chromedp.Click("#cancel", chromedp.ByQuery))
	select {
	case m := <-cancelled:
		if m.Method != "cancel" {
			t.Errorf("the bridge got %+v", m)
		}
	case <-time.After(await.Limit):
		t.Error("the bridge got no cancel")
	}
	errorCode("user_cancelled")

	// An error whose code is a number, as those of the browser are, is one as well.
	run(t, ctx, chromedp.Evaluate(`window.fetch = () => Promise.reject(new DOMException("gone", "AbortError"))`, nil),
		chromedp.Click("#again", chromedp.ByQuery))
	errorCode("internal")

	// A code of a later version is explained somehow.
	bridge.Serve(func(c *portaltest.Conn) { c.Hello() })
	run(t, ctx, chromedp.Evaluate(`window.fetch = () => Promise.reject({ code: "of_the_future" })`, nil),
		chromedp.Click("#again", chromedp.ByQuery))
	errorCode("of_the_future")

	// On a phone nothing sticks out.
	var width int
	run(t, ctx, emulation.SetDeviceMetricsOverride(360, 740, 1, true), chromedp.Navigate(town.url), chromedp.Evaluate("document.documentElement.scrollWidth", &width))
	if width > 360 {
		t.Errorf("the page is %d pixels wide on a screen of 360", width)
	}
	if len(complaints) > 0 {
		t.Errorf("server errors at %q", complaints)
	}
}

// get asks the portal as a browser at its origin does.
func get(t *testing.T, edit func(*http.Request)) (*http.Response, string) {
	t.Helper()
	handler := New(portaltest.NewCA(t).Pool(), slog.New(slog.DiscardHandler), portaltest.Origin(t, "http://localhost:27780"))
	r := httptest.NewRequest("GET", "http://localhost:27780/", nil)
	edit(r)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/selftest", "/static/page.js", "/crs/crs.js", "/nowhere"} {
		t.Run(path, func(t *testing.T) {
			reply, body := get(t, func(r *http.Request) { r.URL.Path = path })
			policy := reply.Header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self';", "ws://127.0.0.1:27770"} {
				if !strings.Contains(policy, want) {
					t.Errorf("the policy lacks %q", want)
				}
			}
			if reply.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("it may be sniffed")
			}
			if strings.Contains(policy, "unsafe") || regexp.MustCompile(`<script>|<style|style="|onclick`).MatchString(body) {
				t.Error("script or style inside")
			}
		})
	}
}

// Many names may lead to this computer, but the portal answers only under its own.
func TestOtherHost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"evil.example", "localhost", "localhost:27781", "127.0.0.1:27780", ""} {
		t.Run(host, func(t *testing.T) {
			if reply, _ := get(t, func(r *http.Request) { r.Host = host }); reply.StatusCode != http.StatusMisdirectedRequest {
				t.Error(reply.Status)
			}
		})
	}
}

// Another site cannot log a citizen out.
func TestLogoutOfAnotherSite(t *testing.T) {
	t.Parallel()
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 303} {
		t.Run(site, func(t *testing.T) {
			reply, _ := get(t, func(r *http.Request) {
				r.Method, r.URL.Path = "POST", "/logout"
				r.Header.Set("Sec-Fetch-Site", site)
			})
			if reply.StatusCode != want {
				t.Errorf("%s, want %d", reply.Status, want)
			}
		})
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ header, cookie, want string }{
		{"", "", "it"}, {"it", "", "it"}, {"en-GB,en;q=0.9", "", "en"}, {"de-AT, de;q=0.9, en;q=0.5, it;q=0.3", "", "de"}, {"fr-CH, en;q=0.5", "", "en"},
		{"fr", "", "it"}, {"EN", "", "en"}, {"en", "it", "it"}, {"it", "en", "en"}, {"it", "xx", "it"}, {"\x00;;,,=", "", "it"},
	} {
		t.Run(tt.header+" cookie "+tt.cookie, func(t *testing.T) {
			_, body := get(t, func(r *http.Request) {
				r.Header.Set("Accept-Language", tt.header)
				r.AddCookie(&http.Cookie{Name: langCookie, Value: tt.cookie})
			})
			if !strings.Contains(body, `<html lang="`+tt.want+`">`) {
				t.Errorf("not %s", tt.want)
			}
		})
	}
}
