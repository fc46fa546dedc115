package main

import (
	"crypto/x509"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/virtualcard"
	webportal "github.com/crs-bridge/crs/portal"
)

// Real browsers, headless. What a citizen meets is the same with the extension and without, in
// either browser; what only one of the two ways has is in extension_linux_test.go and
// loopback_linux_test.go.

func TestChromiumWithExtension(t *testing.T) {
	v := newVisit(t, chromium, true)
	v.bothWays(t)
	// Without a screen it answers its own question, with no, also where nobody listens.
	v.withExtension(t, "permission_denied")
}

func TestFirefoxWithExtension(t *testing.T) {
	v := newVisit(t, firefox, true)
	v.bothWays(t)
	v.withExtension(t, "bridge_unavailable")
}

func TestChromiumWithoutExtension(t *testing.T) {
	browsers.Policy(t, `{"LoopbackNetworkAllowedForUrls": ["`+site+`", "`+otherSite+`"]}`)
	v := newVisit(t, chromium, false)
	v.bothWays(t)
	v.withoutExtension(t, map[string]string{
		"csp": "bridge_unavailable", "policy": "permission_denied", "frame": "closed",
	})
}

// Firefox does not ask before a WebSocket to this computer, yet, and has no rules for frames.
func TestFirefoxWithoutExtension(t *testing.T) {
	v := newVisit(t, firefox, false)
	v.bothWays(t)
	v.withoutExtension(t, map[string]string{
		"csp": "bridge_unavailable", "policy": "token", "frame": "open",
	})
}

// bothWays is what is the same. The first subtest makes the site known.
func (v *visit) bothWays(t *testing.T) {
	world := t
	t.Run("login", func(t *testing.T) {
		permission := func() string {
			return v.Run(`return navigator.permissions.query({ name: "loopback-network" }).then((p) => p.state, () => "")`)
		}
		v.Open(site)
		before := permission()
		v.Press("button")
		v.serve.next(siteAsked)
		v.serve.answer("s")
		v.typePIN()
		wantOutcome(t, v, "token")
		switch states := strings.TrimPrefix(v.Run("return window.states.join()"), "permission,"); states {
		case "consent,pin,signing", "consent,card,pin,signing":
		default:
			t.Errorf("states %q", states)
		}
		if after := permission(); after != before {
			t.Errorf("the browser's permission went from %q to %q", before, after)
		}
	})
	t.Run("element", func(t *testing.T) {
		v.Open(site + "/element")
		v.Run(`await customElements.whenDefined("crs-login"); document.body.focus()`)
		v.Type("\t\r")
		v.typePIN()
		wantOutcome(t, v, "crs-login") // the portal's server has verified the token
		v.Run("window.outcome = ''")
		v.Press("crs-login")
		v.serve.next(pinAsked)
		v.serve.answer("")
		wantOutcome(t, v, "user_cancelled")
		if says := v.Run(`return document.querySelector("crs-login").shadowRoot.querySelector("[role=status]").innerText`); !strings.Contains(says, "Accesso annullato") {
			t.Errorf("the element says %q", says)
		}
	})
	t.Run("user cancels", func(t *testing.T) {
		v.Open(site)
		v.Press("button")
		v.serve.next(pinAsked)
		v.serve.answer("")
		wantOutcome(t, v, "user_cancelled")
		v.Press("button")
		v.serve.next(pinAsked)
		v.Run("window.stop.abort()")
		wantOutcome(t, v, "user_cancelled")
		v.serve.next("code=user_cancelled")
	})
	for name, leave := range map[string]func(ask func(browsers.Tab)){
		"tab closed during the PIN": func(ask func(browsers.Tab)) {
			tab := v.New(true)
			ask(tab)
			tab.Close()
		},
		"page left during the PIN": func(ask func(browsers.Tab)) {
			ask(v)
			v.Open("about:blank")
		},
	} {
		t.Run(name, func(t *testing.T) {
			sent := v.card.Secrets()
			leave(func(tab browsers.Tab) {
				tab.Open(site)
				tab.Press("button")
				v.serve.next(pinAsked)
			})
			v.serve.next("code=gone")
			if n := v.card.Secrets() - sent; n != 0 {
				t.Errorf("%d PINs were sent", n)
			}
			v.logsInAt(t, site)
		})
	}
	t.Run("two tabs at once", func(t *testing.T) {
		v.Open(site)
		v.Press("button")
		v.serve.next(pinAsked)
		second := v.New(true)
		defer second.Close()
		second.Open(site)
		second.Press("button")
		wantOutcome(t, second, "busy")
		v.serve.answer(testPIN)
		wantOutcome(t, v, "token")
	})
	t.Run("card inserted late", func(t *testing.T) {
		if err := v.card.pull(); err != nil {
			t.Fatal(err)
		}
		v.Open(site)
		v.Press("button")
		v.serve.next(insertPrompt)
		v.card = insertAgain(world, v.card.Card)
		v.typePIN()
		wantOutcome(t, v, "token")
	})
	t.Run("http page", func(t *testing.T) {
		v.wantAt(t, httpSite, "insecure_context")
	})
	t.Run("sandboxed frame", func(t *testing.T) {
		v.Open(site + "/?frame=/&with=sandbox=allow-scripts")
		v.PressInFrame()
		wantOutcome(t, v, "insecure_context")
	})
	t.Run("TestT27Injected", func(t *testing.T) {
		v.serveAnew(world) // with the old one go the dismissals of other tests
		v.injected(t)
		v.serveAnew(world)
	})
}

// injected is a script that a portal's page did not mean to run. It can ask as the page can, and no
// more: each time the citizen is asked for the PIN; what it gets is good for this portal alone; and
// a citizen who says no is left alone.
func (v *visit) injected(t *testing.T) {
	v.Open(site)
	v.Run(`window.act = () => window.login().then(({ token }) => JSON.stringify(token))`)
	v.Press("button")
	v.typePIN()
	issuers := x509.NewCertPool()
	issuers.AddCert(virtualcard.SharedCA().Certificate)
	challenge, err := crs.ParseChallenge(v.Run("return window.challenge"))
	if err != nil {
		t.Fatal(err)
	}
	token := []byte(outcome(t, v))
	for origin, good := range map[string]bool{site: true, otherSite: false} {
		o, err := crs.ParseOrigin(origin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&webportal.Verifier{Origin: o, Issuers: issuers}).Verify(token, challenge); (err == nil) != good {
			t.Errorf("at %s the token is taken: %v", origin, err)
		}
	}

	sent := v.card.Secrets()
	for range 3 {
		v.Press("button")
		v.serve.next(pinAsked)
		v.serve.answer("")
		wantOutcome(t, v, "user_cancelled")
	}
	seen := len(v.serve.stderr.String())
	v.Press("button")
	wantOutcome(t, v, "origin_denied")
	if said := v.serve.stderr.String()[seen:]; strings.Contains(said, pinAsked) {
		t.Errorf("the citizen is asked once more: %s", said)
	}
	if n := v.card.Secrets() - sent; n != 0 {
		t.Errorf("%d PINs were sent", n)
	}
}

// serveAnew starts the service again, until a test ends.
func (v *visit) serveAnew(t *testing.T) {
	v.serve.stop(syscall.SIGTERM)
	v.serve = v.home.serve(t)
	v.serve.next(cardReady)
}
