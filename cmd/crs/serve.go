package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/pcsc"
)

// serve is the service: it watches the readers and answers portals until it is told to end.
func serve(ctx context.Context, args []string) error {
	f := flags("serve")
	uiMode := f.String("ui", "auto", catalog.Say("flag.ui"))
	listen := f.String("listen", "", catalog.Say("flag.listen"))
	level := f.String("log", "info", catalog.Say("flag.log"))
	forBrowsers := f.Bool("for-browsers", false, catalog.Say("flag.forbrowsers"))
	developer := f.Int("developer", 0, catalog.Say("flag.developer"))
	if _, err := parse(f, args, 0, 0); err != nil {
		return err
	}
	log, err := newLog(*level)
	if err != nil {
		return usageError{err}
	}
	if *developer < 0 || *developer > 65535 {
		return usagef("--developer %d: %s", *developer, catalog.Say("cli.port"))
	}
	owners := &ipc.Server{Log: log}
	ui, err := newUI(*uiMode, owners.Screen)
	if err != nil {
		return usageError{err}
	}
	unlock, err := state.LockService()
	if errors.Is(err, state.ErrServiceRuns) {
		return told("serve.running")
	} else if err != nil {
		return err
	}
	defer unlock()
	driver, err := newDriver(log)
	if err != nil {
		return err
	}
	stateDir, err := state.Dir()
	if err != nil {
		return err
	}
	listener := &bridge.Listener{}
	if !*forBrowsers {
		listener, err = bridge.Listen(*listen)
	}
	if errors.Is(err, bridge.ErrAddress) {
		return usageError{err}
	} else if err != nil {
		return told("serve.port", "detail", err.Error())
	}
	log.Info("listening", "address", listener.Addr(), "version", versionString()) // "" for browsers
	logScreen(log, ui)
	if *developer != 0 {
		log.Warn("developer mode: pages of this computer may ask too", "port", *developer)
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	driver.GiveUp = func() { // whoever supervises this service starts it anew
		stop(errStuck)
		// Another reader may have been sent a PIN just now, or its user may be typing one on it. The
		// answer has 100 s to come at most, and the user is told it.
		time.AfterFunc(105*time.Second, func() { os.Exit(1) })
	}
	cards, watch := joinCards(driver, log)
	driver.Tries.Changed = cards.Announce
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(ctx)
	}()
	kept := &state.Sites{Dir: stateDir}
	server := &bridge.Server{
		Cards:      cards,
		UI:         ui,
		Sites:      &keptSites{kept: kept},
		Developer:  *developer,
		AppVersion: appVersion(),
		Log:        log,
	}
	owners.Status = func() (ipc.Status, <-chan struct{}) {
		readers, changed := cards.Seen()
		return ipc.Status{Version: versionString(), Address: listener.Addr(), Readers: ipc.Readers(ctx, readers)}, changed
	}
	owners.Refresh = func() {
		loadLanguage(log)
		cards.Announce()
	}
	owners.Sites = ownerSites{kept}
	owners.ChangePIN, owners.UnblockPIN = server.ChangePIN, server.UnblockPIN
	owned := serveOwner(ctx, owners, log)
	answer := server.ServeNative
	if *forBrowsers {
		answer = whileUsed(answer, func() { stop(nil) })
	}
	browsers := serveBrowsers(ctx, answer, log)
	server.Serve(ctx, listener)
	if *forBrowsers {
		<-browsers
	}
	stop(nil)
	<-watched
	<-owned
	<-browsers
	log.Info("stopped")
	if cause := context.Cause(ctx); errors.Is(cause, errStuck) {
		return told("serve.stuck")
	}
	return nil
}

// serveOwner answers the tray and the command line until ctx ends, and closes the channel then.
func serveOwner(ctx context.Context, s *ipc.Server, log *slog.Logger) <-chan struct{} {
	return serveOn(ipc.Listen, "no tray can attach", log, func(l net.Listener) { s.Serve(ctx, l) })
}

// serveBrowsers answers the browsers' native hosts until ctx ends, and closes the channel then.
func serveBrowsers(ctx context.Context, serve serveNative, log *slog.Logger) <-chan struct{} {
	return serveOn(ipc.ListenPortal, "no browser extension can connect", log, func(l net.Listener) { ipc.ServePortal(ctx, l, log, serve) })
}

// serveOn serves a socket and closes the channel when that ended. The service works without it.
func serveOn(listen func() (net.Listener, error), without string, log *slog.Logger, serve func(net.Listener)) <-chan struct{} {
	ended := make(chan struct{})
	l, err := listen()
	if err != nil {
		log.Warn(without, "reason", err)
		close(ended)
		return ended
	}
	go func() {
		defer close(ended)
		serve(l)
	}()
	return ended
}

type serveNative = func(ctx context.Context, conn net.Conn, program func() string)

// unusedTime is how long a service for browsers alone waits for the next one.
const unusedTime = 5 * time.Second

// whileUsed calls unused when no browser was connected for some time.
func whileUsed(serve serveNative, unused func()) serveNative {
	var mu sync.Mutex
	connected := 0
	end := time.AfterFunc(unusedTime, unused)
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		if connected += n; connected == 0 {
			end.Reset(unusedTime)
		} else {
			end.Stop()
		}
	}
	return func(ctx context.Context, conn net.Conn, program func() string) {
		count(1)
		defer count(-1)
		serve(ctx, conn, program)
	}
}

// ownerSites is the user's list of sites as the tray sees it.
type ownerSites struct{ kept *state.Sites }

func (s ownerSites) List() ([]ipc.Site, error) {
	list, err := s.kept.List()
	sites := make([]ipc.Site, len(list))
	for i, one := range list {
		sites[i] = ipc.Site{Origin: one.Origin.String(), State: one.State}
	}
	return sites, err
}

// Set undoes an earlier decision first: a site that was blocked is not allowed by a login, but it
// is by its owner.
func (s ownerSites) Set(name string, state crs.SiteState) error {
	o, err := crs.ParseOrigin(name)
	if err != nil {
		if o, err = listedSite(s.kept, name, err); err != nil {
			return err
		}
	}
	switch state {
	case crs.SiteUnknown:
		return s.kept.Forget(o)
	case crs.SiteBlocked:
		return s.kept.Block(o)
	case crs.SiteAllowed:
		if err := s.kept.Forget(o); err != nil {
			return err
		}
		return s.kept.Allow(o)
	}
	return crs.ErrInvalidRequest
}

var errStuck = errors.New("too many calls to readers never returned")

// newDriver returns a driver that keeps retry counters where all programs of this user do.
func newDriver(log *slog.Logger) (*pcsc.Driver, error) {
	dir, err := state.Dir()
	if err != nil {
		return nil, err
	}
	book := &tries.Book{Store: &state.Tries{Dir: dir}, Log: log}
	return &pcsc.Driver{Tries: book, Log: log, Language: catalog.Language}, nil
}

func newLog(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, errors.New("--log " + level + ": debug, info, warn, error")
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
