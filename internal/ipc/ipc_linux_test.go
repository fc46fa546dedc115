package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// Without a service there is one answer, and a program that asks gets what it asks for.
func TestClient(t *testing.T) {
	newUser(t)
	if _, err := Dial(t.Context()); !errors.Is(err, ErrNoService) {
		t.Fatalf("without a service: %v", err)
	}
	s := newService(t)
	want := Status{Version: "1", Address: "127.0.0.1:27770", Readers: []Reader{
		{Name: "a", Card: &Card{Kind: "CNS", Holder: "ADA ESEMPIO", Tries: -1, Blocked: true, CanChange: true, CanUnblock: true}},
		{Name: "b", Problem: "mute"},
	}}
	s.set(want)
	c, err := Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Status(t.Context())
	if err != nil || len(got.Readers) != 2 || *got.Readers[0].Card != *want.Readers[0].Card ||
		got.Address != want.Address || got.Readers[1] != want.Readers[1] || got.Tray {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Refresh(t.Context()); err != nil || s.notes() != "refresh" {
		t.Errorf("refresh: %v, %s", err, s.notes())
	}
	if err := c.SetSite(t.Context(), "https://portale.example", crs.SiteBlocked); err != nil {
		t.Error(err)
	}
	sites, err := c.Sites(t.Context())
	if err != nil || !slices.Equal(sites, []state.Site{{Origin: "https://portale.example", State: crs.SiteBlocked}}) {
		t.Errorf("%v, %v", sites, err)
	}
	// A socket that a killed service left behind is nobody's.
	s.stop()
	path, err := socketPath(ownerSocket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context()); !errors.Is(err, ErrNoService) {
		t.Errorf("with a socket that nobody listens on: %v", err)
	}
	s.start()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("on a connection of the service before: %v", err)
	}
}

// Each dialog of the service is shown by the tray, and its answer comes back.
func TestDialogs(t *testing.T) {
	s := newService(t)
	on := &screen{pin: "13579"}
	s.newTray(on)
	remote, ctx := s.Screen(), t.Context()
	if yes, err := remote.Ask(ctx, catalog.Text{Title: "ask"}); !yes || err != nil {
		t.Errorf("Ask = %v, %v", yes, err)
	}
	if i, err := remote.Choose(ctx, catalog.Text{Title: "choose"}, []string{"a", "b", "c"}); i != 2 || err != nil {
		t.Errorf("Choose = %v, %v", i, err)
	}
	if _, err := remote.Choose(ctx, catalog.Text{Title: "none"}, nil); err == nil {
		t.Error("a row was chosen of none")
	}
	pin, err := remote.AskPIN(ctx, catalog.Text{Title: "pin"})
	if err != nil {
		t.Fatal(err)
	}
	if digits, err := pin.Spend(); string(digits) != "13579" || err != nil {
		t.Errorf("AskPIN = %q, %v", digits, err)
	}
	on.pin = ""
	if pin, err = remote.AskPIN(ctx, catalog.Text{Title: "empty"}); err != nil || pin.Len() != 0 {
		t.Errorf("an empty PIN: %v, %v", pin, err)
	}
	if err := remote.Tell(ctx, catalog.Text{Title: "tell"}); err != nil {
		t.Error(err)
	}
	if err := remote.Wait(ctx, catalog.Text{Title: "wait"}); !errors.Is(err, crs.ErrCancelled) {
		t.Errorf("Wait = %v", err)
	}
	if got := on.log(); got != "ask choose none pin empty tell wait" {
		t.Errorf("shown: %s", got)
	}
	if strings.Contains(s.log.String(), "13579") {
		t.Error("the PIN is in the log")
	}
}

// A tray without a display is attached, and no dialog goes there.
func TestTrayWithoutDialogs(t *testing.T) {
	s := newService(t)
	s.newTray(nil)
	if s.Screen() != nil {
		t.Error("dialogs go to a tray that has no screen")
	}
}

// A dialog whose context ends closes on the tray before the next can open, and a PIN that was
// typed afterwards goes nowhere.
func TestDialogIsCancelled(t *testing.T) {
	s := newService(t)
	for _, show := range []func(context.Context) error{
		func(ctx context.Context) error { return s.Screen().Wait(ctx, catalog.Text{Title: "wait"}) },
		func(ctx context.Context) error {
			_, err := s.Screen().AskPIN(ctx, catalog.Text{Title: "pin"})
			return err
		},
	} {
		on := &screen{wait: true, pin: "13579"}
		_, kill := s.newTray(on)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- show(ctx) }()
		await.That(t, "the dialog is shown", func() bool { return on.log() != "" })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the dialog ended with %v", err)
		}
		if !strings.HasSuffix(on.log(), "closed") {
			t.Errorf("shown: %s", on.log())
		}
		kill()
		await.That(t, "the tray is gone", func() bool { return !s.hasTray() })
	}
}

// A tray that goes while a dialog is open closed it; a service that goes closes it.
func TestTrayAndServiceComeAndGo(t *testing.T) {
	s := newService(t)
	on := &screen{wait: true}
	_, kill := s.newTray(on)
	asked := make(chan error)
	ask := func(on *screen) {
		go func() {
			_, err := s.Screen().AskPIN(t.Context(), catalog.Text{Title: "pin"})
			asked <- err
		}()
		await.That(t, "the dialog is shown", func() bool { return on.log() != "" })
	}
	ask(on)
	kill()
	if err := <-asked; !errors.Is(err, crs.ErrCancelled) {
		t.Errorf("the tray went: %v", err)
	}
	await.That(t, "detached", func() bool { return s.Screen() == nil })

	on = &screen{wait: true}
	l, _ := s.newTray(on)
	ask(on)
	s.stop()
	<-asked
	await.That(t, "the dialog is closed", func() bool { return strings.HasSuffix(on.log(), "closed") })
	await.That(t, "the tray knows", func() bool { _, ok, _ := l.Status(); return !ok })
	if err := l.ChangePIN(t.Context(), "reader"); !errors.Is(err, ErrNoService) {
		t.Errorf("without a service: %v", err)
	}
	s.start()
	await.That(t, "attached again", func() bool { _, ok, _ := l.Status(); return ok })
}

// TestOtherSession: a program of the same user finds the service with any environment variables,
// and a tray that waits notices one that starts in another session.
func TestOtherSession(t *testing.T) {
	newUser(t)
	session, other := os.Getenv("XDG_RUNTIME_DIR"), t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", other)
	unlockTray, err := state.LockTray()
	if err != nil {
		t.Fatal(err)
	}
	defer unlockTray()
	made, err := appears(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", session)
	unlock, err := state.LockService() // as a service does, which says there where it is
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	<-made
	s := newServiceOf(t)
	for name, dir := range map[string]string{"cron": "", "a confined browser": other, "its own": session} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_RUNTIME_DIR", dir)
			c, err := Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Setenv("XDG_RUNTIME_DIR", other)
	s.newTray(&screen{})
}

// The tray hears of a change, and asks for PIN care.
func TestLink(t *testing.T) {
	s := newService(t)
	l, _ := s.newTray(&screen{})
	_, _, changed := l.Status()
	s.set(Status{Address: "127.0.0.1:27771"})
	<-changed
	if now, ok, _ := l.Status(); !ok || now.Address != "127.0.0.1:27771" {
		t.Errorf("%+v, %v", now, ok)
	}
	s.care = func(ctx context.Context, what string) error {
		if strings.HasPrefix(what, "unblock") {
			return crs.ErrBusy
		}
		return nil
	}
	if err := l.ChangePIN(t.Context(), "a reader"); err != nil {
		t.Error(err)
	}
	if err := l.UnblockPIN(t.Context(), "another"); crs.CodeOf(err) != crs.ErrBusy {
		t.Errorf("busy: %v", err)
	}
	if got := s.notes(); got != "change:a reader unblock:another" {
		t.Errorf("asked: %s", got)
	}
}

// A client that has not attached manages no PIN, and nobody attaches while a tray is attached.
func TestOwnerMethods(t *testing.T) {
	s := newService(t)
	s.newTray(&screen{})
	c, err := Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for method, want := range map[string]crs.Code{
		"pin.change": crs.ErrOriginDenied, "pin.unblock": crs.ErrOriginDenied, "ui.attach": crs.ErrBusy,
		"authenticate": crs.ErrInvalidRequest, "dialog.pin": crs.ErrInvalidRequest,
	} {
		t.Run(method, func(t *testing.T) {
			if err := c.ask(t.Context(), method, nil, nil); crs.CodeOf(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
	if err := c.ask(t.Context(), "status", state.Site{Origin: "x"}, nil); crs.CodeOf(err) != crs.ErrInvalidRequest {
		t.Errorf("unknown parameters: %v", err)
	}
	if s.notes() != "" {
		t.Errorf("asked: %s", s.notes())
	}
}

// otherProgram returns a copy of this program, which is another file, and so another program.
func otherProgram(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copied")
	if err := os.WriteFile(copied, self, 0o700); err != nil {
		t.Fatal(err)
	}
	return copied
}

// An error may hold a path, which need not be UTF-8, and is still reported.
func TestErrorThatIsNoUTF8(t *testing.T) {
	s := newService(t)
	l, _ := s.newTray(&screen{})
	s.care = func(context.Context, string) error {
		return &os.PathError{Op: "open", Path: "/home/niccol\xf2/.local", Err: os.ErrPermission}
	}
	err := l.ChangePIN(t.Context(), "reader")
	if err == nil || err.Error() != "open /home/niccolò/.local: permission denied" {
		t.Errorf("%v", err)
	}
}

// A later version may say more about itself, and is still understood.
func TestStatusOfALaterVersion(t *testing.T) {
	newUser(t)
	l, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		newConn(conn, func(context.Context, string, jsontext.Value) (any, error) {
			return jsontext.Value(`{"version":"9","address":"","tray":false,"readers":[{"name":"a","weight":1}],"mood":"good"}`), nil
		}).run(t.Context())
	}()
	c, err := Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Status(t.Context())
	if err != nil || s.Version != "9" || len(s.Readers) != 1 || s.Readers[0].Name != "a" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Another program is no tray.
func TestOnlyThisProgramAttaches(t *testing.T) {
	s := newService(t)
	s.set(Status{Version: "1.2.3"})
	copied := otherProgram(t)
	for _, test := range []struct{ program, how, want string }{
		{copied, "tray", ErrOtherProgram.Error()},    // the tray finds that the service is another program
		{copied, "unasked", ErrOtherProgram.Error()}, // and the service that the tray is
		{copied, "link", "version 1.2.3 false"},      // whose user is told the version
		{"/proc/self/exe", "tray", ""},
	} {
		t.Run(test.program, func(t *testing.T) {
			cmd := exec.Command(test.program)
			cmd.Env = append(os.Environ(), "CRS_TEST_CLIENT="+test.how)
			out := &lockedBuffer{}
			cmd.Stdout = out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				await.That(t, "it is attached", s.hasTray)
				cmd.Process.Kill()
			}
			cmd.Wait()
			if got := strings.TrimSpace(out.String()); got != test.want {
				t.Errorf("%s, %s: %q, want %q", test.program, test.how, got, test.want)
			}
		})
	}
	if !strings.Contains(s.log.String(), "tray refused") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
}

// On any input the connection ends and the service goes on.
func TestMalformedFrames(t *testing.T) {
	s := newService(t)
	path, err := socketPath(ownerSocket)
	if err != nil {
		t.Fatal(err)
	}
	frame := func(kind byte, n uint32, body string) string {
		return string(binary.BigEndian.AppendUint32([]byte{kind}, n)) + body
	}
	whole := func(body string) string { return frame('m', uint32(len(body)), body) }
	open := func(sent string) *net.UnixConn {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(await.Limit))
		io.WriteString(conn, sent)
		return conn.(*net.UnixConn)
	}
	for name, sent := range map[string]string{
		"kind":          frame('x', 2, "{}"),
		"4 GiB":         frame('m', 0xFFFFFFFF, "{}"),
		"PIN too short": frame('p', 7, "1234567"),
		"PIN too long":  frame('p', 8+257, strings.Repeat("1", 265)),
		"truncated":     frame('m', 10, "{"),
		"no JSON":       whole("{"),
		"unknown field": whole(`{"id":1,"method":"status","more":1}`),
		"twice":         whole(`{"id":1,"id":2,"method":"status"}`),
		"array":         whole(`[{"id":1,"method":"status"}]`),
		"notification":  whole(`{"method":"status"}`),
		"id in use":     whole(`{"id":1,"method":"ui.watch"}`) + whole(`{"id":1,"method":"status"}`),
	} {
		t.Run(name, func(t *testing.T) {
			conn := open(sent)
			if name == "truncated" {
				conn.CloseWrite()
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays")
			}
		})
	}
	// A PIN for a request that nobody made, and an answer to one, are dropped.
	conn := open(frame('p', 13, "\x00\x00\x00\x00\x00\x00\x00\x0713579") + whole(`{"id":9,"result":{}}`) + whole(`{"id":1,"method":"status"}`))
	b, _, _, err := readFrame(conn)
	if err != nil || !strings.Contains(string(b), `"id":1`) {
		t.Errorf("%s, %v", b, err)
	}
	// One client cannot take all the service's time.
	var flood strings.Builder
	for i := range 100 {
		flood.WriteString(whole(fmt.Sprintf(`{"id":%d,"method":"ui.watch"}`, i+1)))
	}
	if _, err := io.Copy(io.Discard, open(flood.String())); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("100 requests at a time")
	}
	if strings.Contains(s.log.String(), "13579") {
		t.Error("the PIN is in the log")
	}
}

// openToAll checks that a socket is the user's alone, and lets everybody at it.
func openToAll(t *testing.T, path string) {
	t.Helper()
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%v, %v, want %v", info.Mode(), err, want)
		}
	}
	opened := os.Chmod(path, 0o666)
	for dir := filepath.Dir(path); dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		opened = errors.Join(opened, os.Chmod(dir, 0o711))
	}
	if opened != nil {
		t.Fatal(opened)
	}
}

// asUser returns what the socket answers to a program of this user.
func asUser(t *testing.T, uid uint32, path string) ([]byte, error) {
	t.Helper()
	ns.NeedUsers(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "CRS_TEST_CLIENT=another user", "CRS_TEST_SOCKET="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd.CombinedOutput()
}

// TestT08OwnerSocket: the socket belongs to the user alone, and even if it did not, another user
// would learn nothing.
func TestT08OwnerSocket(t *testing.T) {
	s := newService(t)
	path, err := socketPath(ownerSocket)
	if err != nil {
		t.Fatal(err)
	}
	openToAll(t, path)
	for uid, want := range map[uint32]string{uint32(os.Getuid()): `"id":1`, 1234: ""} {
		out, err := asUser(t, uid, path)
		if err != nil || !strings.Contains(string(out), want) || want == "" && len(out) != 0 {
			t.Errorf("user %d: %q, %v", uid, out, err)
		}
	}
	if !strings.Contains(s.log.String(), "the peer belongs to user 1234") {
		t.Errorf("refused for another reason:\n%s", s.log)
	}
}

// FuzzFrame: what is read and written again is the same, and with an error there is nothing else.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("m\x00\x00\x00\x02{}"))
	f.Add([]byte("p\x00\x00\x00\x0d\x00\x00\x00\x00\x00\x00\x00\x0113579"))
	f.Add([]byte("p\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte("m\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		message, id, pin, err := readFrame(r)
		if err != nil {
			if pin != nil || id != 0 {
				t.Errorf("%d, %v and %v", id, pin, err)
			}
			return
		}
		var again bytes.Buffer
		if pin != nil {
			err = writePIN(&again, id, pin)
		} else {
			err = writeMessage(&again, message)
		}
		if read := b[:len(b)-r.Len()]; err != nil || !bytes.Equal(again.Bytes(), read) {
			t.Errorf("%x, %v, was %x", again.Bytes(), err, read)
		}
	})
}

// What older trays and scripts know by a word keeps it, and every error of a reader has one.
func TestProblem(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{crs.ErrNoService, "no_service"}, {crs.ErrCardMute, "mute"}, {crs.ErrNoCNS, "not_cns"},
		{crs.ErrCardInUse, "in_use"}, {crs.ErrCardStuck, "stuck"}, {crs.ErrCardRemoved, "removed"},
		{crs.ErrCardReset, "reset"}, {crs.ErrPINUnusable, "pin_unusable"},
		{crs.ErrCardUnusable, "card_unusable"}, {crs.ErrCard, "card_error"},
		{crs.ErrModule, "module"},
		{fmt.Errorf("connect: %w (80100009)", crs.ErrCardRemoved), "removed"},
		{crs.ErrPINSpent, "card_error"}, {context.Canceled, "card_error"}, {errors.New("?"), "card_error"},
	} {
		t.Run(fmt.Sprint(test.err), func(t *testing.T) {
			if got := Problem(test.err); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
