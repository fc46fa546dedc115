package ipc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/crs-bridge/crs/internal/trust"
)

// accept serves the programs of this user, up to most of them at once, until ctx ends, and returns
// when all have been served. It refuses programs of other users.
func accept(ctx context.Context, l net.Listener, most int, log *slog.Logger, serve func(net.Conn)) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	clients := make(chan struct{}, most)
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			log.Warn("connection not accepted", "socket", l.Addr().String(), "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		if err := trust.SameUser(conn); err != nil {
			log.Warn("connection refused", "socket", l.Addr().String(), "reason", err)
			conn.Close()
			continue
		}
		select {
		case clients <- struct{}{}:
			serving.Go(func() {
				defer func() { <-clients }()
				serve(conn)
			})
		default:
			conn.Close()
		}
	}
}
