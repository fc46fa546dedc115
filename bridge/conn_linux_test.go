package bridge

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/await"
)

// A client that does not read can hold up neither a login nor the end of the bridge indefinitely.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.Limits.MessageRate, w.Limits.MessageBurst = 1e6, 1e6 })
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
	}}
	dialer := websocket.Dialer{NetDialContext: small.DialContext}
	ws, _, err := dialer.Dial("ws://"+w.addr+"/v1", http.Header{"Origin": {portale}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	ws.SetWriteDeadline(time.Now().Add(await.Limit))
	for err == nil {
		err = ws.WriteMessage(websocket.TextMessage, []byte("x"))
	}
	var failure net.Error
	if errors.As(err, &failure) && failure.Timeout() {
		t.Error("the bridge waits for the client to read")
	}
	if m, _ := w.dial(portale).login(""); m.code() != "" {
		t.Errorf("another client's login: %s", m.code())
	}
}
