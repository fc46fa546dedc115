package ipc

import (
	"context"
	"log/slog"
	"net"

	"github.com/crs-bridge/crs/internal/trust"
)

// The portal socket is where browsers reach the service, through a native host: another process of
// this very program, which passes on what the browser's extension says. It carries the protocol of
// package bridge.

const (
	portalSocket = "portal"
	maxBrowsers  = 80 // more than the bridge has seats, so that it can say so
)

// ListenPortal makes the portal socket, for the holder of state.LockService.
func ListenPortal() (net.Listener, error) { return listen(portalSocket) }

// DialPortal connects a native host to the service of this user. The error is ErrNoService if none
// runs, and ErrOtherProgram if another program answers.
func DialPortal(ctx context.Context) (net.Conn, error) {
	conn, err := dial(ctx, portalSocket)
	if err != nil {
		return nil, err
	}
	if err := trust.SameUser(conn); err != nil {
		conn.Close()
		return nil, err
	}
	if trust.SameProgram(conn) != nil {
		conn.Close()
		return nil, ErrOtherProgram
	}
	return conn, nil
}

// ServePortal serves native hosts until ctx ends. program returns the browser that started a native
// host, as catalog.Prompt has it.
func ServePortal(ctx context.Context, l net.Listener, log *slog.Logger, serve func(ctx context.Context, conn net.Conn, program func() string)) {
	accept(ctx, l, maxBrowsers, log, func(conn net.Conn) {
		if err := trust.SameProgram(conn); err != nil {
			log.Warn("connection refused", "socket", l.Addr().String(), "reason", err)
			conn.Close()
			return
		}
		serve(ctx, conn, func() string { return trust.Browser(conn) })
	})
}
