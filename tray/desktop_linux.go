package tray

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// hostTime is how long a session's panel may take to start after the login.
var hostTime = 5 * time.Second

// Icons returns nil when the desktop shows icons, else ErrNoBus or ErrNoHost.
func Icons() error {
	d, err := connect()
	if err != nil {
		return err
	}
	defer d.close()
	return d.hasHost()
}

// desktop is the session bus: notifications, and whether anything shows icons.
type desktop struct {
	bus *dbus.Conn

	mu   sync.Mutex
	last uint32 // the notification that the next one replaces
}

// openDesktop returns nil, and no error, when there can be windows but no icon.
func openDesktop(ctx context.Context) (*desktop, error) {
	switch err := (dialog.Windows{}).Usable(); {
	case errors.Is(err, dialog.ErrNoDisplay):
		return nil, errors.New(catalog.Say("tray.nodisplay"))
	case err != nil: // the state can still be shown
		fmt.Fprintln(os.Stderr, "crs:", catalog.Say("tray.nozenity"))
	}
	d, err := connect()
	if err != nil {
		fmt.Fprintln(os.Stderr, "crs:", catalog.Say("tray.nobus"))
		return nil, nil
	}
	late := time.AfterFunc(hostTime, func() {
		if d.hasHost() != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "crs:", catalog.Say("tray.nohost"))
		}
	})
	context.AfterFunc(ctx, func() { late.Stop() })
	return d, nil
}

// connect never starts a bus, as the library would on its own: no panel would be on it.
func connect() (*desktop, error) {
	bus, err := dbus.SessionBusPrivateNoAutoStartup()
	if err == nil {
		if err = bus.Auth(nil); err == nil {
			err = bus.Hello()
		}
		if err != nil {
			bus.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNoBus, err)
	}
	return &desktop{bus: bus}, nil
}

func (d *desktop) close() { d.bus.Close() }

func (d *desktop) hasHost() error {
	const watcher = "org.kde.StatusNotifierWatcher"
	ctx, cancel := context.WithTimeout(context.Background(), hostTime)
	defer cancel()
	var there dbus.Variant
	err := d.bus.Object(watcher, "/StatusNotifierWatcher").CallWithContext(ctx,
		"org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, watcher, "IsStatusNotifierHostRegistered").Store(&there)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrNoHost, err)
	}
	if there.Value() != true {
		return ErrNoHost
	}
	return nil
}

// notify shows a notification in place of the last one.
func (d *desktop) notify(title, text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := d.bus.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications")
	var can []string
	if err := server.CallWithContext(ctx, "org.freedesktop.Notifications.GetCapabilities", 0).Store(&can); err != nil {
		return err
	}
	if slices.Contains(can, "body-markup") {
		text = html.EscapeString(text)
	}
	return server.CallWithContext(ctx, "org.freedesktop.Notifications.Notify", 0,
		name, d.last, "", title, text, []string{}, map[string]dbus.Variant{}, int32(-1)).Store(&d.last)
}
