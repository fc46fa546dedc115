package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/ipc"
)

// startedByBrowser reports whether a browser started this program. The manifest cannot define
// arguments: Chromium passes the origin of the extension, Firefox the path of the manifest and the
// id of the extension.
func startedByBrowser(args []string) bool {
	return len(args) > 0 && strings.HasPrefix(args[0], "chrome-extension://") ||
		len(args) == 2 && filepath.Base(args[0]) == browser.HostName+".json"
}

// ourExtension reports whether the arguments are those for our own extension. Browsers start us for
// no other, unless somebody changed the manifest.
func ourExtension(args []string) bool {
	if len(args) > 0 && args[0] == browser.ChromiumExtension {
		return true // on Windows there are more
	}
	return len(args) == 2 && args[1] == browser.FirefoxExtension
}

// nativeHost stands between a browser and the service: it passes messages on, and ends with either
// of them. Its stdout carries nothing else. However a browser ends, its pipes close, because no
// other process has them; a parent-death signal would already come at the end of a mere thread.
func nativeHost(ctx context.Context, args []string) error {
	if !ourExtension(args) {
		return sentence("native.extension")
	}
	page := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	service, err := dialService(ctx)
	switch {
	case errors.Is(err, ipc.ErrOtherProgram): // one of the two was updated
		return errors.Join(err, bridge.Refuse(page, crs.ErrUnsupportedVersion))
	case err != nil:
		return errors.Join(err, bridge.Refuse(page, crs.ErrInternal))
	}
	defer context.AfterFunc(ctx, func() { service.Close() })()
	return bridge.Relay(page, service)
}

// dialService connects to the service. If none runs it starts one that ends some time after its
// last browser. That is a separate process, because a browser kills its native host two seconds
// after the page was closed, and a card may be comparing a PIN at that moment.
func dialService(ctx context.Context) (net.Conn, error) {
	conn, err := ipc.DialPortal(ctx)
	if !errors.Is(err, ipc.ErrNoService) {
		return conn, err
	}
	if _, _, err := spawnService("--for-browsers", "--log", "warn"); err != nil {
		return nil, err
	}
	// Another native host may have started one too: the lock leaves only one.
	for end := time.Now().Add(startTime); errors.Is(err, ipc.ErrNoService) && time.Now().Before(end); {
		select {
		case <-time.After(2 * time.Millisecond):
			conn, err = ipc.DialPortal(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return conn, err
}
