package login

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// Without the extension a page opens a WebSocket to this computer, for which browsers have rules.

// withoutExtension is what differs from one browser to the other.
func withoutExtension(t *testing.T, v *citizen.Visit, want map[string]string) {
	t.Run("strict CSP", func(t *testing.T) { v.WantAt(t, citizen.Site+"/csp", want["csp"]) })
	t.Run("Permissions-Policy", func(t *testing.T) {
		if want["policy"] == "token" {
			v.LogsInAt(t, citizen.Site+"/policy")
		} else {
			v.WantAt(t, citizen.Site+"/policy", want["policy"])
		}
	})
	t.Run("TestT05ForeignFrame", func(t *testing.T) {
		for allow, socket := range map[string]string{
			"":                           want["frame"],
			"allow=loopback-network":     "open",
			"allow=local-network-access": "open",
			"allow=camera":               want["frame"],
			"sandbox=allow-scripts":      "closed", // its origin is null
		} {
			t.Run(allow, func(t *testing.T) {
				// The socket is what the browser lets through; crs.js refuses in any case.
				v.Open(citizen.OtherSite + "/?with=" + allow + "&frame=" + citizen.Site + "/%3Fsocket")
				v.PressInFrame()
				citizen.WantOutcome(t, v, socket)
				v.Open(citizen.OtherSite + "/?with=" + allow + "&frame=" + citizen.Site)
				v.PressInFrame()
				citizen.WantOutcome(t, v, "insecure_context")
			})
		}
	})
	t.Run("service not running", func(t *testing.T) {
		v.Serve.Stop(syscall.SIGTERM)
		v.WantAt(t, citizen.Site, "bridge_unavailable")
	})
	t.Run("service too old", func(t *testing.T) {
		citizen.Impostor(t, func(ws *websocket.Conn) {
			ws.ReadMessage()
			ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"another protocol","data":{"code":"unsupported_version"}}}`))
			ws.ReadMessage()
		})
		v.WantAt(t, citizen.Site, "unsupported_version")
	})
}

// A program that listens on our port in our place learns the challenge, which the page's server
// made for this purpose, and nothing else: the token that it would need is bound to the origin.
func TestT07LookAlike(t *testing.T) {
	h := citizen.NewHome(t)
	citizen.ServeSites(t)
	browsers.Policy(t, `{"LoopbackNetworkAllowedForUrls": ["`+citizen.Site+`"]}`)
	var messages screen.Text
	headers := citizen.Impostor(t, func(ws *websocket.Conn) {
		for _, answer := range []string{`{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`, `{"jsonrpc":"2.0","id":2,"result":{"token":{"format":"web-eid:1.0"}}}`} {
			_, message, err := ws.ReadMessage()
			if err != nil {
				return
			}
			fmt.Fprintln(&messages, string(message))
			ws.WriteMessage(websocket.TextMessage, []byte(answer))
		}
		ws.ReadMessage()
	})
	b := citizen.Chromium(t, h.Options())
	b.Open(citizen.Site)
	b.Run(`document.cookie = "session=geheim; SameSite=None; Secure"`)
	b.Open(citizen.Site + "/element")
	b.Press("crs-login")
	citizen.WantOutcome(t, b, "portal") // its server refuses whatever the look-alike made up
	b.Open(citizen.Site)
	b.Press("button")
	citizen.WantOutcome(t, b, "token") // of the look-alike, for the server to refuse
	if text := headers.String() + messages.String(); strings.Contains(text, "geheim") || strings.Contains(text, "pin") || !strings.Contains(text, "authenticate") {
		t.Errorf("the look-alike heard %s", text)
	}
}
