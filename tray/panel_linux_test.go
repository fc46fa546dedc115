package tray

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/crs-bridge/crs/internal/owner"
)

// panelConfig is a panel at the lower edge of the screen with nothing on it but the icons of
// programs.
const panelConfig = `<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x=512;y=755"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="26"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray"/></property>
</channel>
`

// openBus starts a session bus and makes it that of this process.
func openBus(t *testing.T) {
	t.Helper()
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=3", "--nopidfile")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	bus.ExtraFiles = []*os.File{w}
	t.Setenv("NO_AT_BRIDGE", "1") // or GTK would have a second bus started
	start(t, bus)
	w.Close()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal("dbus-daemon names no address: ", err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
}

// openPanel starts a panel on a display and a bus of its own.
func openPanel(t *testing.T) {
	t.Helper()
	openDisplay(t)
	openBus(t)
	startPanel(t)
}

func startPanel(t *testing.T) {
	t.Helper()
	config := filepath.Join(os.Getenv("HOME"), ".config/xfce4/xfconf/xfce-perchannel-xml")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "xfce4-panel.xml"), []byte(panelConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command("xfce4-panel", "--disable-wm-check"))
	await(t, "a panel with a place for icons", func() bool { return Icons() == nil })
}

// await waits for a condition.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// trayProcess is a tray in a process of its own, whose service is the test.
type trayProcess struct {
	cmd    *exec.Cmd
	in     *json.Encoder
	out    chan string // what the tray asked of its service, by lines
	stderr string      // a file
}

// scene is what the service of a trayProcess says.
type scene struct {
	OK     bool
	Status owner.Status
	Lang   string
	Sites  []owner.Site
	Found  string // by Diagnose
	Fail   string // error of ChangePIN
}

const trayEnv = "CRS_TEST_TRAY"

func startTray(t *testing.T) *trayProcess {
	t.Helper()
	p := &trayProcess{cmd: exec.Command(os.Args[0], "-test.run=^TestTrayProcess$"), out: make(chan string, 100), stderr: filepath.Join(t.TempDir(), "stderr")}
	p.cmd.Env = append(os.Environ(), trayEnv+"=1")
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p.cmd.Stderr = stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = json.NewEncoder(in)
	start(t, p.cmd)
	go func() {
		defer close(p.out)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.out <- lines.Text()
		}
		io.Copy(io.Discard, out)
	}()
	return p
}

// says waits for a sentence on stderr, and returns all that is there.
func (p *trayProcess) says(t *testing.T, sentence string) (stderr string) {
	t.Helper()
	await(t, "stderr says "+sentence, func() bool {
		b, _ := os.ReadFile(p.stderr)
		stderr = string(b)
		return strings.Contains(stderr, sentence)
	})
	return stderr
}

// title returns the state in words, as a screen reader would say it.
func (p *trayProcess) title() string {
	bus, err := dbus.ConnectSessionBus()
	if err != nil {
		return ""
	}
	defer bus.Close()
	tray := bus.Object("org.kde.StatusNotifierItem-"+strconv.Itoa(p.cmd.Process.Pid)+"-1", "/StatusNotifierItem")
	v, err := tray.GetProperty("org.kde.StatusNotifierItem.ToolTip")
	if err != nil {
		return ""
	}
	fields, _ := v.Value().([]any)
	if len(fields) < 3 {
		return ""
	}
	s, _ := fields[2].(string)
	return strings.TrimPrefix(s, name+": ")
}

// play makes the service of the tray say s, and waits until the tray shows it.
func (p *trayProcess) play(t *testing.T, s scene) {
	t.Helper()
	if err := p.in.Encode(s); err != nil {
		t.Fatal(err)
	}
	want := look(s.Status, s.OK, s.Lang).title
	await(t, "the tray says "+want, func() bool { return p.title() == want })
}

// asked waits for what the tray asks of its service.
func (p *trayProcess) asked(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-p.out:
		if got != want {
			t.Errorf("the tray asked %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the tray does not ask %q", want)
	}
}

// geometry returns place and size of a window.
func geometry(t *testing.T, window string) (x, y, width, height int) {
	t.Helper()
	out, _ := exec.Command("xdotool", "getwindowgeometry", "--shell", window).Output() // it may have gone
	for _, line := range strings.Fields(string(out)) {
		name, value, _ := strings.Cut(line, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "X":
			x = n
		case "Y":
			y = n
		case "WIDTH":
			width = n
		case "HEIGHT":
			height = n
		}
	}
	return x, y, width, height
}

// panelWindows returns the visible windows of the panel's place for icons: itself, and its menus.
func panelWindows() []string {
	out, _ := exec.Command("xdotool", "search", "--onlyvisible", "--class", "wrapper-2.0").Output()
	return strings.Fields(string(out))
}

// menus returns the open menus.
func menus(t *testing.T) (open []string) {
	for _, w := range panelWindows() {
		if _, _, width, height := geometry(t, w); width > 60 && height > 40 {
			open = append(open, w)
		}
	}
	return open
}

// openMenu clicks on the icon, and waits until its menu is drawn. A panel that is still taking in
// a new menu closes it again.
func openMenu(t *testing.T) {
	t.Helper()
	await(t, "the menu is open", func() bool {
		for _, w := range panelWindows() {
			x, y, width, height := geometry(t, w)
			if width < 16 || width > 60 {
				continue
			}
			xdotool(t, "mousemove", strconv.Itoa(x+width/2), strconv.Itoa(y+height/2), "click", "1")
			xdotool(t, "mousemove", "1000", "10") // or it would be over an item
			settle(t)
			return len(menus(t)) > 0
		}
		return false
	})
}

// closeMenu waits until no menu is open.
func closeMenu(t *testing.T) {
	t.Helper()
	await(t, "the menu is closed", func() bool {
		if len(menus(t)) == 0 {
			return true
		}
		xdotool(t, "key", "Escape")
		return false
	})
}
