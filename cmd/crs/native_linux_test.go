package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/screen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// extension is a browser's extension and the native host that its browser started.
type extension struct {
	t     testing.TB
	host  *exec.Cmd
	to    io.WriteCloser
	from  io.Reader
	ended chan error
	err   *screen.Text
}

// startHost starts a native host as Chromium does, unless other arguments are given.
func startHost(t testing.TB, h citizen.Home, args ...string) *extension {
	t.Helper()
	return startHostFile(t, h, "crs", args...)
}

func startHostFile(t testing.TB, h citizen.Home, file string, args ...string) *extension {
	t.Helper()
	if args == nil {
		args = []string{browser.ChromiumExtension}
	}
	e := &extension{t: t, host: exec.Command(file, args...), ended: make(chan error, 1), err: &screen.Text{}}
	e.host.Env = h.Env()
	e.host.Stderr = e.err
	e.host.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err1, err2 error
	e.to, err1 = e.host.StdinPipe()
	out, in, err2 := os.Pipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	e.host.Stdout, e.from = in, out
	if err := e.host.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go func() { e.ended <- e.host.Wait() }()
	t.Cleanup(func() {
		e.to.Close()
		e.host.Process.Kill()
		out.Close()
		if t.Failed() {
			t.Logf("the native host wrote: %s", e.err)
		}
	})
	return e
}

// send sends a message as it is.
func (e *extension) send(message string) {
	e.t.Helper()
	frame := binary.NativeEndian.AppendUint32(nil, uint32(len(message)))
	if _, err := e.to.Write(append(frame, message...)); err != nil {
		e.t.Fatal(err)
	}
}

// read returns the next message, false when there are no more.
func (e *extension) read() (string, bool) {
	e.t.Helper()
	timer := time.AfterFunc(await.Limit, func() { e.host.Process.Kill() })
	defer timer.Stop()
	var header [4]byte
	if _, err := io.ReadFull(e.from, header[:]); err != nil {
		return "", false
	}
	body := make([]byte, binary.NativeEndian.Uint32(header[:]))
	if _, err := io.ReadFull(e.from, body); err != nil {
		e.t.Fatal(err)
	}
	return string(body), true
}

// must reads a message that holds a text.
func (e *extension) must(text string) string {
	e.t.Helper()
	m, ok := e.read()
	if !ok || !strings.Contains(m, text) {
		e.t.Fatalf("answer %q, %v, not %s", m, ok, text)
	}
	return m
}

// ends waits until the native host has ended.
func (e *extension) ends() {
	e.t.Helper()
	select {
	case <-e.ended:
	case <-time.After(await.Limit):
		e.t.Fatal("the native host does not end")
	}
}

func (e *extension) connect(origin string) (allowed bool) {
	e.t.Helper()
	e.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"c","method":"connect","params":{"origin":%q}}`, origin))
	answer := e.must(`{"jsonrpc":"2.0","id":"c","result":{"allowed":`)
	return strings.Contains(answer, "true")
}

const (
	connectRequest = `{"jsonrpc":"2.0","id":"c","method":"connect","params":{"origin":"https://portale.example"}}`
	helloRequest   = `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"crs.js/1.0","protocol":1}}`
	loginRequest   = `{"jsonrpc":"2.0","id":2,"method":"authenticate","params":{"challenge":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OQ==","lang":"it"}}`
)

// TestNativeLogin is a login through the extension of either kind of browser.
func TestNativeLogin(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	known := false
	for name, args := range map[string][]string{
		"chromium":           {browser.ChromiumExtension},
		"chromium, windows":  {browser.ChromiumExtension, "--parent-window=0"},
		"firefox":            {"/usr/lib/mozilla/native-messaging-hosts/it.crs.bridge.json", browser.FirefoxExtension},
		"under its own name": {"native-host", browser.ChromiumExtension},
	} {
		e := startHost(t, h, args...)
		if allowed := e.connect(citizen.Portale); allowed != known {
			t.Errorf("%s: the extension is told that the site is allowed: %v", name, allowed)
		}
		known = true // by the first login
		e.send(helloRequest)
		e.must(`{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`)
		e.send(loginRequest)
		m, _ := e.read()
		if strings.Contains(m, `"consent"`) {
			serve.Answer("s")
			m, _ = e.read()
		}
		if !strings.Contains(m, `"card"`) {
			t.Fatalf("%s: %s", name, m)
		}
		e.must(`"pin"`)
		serve.Answer(citizen.PIN)
		e.must(`"signing"`)
		var reply struct {
			Result struct{ Token json.RawMessage }
		}
		if err := json.Unmarshal([]byte(e.must(`"token"`)), &reply); err != nil || len(reply.Result.Token) < 500 {
			t.Errorf("%s: %v", name, err)
		}
		// A login that is cancelled, and one whose tab is closed.
		e.send(loginRequest)
		e.must(`"card"`)
		e.must(`"pin"`)
		e.send(`{"jsonrpc":"2.0","id":3,"method":"cancel","params":{"id":2}}`)
		both := e.must("") + e.must("")
		if !strings.Contains(both, `"id":3,"result":{}`) || !strings.Contains(both, "user_cancelled") {
			t.Errorf("%s: cancel: %s", name, both)
		}
		e.to.Close()
		e.ends()
	}
}

// TestNativeWithoutService: where no service runs two tabs share one that their native hosts
// started; it has no port, and ends after them.
func TestNativeWithoutService(t *testing.T) {
	h := citizen.NewHome(t)
	one, two := startHost(t, h), startHost(t, h)
	for _, e := range []*extension{one, two} {
		e.connect(citizen.Portale)
		e.send(helloRequest)
		e.must(`"protocol":1`)
	}
	if _, err := tryOpen(t, citizen.Portale); err == nil {
		t.Error("the port is open")
	}
	one.to.Close()
	one.ends()
	two.send(helloRequest)
	two.must(`"protocol":1`)
	two.to.Close()
	two.ends()
	lock := string(h) + "/run/crs/portal.sock"
	await.That(t, "the service ends after its browsers", func() bool {
		_, err := os.Stat(lock)
		return err != nil
	})
}

// TestNativeServiceKilled: a service that is killed in the middle of a login is answered for, and
// the next login finds another one.
func TestNativeServiceKilled(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	e := startHost(t, h)
	e.connect(citizen.Portale)
	e.send(loginRequest)
	e.must(`"consent"`)
	began := time.Now()
	serve.Stop(syscall.SIGKILL)
	e.must(`"internal"`)
	if took := time.Since(began); took > time.Second {
		t.Errorf("noticed after %v", took)
	}
	e.ends()
	h.Serve(t)
	e = startHost(t, h)
	e.connect(citizen.Portale)
}

// TestNativeUnreachable: a native host that cannot reach a service says so, and names its request.
func TestNativeUnreachable(t *testing.T) {
	h := citizen.NewHome(t)
	dir := filepath.Join(string(h), "run", "crs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("portal.sock", filepath.Join(dir, "portal.sock")); err != nil { // to itself
		t.Fatal(err)
	}
	e := startHost(t, h)
	e.send(connectRequest)
	if m := e.must(`"internal"`); !strings.Contains(m, `"id":"c"`) {
		t.Errorf("another request is refused: %s", m)
	}
	e.ends()
}

// TestNativeTerminated: a native host that is asked to end does, and its login with it.
func TestNativeTerminated(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	e := startHost(t, h)
	e.connect(citizen.Portale)
	e.send(loginRequest)
	e.must(`"consent"`)
	e.host.Process.Signal(syscall.SIGTERM)
	e.ends()
	serve.Next("code=gone")
}

// TestNativeFigures logs how long a native host takes from its start to its first answer.
func TestNativeFigures(t *testing.T) {
	h := citizen.NewHome(t)
	h.Serve(t)
	var all []time.Duration
	for range 11 {
		began := time.Now()
		e := startHost(t, h)
		e.connect(citizen.Portale)
		e.send(helloRequest)
		e.must(`"protocol":1`)
		all = append(all, time.Since(began))
		e.to.Close()
		e.ends()
	}
	slices.Sort(all)
	t.Logf("start to hello: median %v, slowest %v", all[5], all[10])
}

// TestT26OtherCaller: no other extension is answered, and no service that is another program is
// spoken with.
func TestT26OtherCaller(t *testing.T) {
	h := citizen.NewHome(t)
	h.Serve(t)
	for _, args := range [][]string{
		{"chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"},
		{"native-host"},
		{"/home/it.crs.bridge.json", "other@example.org"},
	} {
		e := startHost(t, h, args...)
		e.raw(frame(connectRequest))
		if m, ok := e.read(); ok {
			t.Errorf("%q is answered %s", args, m)
		}
		e.to.Close()
		e.ends()
	}
	// The service that runs is another file than the native host, as after an update.
	self, err := exec.LookPath("crs")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	updated := string(h) + "/crs"
	if err := os.WriteFile(updated, b, 0o700); err != nil {
		t.Fatal(err)
	}
	e := startHostFile(t, h, updated)
	e.send(connectRequest)
	e.must(`"unsupported_version"`)
	e.ends()
}
