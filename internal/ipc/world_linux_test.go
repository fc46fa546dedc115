package ipc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/changes"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// TestMain is also another program, for a test: one that attaches, as a tray does or not, a native
// host, or one of another user.
func TestMain(m *testing.M) {
	ctx := context.Background()
	switch os.Getenv("CRS_TEST_CLIENT") {
	case "tray":
		fmt.Println(attach(ctx, nil, func(*Client, Status) {}))
		os.Exit(0)
	case "link":
		l := &Link{Log: slog.New(slog.DiscardHandler)}
		go l.Run(ctx)
		for {
			s, ok, changed := l.Status()
			if ok || s.Version != "" {
				fmt.Println("version", s.Version, ok)
				os.Exit(0)
			}
			<-changed
		}
	case "unasked":
		c, err := Dial(ctx)
		if err == nil {
			err = c.ask(ctx, "ui.attach", attachParams{true}, nil)
		}
		fmt.Println(err)
		os.Exit(0)
	case "native host":
		conn, err := DialPortal(ctx)
		if err == nil {
			_, err = io.Copy(os.Stdout, conn)
		}
		fmt.Println(err)
		os.Exit(0)
	case "another user":
		fmt.Print(askRaw(os.Getenv("CRS_TEST_SOCKET")))
		os.Exit(0)
	}
	os.Exit(ns.World{Tests: ns.WithoutLeaks{Tests: m}, WithoutPcscd: true, Users: true}.Run())
}

// askRaw asks for the status on a socket, and returns the beginning of the answer.
func askRaw(path string) string {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	writeMessage(conn, []byte(`{"id":1,"method":"status"}`))
	conn.SetDeadline(time.Now().Add(await.Limit))
	answer := make([]byte, 64)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}

// service is a service with an owner socket of its own.
type service struct {
	*Server
	t    *testing.T
	log  *lockedBuffer
	stop func()
	care func(ctx context.Context, what string) error

	mu      sync.Mutex
	now     Status
	changed changes.Signal
	sites   map[string]crs.SiteState
	asked   []string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newUser makes this test a user of its own, with a session.
func newUser(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
}

func newService(t *testing.T) *service {
	t.Helper()
	newUser(t)
	return newServiceOf(t)
}

// newServiceOf is a service of the user that this test is already.
func newServiceOf(t *testing.T) *service {
	t.Helper()
	s := &service{t: t, log: &lockedBuffer{}, sites: map[string]crs.SiteState{}}
	s.Server = &Server{
		Status: func() (Status, <-chan struct{}) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.now, s.changed.Next()
		},
		Refresh:    func() { s.note("refresh") },
		Sites:      s,
		ChangePIN:  func(ctx context.Context, reader string) error { return s.cared(ctx, "change:"+reader) },
		UnblockPIN: func(ctx context.Context, reader string) error { return s.cared(ctx, "unblock:"+reader) },
		Log:        slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	s.start()
	return s
}

func (s *service) start() {
	s.t.Helper()
	l, err := Listen()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(ctx, l)
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-served:
		case <-time.After(await.Limit):
			s.t.Error("the owner socket does not end")
		}
	})
	s.t.Cleanup(func() { s.stop() })
}

func (s *service) set(now Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
	s.changed.Announce()
}

func (s *service) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, what)
}

func (s *service) notes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, " ")
}

func (s *service) cared(ctx context.Context, what string) error {
	s.note(what)
	if s.care != nil {
		return s.care(ctx, what)
	}
	return nil
}

func (s *service) List() (list []state.Site, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for origin, now := range s.sites {
		list = append(list, state.Site{Origin: origin, State: now})
	}
	return list, nil
}

func (s *service) Set(origin string, state crs.SiteState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sites[origin] = state
	return nil
}

// hasTray reports whether one is attached.
func (s *service) hasTray() bool {
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	return s.tray != nil
}

// screen answers dialogs at once, or, if it waits, when their context ends.
type screen struct {
	pin  string
	wait bool

	mu    sync.Mutex
	shown []string
}

func (s *screen) show(ctx context.Context, t catalog.Text) error {
	s.note(t.Title)
	if !s.wait {
		return nil
	}
	<-ctx.Done()
	s.note("closed")
	return ctx.Err()
}

func (s *screen) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = append(s.shown, what)
}

func (s *screen) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.shown, " ")
}

func (s *screen) Ask(ctx context.Context, t catalog.Text) (bool, error) { return true, s.show(ctx, t) }

// Choose takes the last row.
func (s *screen) Choose(ctx context.Context, t catalog.Text, rows []string) (int, error) {
	return len(rows) - 1, s.show(ctx, t)
}

func (s *screen) AskPIN(ctx context.Context, t catalog.Text) (*crs.PIN, error) {
	return crs.NewPIN([]byte(s.pin)), s.show(ctx, t)
}

func (s *screen) Tell(ctx context.Context, t catalog.Text) error { return s.show(ctx, t) }

func (s *screen) Wait(ctx context.Context, t catalog.Text) error {
	if err := s.show(ctx, t); err != nil {
		return err
	}
	return crs.ErrCancelled
}

// newTray keeps a tray attached until kill, or until the test ends.
func (s *service) newTray(on dialog.Screen) (l *Link, kill func()) {
	s.t.Helper()
	l = &Link{Screen: on, Log: s.Log}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx)
	}()
	kill = func() {
		cancel()
		<-ended
	}
	s.t.Cleanup(kill)
	await.That(s.t, "the tray is attached", func() bool {
		now, _, _ := l.Status()
		return now.Tray
	})
	return l, kill
}
