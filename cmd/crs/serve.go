package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/cards"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/pcsc"
)

// serve is the service: it watches the readers and answers portals until a signal ends it.
func serve(ctx context.Context, args []string) error {
	o, err := parseServe(args)
	if err != nil {
		return err
	}
	owners := &ipc.Server{Log: o.log}
	screen, err := newScreen(o.ui, owners.Screen)
	if err != nil {
		return usageError{err}
	}
	unlock, err := state.LockService()
	if errors.Is(err, state.ErrServiceRuns) {
		return sentence("serve.running")
	} else if err != nil {
		return err
	}
	defer unlock()
	listener, err := o.open()
	if err != nil {
		return err
	}
	logScreen(o.log, screen)
	if o.developer != 0 {
		o.log.Warn("developer mode: pages of this computer may ask too", "port", o.developer)
	}
	s, err := newService(o, owners, screen)
	if err != nil {
		return err
	}
	return s.run(ctx, listener)
}

// serveOptions are what the user of `crs serve` chose.
type serveOptions struct {
	ui, listen  string
	forBrowsers bool
	developer   int
	log         *slog.Logger
}

func parseServe(args []string) (o serveOptions, err error) {
	f := flags("serve")
	f.StringVar(&o.ui, "ui", "auto", catalog.Say("flag.ui"))
	f.StringVar(&o.listen, "listen", "", catalog.Say("flag.listen"))
	level := f.String("log", "info", catalog.Say("flag.log"))
	f.BoolVar(&o.forBrowsers, "for-browsers", false, catalog.Say("flag.forbrowsers"))
	f.IntVar(&o.developer, "developer", 0, catalog.Say("flag.developer"))
	if _, err := parse(f, args, 0, 0); err != nil {
		return o, err
	}
	if o.log, err = newLog(*level); err != nil {
		return o, usageError{err}
	}
	if o.developer < 0 || o.developer > 65535 {
		return o, usagef("--developer %d: %s", o.developer, catalog.Say("cli.port"))
	}
	return o, nil
}

// open opens the port for pages. If none is free that is no error, unless one was asked for: the
// icon, the PIN menu and the extension need none. The listener is then nil.
func (o serveOptions) open() (*bridge.Listener, error) {
	if o.forBrowsers {
		return &bridge.Listener{}, nil
	}
	l, err := bridge.Listen(o.listen)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, bridge.ErrAddress):
		return nil, usageError{err}
	case o.listen != "":
		return nil, sentence("serve.port", "detail", err.Error())
	}
	o.log.Warn("no page can connect without the extension", "reason", err)
	return nil, nil
}

// service is the parts of `crs serve`. Each may fail without the others.
type service struct {
	serveOptions
	bridge *bridge.Server
	owners *ipc.Server
	driver *pcsc.Driver
	cards  *cards.Cards
	watch  func(context.Context) // follows readers and tokens

	mu      sync.Mutex
	address string   // where pages connect, "" for nowhere
	without []string // what cannot be used: ipc.Status
}

func newService(o serveOptions, owners *ipc.Server, screen dialog.Screen) (*service, error) {
	driver, err := newDriver(o.log)
	if err != nil {
		return nil, err
	}
	stateDir, err := state.Dir()
	if err != nil {
		return nil, err
	}
	s := &service{serveOptions: o, owners: owners, driver: driver}
	s.cards, s.watch = joinCards(driver, o.log)
	driver.Tries.Changed = s.cards.Announce
	kept := &state.Sites{Dir: stateDir}
	s.bridge = &bridge.Server{
		Cards:      s.cards,
		Screen:     screen,
		Sites:      &keptSites{kept: kept},
		Developer:  o.developer,
		AppVersion: appVersion(),
		Log:        o.log,
	}
	owners.Refresh = func() {
		loadLanguage(o.log)
		s.cards.Announce()
	}
	owners.Sites = kept
	owners.ChangePIN, owners.UnblockPIN = s.bridge.ChangePIN, s.bridge.UnblockPIN
	return s, nil
}

// run runs the parts until ctx ends, and returns when all of them have ended.
func (s *service) run(ctx context.Context, listener *bridge.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.driver.GiveUp = func() { // its supervisor starts the service anew
		stop(errStuck)
		// Another reader may have just been sent a PIN, or its user may be typing one on it. The
		// answer comes within 100 s, and the user still sees it.
		time.AfterFunc(105*time.Second, func() { os.Exit(1) })
	}
	s.owners.Status = func() (ipc.Status, <-chan struct{}) { return s.status(ctx) }
	answer := s.bridge.ServeNative
	if s.forBrowsers {
		answer = whileUsed(answer, func() { stop(nil) })
	}
	var parts sync.WaitGroup
	parts.Go(func() { s.watch(ctx) })
	parts.Go(func() { s.servePages(ctx, listener) })
	if err := serveOwner(ctx, &parts, s.owners); err != nil { // doctor recognises this by the lock
		s.log.Warn("no tray can attach", "reason", err)
	}
	err := serveBrowsers(ctx, &parts, answer, s.log)
	switch {
	case err == nil:
	case s.forBrowsers:
		stop(err)
	default:
		s.log.Warn("no browser extension can connect", "reason", err)
		s.lack(ipc.WithoutBrowsers)
		err = nil
	}
	parts.Wait()
	s.log.Info("stopped")
	if cause := context.Cause(ctx); errors.Is(cause, errStuck) {
		return sentence("serve.stuck")
	}
	return err
}

// portRetry is how long to wait before looking again for a free port.
var portRetry = 30 * time.Second

// servePages answers pages until ctx ends. Where all ports are taken, as by the services of other
// users of a terminal server, it takes the first that becomes free.
func (s *service) servePages(ctx context.Context, l *bridge.Listener) {
	if l == nil {
		s.lack(ipc.WithoutPort)
	}
	for l == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(portRetry):
		}
		l, _ = bridge.Listen("") // the failure was logged
	}
	s.mu.Lock()
	s.address = l.Addr()
	s.without = slices.DeleteFunc(s.without, func(what string) bool { return what == ipc.WithoutPort })
	s.mu.Unlock()
	s.cards.Announce()
	s.log.Info("listening", "address", l.Addr(), "version", versionString()) // "" for browsers
	s.bridge.Serve(ctx, l)
}

// lack notes a part that cannot be used.
func (s *service) lack(what string) {
	s.mu.Lock()
	s.without = append(s.without, what)
	s.mu.Unlock()
	s.cards.Announce()
}

func (s *service) status(ctx context.Context) (ipc.Status, <-chan struct{}) {
	readers, changed := s.cards.Seen() // first, so that changes meanwhile are announced
	s.mu.Lock()
	defer s.mu.Unlock()
	return ipc.Status{Version: versionString(), Address: s.address, Without: append([]string(nil), s.without...), Readers: ipc.Readers(ctx, readers)}, changed
}

// serveOwner answers the tray and the command line until ctx ends.
func serveOwner(ctx context.Context, parts *sync.WaitGroup, s *ipc.Server) error {
	l, err := ipc.Listen()
	if err != nil {
		return err
	}
	parts.Go(func() { s.Serve(ctx, l) })
	return nil
}

// serveBrowsers answers the browsers' native hosts until ctx ends.
func serveBrowsers(ctx context.Context, parts *sync.WaitGroup, serve serveNative, log *slog.Logger) error {
	l, err := ipc.ListenPortal()
	if err != nil {
		return err
	}
	parts.Go(func() { ipc.ServePortal(ctx, l, log, serve) })
	return nil
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

var errStuck = errors.New("too many calls to readers never returned")

// newDriver returns a driver that keeps retry counters where all of this user's programs keep them.
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
