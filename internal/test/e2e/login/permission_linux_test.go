package login

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/desk"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// The browser's own question, whether a site may reach programs of this computer, answered as a
// citizen answers it.

// question is how the question is answered, once it is there.
type question struct{ allow, block, dismiss func() }

func TestChromiumAsks(t *testing.T) {
	desk.Display(t)
	citizen.ServeSites(t)
	v := &citizen.Visit{Home: citizen.NewHome(t)}
	o := v.Options()
	o.Env = append(o.Env, "DISPLAY="+os.Getenv("DISPLAY"))
	o.Screen = true
	v.Tab = browsers.StartChromium(t, o)
	// The screen beside what pages show here, where the question will have its cross, once it
	// is still: a question that fades in takes no keys.
	still := func(unlike []byte) (corner []byte) {
		var since time.Time
		await.That(t, "a browser that asks", func() bool {
			now, err := exec.Command("import", "-window", "root", "-crop", "40x40+400+92", "-silent", "rgb:-").Output()
			if err != nil {
				t.Fatal("import: ", err)
			}
			if !bytes.Equal(now, corner) {
				corner, since = now, time.Now()
			}
			return !bytes.Equal(corner, unlike) && time.Since(since) > time.Second
		})
		return corner
	}
	v.Open(citizen.Site)
	empty := still(nil)
	// By keyboard: these keys lead into the question, where the first button says no, and the one
	// before it closes.
	answer := func(keys ...string) func() {
		return func() {
			still(empty)
			desk.Keys(t, append([]string{"alt+shift+a"}, keys...)...)
		}
	}
	isAsked(t, v, question{allow: answer("Tab", "Return"), block: answer("Return"), dismiss: answer("shift+Tab", "Return")})
}

// Firefox has the question, but does not ask it yet before a WebSocket: here it does. One that is
// put aside stays in the bar of its address, and the page waits.
func TestFirefoxAsks(t *testing.T) {
	citizen.ServeSites(t)
	v := &citizen.Visit{Home: citizen.NewHome(t)}
	o := v.Options()
	o.Prefs = `user_pref("network.lna.websocket.enabled", true); user_pref("security.notification_enable_delay", 0);`
	f := browsers.StartFirefox(t, o)
	v.Tab = f
	answer := func(button string) func() {
		return func() {
			await.That(t, "the browser asks", func() bool {
				return f.RunInside(`const asks = document.querySelector("#notification-popup popupnotification");
					if (asks?.closest("panel").state !== "open") return "";
					asks.`+button+`.click();
					return "pressed"`) != ""
			})
		}
	}
	isAsked(t, v, question{allow: answer("button"), block: answer("secondaryButton")})
}

func isAsked(t *testing.T, v *citizen.Visit, q question) {
	permission := func(want string) {
		t.Helper()
		if got := v.Run(`return (await navigator.permissions.query({ name: "loopback-network" })).state`); got != want {
			t.Errorf("the permission is %q, not %q", got, want)
		}
	}
	announced := func() {
		t.Helper()
		await.That(t, "the page announces the question", func() bool { return v.Run("return window.states.join()") == "permission" })
	}
	t.Run("nobody listens", func(t *testing.T) {
		v.WantAt(t, citizen.Site, "bridge_unavailable")
		permission("prompt") // nor was the citizen asked
	})
	citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	v.Serve = v.Home.Serve(t)
	v.Serve.Next(citizen.CardReady)
	if q.dismiss != nil {
		t.Run("closed", func(t *testing.T) {
			v.Open(citizen.Site)
			v.Press("button")
			announced()
			q.dismiss()
			citizen.Outcome(t, v)
			permission("prompt") // the next click asks again
		})
	}
	t.Run("allowed", func(t *testing.T) {
		v.Open(citizen.Site)
		v.Press("button")
		announced()
		q.allow()
		v.Serve.Next(citizen.SiteAsked) // by the same click
		permission("granted")
		v.Serve.Answer("s")
		v.TypePIN()
		citizen.WantOutcome(t, v, "token")
		v.LogsInAt(t, citizen.Site)
		if states := v.Run("return window.states.join()"); strings.Contains(states, "permission") {
			t.Errorf("the page announces a question that does not come: %q", states)
		}
	})
	t.Run("blocked", func(t *testing.T) {
		v.Open(citizen.OtherSite + "/element")
		v.Press("crs-login")
		q.block()
		citizen.WantOutcome(t, v, "permission_denied")
		permission("denied")
		says := v.Run(`return document.querySelector("crs-login").shadowRoot.querySelector("[role=status]").innerText`)
		if !strings.Contains(says, "accanto all’indirizzo") || !strings.Contains(says, "consenti") {
			t.Errorf("how to change that the page does not say: %q", says)
		}
		v.Run("window.outcome = ''")
		v.Type("\r") // on the button again, and no question comes
		citizen.WantOutcome(t, v, "permission_denied")
	})
}
