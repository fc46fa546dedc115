//go:build linux

// Package desk gives tests a desktop without a screen: an X server with a window manager, a
// session bus, a panel with a place for icons, and a keyboard.
package desk

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// Display starts an X server with a window manager and makes it the display of this
// process. It returns the server's process.
func Display(t *testing.T) *os.Process {
	t.Helper()
	ns.NeedProgram(t, "Xvfb", "openbox", "xdotool", "xprop", "import")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	server := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset")
	server.ExtraFiles = []*os.File{w}
	Start(t, server)
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal("Xvfb names no display: ", err)
	}
	t.Setenv("DISPLAY", ":"+strings.TrimSpace(number))
	t.Setenv("WAYLAND_DISPLAY", "")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:") // or GTK would start a bus of its own
	t.Setenv("HOME", t.TempDir())
	Start(t, exec.Command("openbox"))
	await.That(t, "openbox manages the windows", func() bool {
		out, _ := exec.Command("xprop", "-root", "_NET_SUPPORTING_WM_CHECK").Output()
		return strings.Contains(string(out), "window id")
	})
	return server.Process
}

// Start runs a program until the test ends.
func Start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	ns.NeedProgram(t, cmd.Args[0])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

func XDoTool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("xdotool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("xdotool %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// AwaitWindow returns the number of the window with this title once it has the keyboard.
func AwaitWindow(t *testing.T, title string) string {
	t.Helper()
	await.That(t, "a window "+title, func() bool { return Shows(title) })
	return XDoTool(t, "getactivewindow")
}

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

// Bus starts a session bus and makes it that of this process.
func Bus(t *testing.T) {
	t.Helper()
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=3", "--nopidfile")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	bus.ExtraFiles = []*os.File{w}
	t.Setenv("NO_AT_BRIDGE", "1") // or GTK would have a second bus started
	Start(t, bus)
	w.Close()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal("dbus-daemon names no address: ", err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
}

// Panel starts a panel on the display and the bus of this process, and returns when it shows icons.
func Panel(t *testing.T, shows func() bool) {
	t.Helper()
	config := filepath.Join(os.Getenv("HOME"), ".config/xfce4/xfconf/xfce-perchannel-xml")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "xfce4-panel.xml"), []byte(panelConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	Start(t, exec.Command("xfce4-panel", "--disable-wm-check"))
	await.That(t, "a panel with a place for icons", shows)
}

// Geometry returns place and size of a window.
func Geometry(t *testing.T, window string) (x, y, width, height int) {
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

// Menus returns the open menus.
func Menus(t *testing.T) (open []string) {
	for _, w := range panelWindows() {
		if _, _, width, height := Geometry(t, w); width > 60 && height > 40 {
			open = append(open, w)
		}
	}
	return open
}

// OpenMenu clicks on the icon, and waits until its menu is drawn. A panel that is still taking in
// a new menu closes it again.
func OpenMenu(t *testing.T) {
	t.Helper()
	await.That(t, "the menu is open", func() bool {
		for _, w := range panelWindows() {
			x, y, width, height := Geometry(t, w)
			if width < 16 || width > 60 {
				continue
			}
			XDoTool(t, "mousemove", strconv.Itoa(x+width/2), strconv.Itoa(y+height/2), "click", "1")
			XDoTool(t, "mousemove", "1000", "10") // or it would be over an item
			Settle(t)
			return len(Menus(t)) > 0
		}
		return false
	})
}

// Choose opens the menu of the icon and presses keys until that had an effect. On a busy computer
// a panel may take in a new menu, and close the one that is open, just when a key is pressed.
func Choose(t *testing.T, had func() bool, keys ...string) {
	t.Helper()
	for range 4 {
		OpenMenu(t)
		Keys(t, keys...)
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if had() {
				return
			}
		}
		CloseMenu(t)
	}
	t.Fatalf("keys %v in the menu do nothing", keys)
}

// Shows reports whether a window of this title has the keyboard.
func Shows(title string) bool {
	out, _ := exec.Command("xdotool", "getactivewindow", "getwindowname").Output()
	return strings.TrimSpace(string(out)) == title
}

// CloseMenu waits until no menu is open.
func CloseMenu(t *testing.T) {
	t.Helper()
	await.That(t, "the menu is closed", func() bool {
		if len(Menus(t)) == 0 {
			return true
		}
		XDoTool(t, "key", "Escape")
		return false
	})
}

// Keys presses keys one after the other.
func Keys(t *testing.T, names ...string) {
	t.Helper()
	XDoTool(t, append([]string{"key", "--clearmodifiers", "--delay", "60"}, names...)...)
}

// Settle waits until the screen is the same for a while.
func Settle(t *testing.T) {
	t.Helper()
	var last []byte
	await.That(t, "the screen is still", func() bool {
		now, err := exec.Command("import", "-window", "root", "-silent", "rgb:-").Output()
		if err != nil {
			t.Fatal("import: ", err)
		}
		same := bytes.Equal(now, last)
		last = now
		return same
	})
}

// Tooltip returns what a panel says of the icon of a program (StatusNotifierItem), "" without one.
func Tooltip(pid int) string {
	bus, err := dbus.ConnectSessionBus()
	if err != nil {
		return ""
	}
	defer bus.Close()
	tray := bus.Object("org.kde.StatusNotifierItem-"+strconv.Itoa(pid)+"-1", "/StatusNotifierItem")
	v, err := tray.GetProperty("org.kde.StatusNotifierItem.ToolTip")
	if err != nil {
		return ""
	}
	fields, _ := v.Value().([]any)
	if len(fields) < 3 {
		return ""
	}
	s, _ := fields[2].(string)
	return s
}

// RaceOptions are GORACE for a program with an icon: fyne.io/systray 1.12.2 counts the versions of
// its menu without a lock (GetLayout and refresh), which is harmless, and makes a program that is
// built with the race detector end with an error. Races looks for all other races.
const RaceOptions = "GORACE=exitcode=0 atexit_sleep_ms=10"

// Races returns what the race detector wrote of memory that this project's own code reads or writes.
func Races(stderr string) string {
	var own []string
	for _, report := range strings.Split(stderr, "==================") {
		lines := strings.Split(report, "\n")
		for i, line := range lines[:len(lines)-1] {
			access := strings.Contains(line, " at 0x") && strings.Contains(line, "by ")
			if access && strings.Contains(lines[i+1], "crs-bridge/crs") {
				own = append(own, report)
				break
			}
		}
	}
	return strings.Join(own, "\n")
}
