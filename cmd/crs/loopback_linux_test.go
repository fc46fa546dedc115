package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// Without the extension a page opens a WebSocket to this computer, for which browsers have rules.

// withoutExtension is what differs from one browser to the other.
func withoutExtension(t *testing.T, v *Visit, want map[string]string) {
	t.Run("strict CSP", func(t *testing.T) { v.WantAt(t, Site+"/csp", want["csp"]) })
	t.Run("Permissions-Policy", func(t *testing.T) {
		if want["policy"] == "token" {
			v.LogsInAt(t, Site+"/policy")
		} else {
			v.WantAt(t, Site+"/policy", want["policy"])
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
				v.Open(OtherSite + "/?with=" + allow + "&frame=" + Site + "/%3Fsocket")
				v.PressInFrame()
				WantOutcome(t, v, socket)
				v.Open(OtherSite + "/?with=" + allow + "&frame=" + Site)
				v.PressInFrame()
				WantOutcome(t, v, "insecure_context")
			})
		}
	})
	t.Run("service not running", func(t *testing.T) {
		v.Serve.Stop(syscall.SIGTERM)
		v.WantAt(t, Site, "bridge_unavailable")
	})
	t.Run("service too old", func(t *testing.T) {
		impostor(t, func(ws *websocket.Conn) {
			ws.ReadMessage()
			ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"another protocol","data":{"code":"unsupported_version"}}}`))
			ws.ReadMessage()
		})
		v.WantAt(t, Site, "unsupported_version")
	})
}

// impostor listens on the port of the service until the test ends. It returns what browsers sent
// with the handshake.
func impostor(t *testing.T, speak func(*websocket.Conn)) *screen.Text {
	t.Helper()
	l, err := net.Listen("tcp", BridgeAddress)
	if err != nil {
		t.Fatal(err)
	}
	var headers screen.Text
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(&headers, r.Header)
		upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		speak(ws)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return &headers
}

// Whoever listens on our port in our place learns the challenge, which the page's server made for
// this purpose, and nothing else: the token that it would need is bound to the origin.
func TestT07LookAlike(t *testing.T) {
	h := NewHome(t)
	ServeSites(t)
	browsers.Policy(t, `{"LoopbackNetworkAllowedForUrls": ["`+Site+`"]}`)
	var messages screen.Text
	headers := impostor(t, func(ws *websocket.Conn) {
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
	b := Chromium(t, h.Options())
	b.Open(Site)
	b.Run(`document.cookie = "session=geheim; SameSite=None; Secure"`)
	b.Open(Site + "/element")
	b.Press("crs-login")
	WantOutcome(t, b, "portal") // its server refuses whatever the look-alike made up
	b.Open(Site)
	b.Press("button")
	WantOutcome(t, b, "token") // of the look-alike, for the server to refuse
	if text := headers.String() + messages.String(); strings.Contains(text, "geheim") || strings.Contains(text, "pin") || !strings.Contains(text, "authenticate") {
		t.Errorf("the look-alike heard %s", text)
	}
}
