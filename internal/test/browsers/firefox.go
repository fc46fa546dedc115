//go:build linux

package browsers

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// Firefox is a tab of a Firefox.
type Firefox struct {
	*marionette
	handle string
}

// StartFirefox starts a Firefox that ends with the test.
func StartFirefox(t testing.TB, o Options) *Firefox {
	t.Helper()
	ns.NeedProgram(t, "firefox-esr")
	profile := t.TempDir()
	user := fmt.Sprintf(`user_pref("marionette.port", 0);
user_pref("network.dns.localDomains", %q);
user_pref("network.lna.address_space.public.override", %q);
user_pref("intl.locale.requested", %q);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.startup.page", 0);
%s`, strings.Join(o.Hosts, ","), strings.Join(o.Public, ","), o.Language, o.Prefs)
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(user), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-no-remote", "-profile", profile, "-marionette", "-remote-allow-system-access"}
	if !o.Screen {
		args = append(args, "--headless")
	}
	cmd := exec.Command("firefox-esr", args...)
	cmd.Env = append(o.Env, "MOZ_CRASHREPORTER_DISABLE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &marionette{t: t}
	t.Cleanup(func() {
		if m.conn != nil {
			m.conn.Close()
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // to quit takes it seconds
		cmd.Wait()
	})
	m.connect(filepath.Join(profile, "MarionetteActivePort"))
	m.call("WebDriver:NewSession", map[string]any{"acceptInsecureCerts": true}, nil)
	if o.Extension != "" {
		m.call("Addon:Install", map[string]any{"path": o.Extension, "temporary": true}, nil)
	}
	m.call("WebDriver:GetWindowHandle", map[string]any{}, &value{&m.current})
	return &Firefox{m, m.current}
}

// do is a command for this tab, which need not be in front.
func (f *Firefox) do(command string, params map[string]any, result any) {
	f.t.Helper()
	if f.current != f.handle {
		f.call("WebDriver:SwitchToWindow", map[string]any{"handle": f.handle, "focus": false}, nil)
		f.current = f.handle
	}
	f.call(command, params, result)
}

func (f *Firefox) Open(url string) {
	f.t.Helper()
	f.do("WebDriver:Navigate", map[string]any{"url": url}, nil)
}

func (f *Firefox) Back() {
	f.t.Helper()
	f.do("WebDriver:Back", map[string]any{}, nil)
}

func (f *Firefox) Press(selector string) {
	f.t.Helper()
	var found map[string]string
	f.do("WebDriver:FindElement", map[string]any{"using": "css selector", "value": selector}, &value{&found})
	for _, id := range found {
		f.do("WebDriver:ElementClick", map[string]any{"id": id}, nil)
	}
}

// keys are those that WebDriver has numbers of its own for.
var keys = strings.NewReplacer("\t", "\uE004", "\r", "\uE006")

func (f *Firefox) Type(text string) {
	f.t.Helper()
	var strokes []map[string]any
	for _, key := range keys.Replace(text) {
		for _, way := range []string{"keyDown", "keyUp"} {
			strokes = append(strokes, map[string]any{"type": way, "value": string(key)})
		}
	}
	f.do("WebDriver:PerformActions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keyboard", "actions": strokes}}}, nil)
}

func (f *Firefox) PressInFrame() {
	f.t.Helper()
	f.do("WebDriver:SwitchToFrame", map[string]any{"id": 0}, nil)
	f.Press("button")
	f.do("WebDriver:SwitchToFrame", map[string]any{"id": nil}, nil)
}

func (f *Firefox) Run(script string) (s string) {
	f.t.Helper()
	f.do("WebDriver:ExecuteScript", map[string]any{"script": "return (async () => {" + script + "})()", "args": []any{}}, &value{&s})
	return s
}

// RunInside is Run for a script of the browser itself, which sees all that the citizen sees of it.
func (f *Firefox) RunInside(script string) string {
	f.t.Helper()
	f.do("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
	defer f.do("Marionette:SetContext", map[string]any{"value": "content"}, nil)
	return f.Run(script)
}

func (f *Firefox) Picture() []byte {
	f.t.Helper()
	var text string
	f.do("WebDriver:TakeScreenshot", map[string]any{"full": true, "hash": false}, &value{&text})
	png, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		f.t.Fatal(err)
	}
	return png
}

func (f *Firefox) New(front bool) Tab {
	f.t.Helper()
	var made struct{ Handle string }
	f.do("WebDriver:NewWindow", map[string]any{"type": "tab", "focus": front}, &made)
	return &Firefox{f.marionette, made.Handle}
}

func (f *Firefox) Close() {
	f.t.Helper()
	f.do("WebDriver:CloseWindow", map[string]any{}, nil)
	f.current = ""
}

// marionette is Firefox's remote control: a number, a colon and JSON over TCP
// (https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).
type marionette struct {
	t       testing.TB
	conn    net.Conn
	from    *bufio.Reader
	id      int
	current string // the tab that commands are for
}

// value is where most answers have what was asked for.
type value struct {
	Value any
}

// connect connects to the port that Firefox writes into a file of its profile.
func (m *marionette) connect(file string) {
	m.t.Helper()
	await.That(m.t, "Firefox takes commands", func() bool {
		port, err := os.ReadFile(file)
		if err == nil {
			m.conn, err = net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(string(port)))
		}
		return err == nil
	})
	m.conn.SetDeadline(time.Now().Add(await.Limit))
	m.from = bufio.NewReader(m.conn)
	if _, err := m.read(); err != nil { // it says who it is
		m.t.Fatal(err)
	}
}

func (m *marionette) read() ([]byte, error) {
	n, err := m.from.ReadString(':')
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(strings.TrimSuffix(n, ":"))
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(m.from, b)
	return b, err
}

func (m *marionette) try(command string, params map[string]any, result any) error {
	m.conn.SetDeadline(time.Now().Add(await.Limit))
	m.id++
	b, err := json.Marshal([]any{0, m.id, command, params})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(b), b); err != nil {
		return err
	}
	if b, err = m.read(); err != nil {
		return err
	}
	var answer []json.RawMessage
	if err := json.Unmarshal(b, &answer); err != nil || len(answer) != 4 {
		return fmt.Errorf("%s: %v", b, err)
	}
	if string(answer[2]) != "null" {
		return fmt.Errorf("%s: %s", command, answer[2])
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer[3], result)
}

func (m *marionette) call(command string, params map[string]any, result any) {
	m.t.Helper()
	if err := m.try(command, params, result); err != nil {
		m.t.Fatal(err)
	}
}
