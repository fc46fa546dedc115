package login

import (
	"crypto/x509"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
	webportal "github.com/crs-bridge/crs/portal"
)

// Real browsers, headless. What a citizen meets is the same with the extension and without, in
// either browser; what only one of the two ways has is in extension_linux_test.go and
// loopback_linux_test.go.

func TestChromiumWithExtension(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Chromium, true)
	bothWays(t, v)
	// Without a screen it answers its own question, with no, also where nobody listens.
	withExtension(t, v, "permission_denied")
}

func TestFirefoxWithExtension(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Firefox, true)
	bothWays(t, v)
	withExtension(t, v, "bridge_unavailable")
}

func TestChromiumWithoutExtension(t *testing.T) {
	browsers.Policy(t, `{"LoopbackNetworkAllowedForUrls": ["`+citizen.Site+`", "`+citizen.OtherSite+`"]}`)
	v := citizen.NewVisit(t, citizen.Chromium, false)
	bothWays(t, v)
	withoutExtension(t, v, map[string]string{
		"csp": "bridge_unavailable", "policy": "permission_denied", "frame": "closed",
	})
}

// Firefox does not ask before a WebSocket to this computer, yet, and has no rules for frames.
func TestFirefoxWithoutExtension(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Firefox, false)
	bothWays(t, v)
	withoutExtension(t, v, map[string]string{
		"csp": "bridge_unavailable", "policy": "token", "frame": "open",
	})
}

// bothWays is what is the same. The first subtest makes the site known.
func bothWays(t *testing.T, v *citizen.Visit) {
	world := t
	t.Run("login", func(t *testing.T) {
		permission := func() string {
			return v.Run(`return navigator.permissions.query({ name: "loopback-network" }).then((p) => p.state, () => "")`)
		}
		v.Open(citizen.Site)
		before := permission()
		v.Press("button")
		v.Serve.Next(citizen.SiteAsked)
		v.Serve.Answer("s")
		v.TypePIN()
		citizen.WantOutcome(t, v, "token")
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
		v.Open(citizen.Site + "/element")
		v.Run(`await customElements.whenDefined("crs-login"); document.body.focus()`)
		v.Type("\t\r")
		v.TypePIN()
		citizen.WantOutcome(t, v, "crs-login") // the portal's server has verified the token
		v.Run("window.outcome = ''")
		v.Press("crs-login")
		v.Serve.Next(citizen.PinAsked)
		v.Serve.Answer("")
		citizen.WantOutcome(t, v, "user_cancelled")
		if says := v.Run(`return document.querySelector("crs-login").shadowRoot.querySelector("[role=status]").innerText`); !strings.Contains(says, "Accesso annullato") {
			t.Errorf("the element says %q", says)
		}
	})
	t.Run("user cancels", func(t *testing.T) {
		v.Open(citizen.Site)
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		v.Serve.Answer("")
		citizen.WantOutcome(t, v, "user_cancelled")
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		v.Run("window.stop.abort()")
		citizen.WantOutcome(t, v, "user_cancelled")
		v.Serve.Next("code=user_cancelled")
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
			sent := v.Card.Secrets()
			leave(func(tab browsers.Tab) {
				tab.Open(citizen.Site)
				tab.Press("button")
				v.Serve.Next(citizen.PinAsked)
			})
			v.Serve.Next("code=gone")
			if n := v.Card.Secrets() - sent; n != 0 {
				t.Errorf("%d PINs were sent", n)
			}
			v.LogsInAt(t, citizen.Site)
		})
	}
	t.Run("two tabs at once", func(t *testing.T) {
		v.Open(citizen.Site)
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		second := v.New(true)
		defer second.Close()
		second.Open(citizen.Site)
		second.Press("button")
		citizen.WantOutcome(t, second, "busy")
		v.Serve.Answer(citizen.PIN)
		citizen.WantOutcome(t, v, "token")
	})
	t.Run("card inserted late", func(t *testing.T) {
		if err := v.Card.Pull(); err != nil {
			t.Fatal(err)
		}
		v.Open(citizen.Site)
		v.Press("button")
		v.Serve.Next(citizen.InsertPrompt)
		v.Card = citizen.InsertAgain(world, v.Card.Card)
		v.TypePIN()
		citizen.WantOutcome(t, v, "token")
	})
	t.Run("http page", func(t *testing.T) {
		v.WantAt(t, citizen.HTTPSite, "insecure_context")
	})
	t.Run("sandboxed frame", func(t *testing.T) {
		v.Open(citizen.Site + "/?frame=/&with=sandbox=allow-scripts")
		v.PressInFrame()
		citizen.WantOutcome(t, v, "insecure_context")
	})
	t.Run("TestT27Injected", func(t *testing.T) {
		serveAnew(world, v) // with the old one go the dismissals of other tests
		injected(t, v)
		serveAnew(world, v)
	})
}

// injected is a script that a portal's page did not mean to run. It can ask as the page can, and no
// more: each time the citizen is asked for the PIN; what it gets is good for this portal alone; and
// a citizen who says no is left alone.
func injected(t *testing.T, v *citizen.Visit) {
	v.Open(citizen.Site)
	v.Run(`window.act = () => window.login().then(({ token }) => JSON.stringify(token))`)
	v.Press("button")
	v.TypePIN()
	issuers := x509.NewCertPool()
	issuers.AddCert(virtualcard.SharedCA().Certificate)
	challenge, err := crs.ParseChallenge(v.Run("return window.challenge"))
	if err != nil {
		t.Fatal(err)
	}
	token := []byte(citizen.Outcome(t, v))
	for origin, good := range map[string]bool{citizen.Site: true, citizen.OtherSite: false} {
		o, err := crs.ParseOrigin(origin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&webportal.Verifier{Origin: o, Issuers: issuers}).Verify(token, challenge); (err == nil) != good {
			t.Errorf("at %s the token is taken: %v", origin, err)
		}
	}

	sent := v.Card.Secrets()
	for range 3 {
		v.Press("button")
		v.Serve.Next(citizen.PinAsked)
		v.Serve.Answer("")
		citizen.WantOutcome(t, v, "user_cancelled")
	}
	seen := len(v.Serve.Stderr.String())
	v.Press("button")
	citizen.WantOutcome(t, v, "origin_denied")
	if said := v.Serve.Stderr.String()[seen:]; strings.Contains(said, citizen.PinAsked) {
		t.Errorf("the citizen is asked once more: %s", said)
	}
	if n := v.Card.Secrets() - sent; n != 0 {
		t.Errorf("%d PINs were sent", n)
	}
}

// serveAnew starts the service again, until a test ends.
func serveAnew(t *testing.T, v *citizen.Visit) {
	v.Serve.Stop(syscall.SIGTERM)
	v.Serve = v.Home.Serve(t)
	v.Serve.Next(citizen.CardReady)
}
