package tray

import (
	"bytes"
	"errors"
	"image/png"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/desk"
)

// TestNoHost: the lack of a place for icons is reported once, with the command that helps;
// notifications still appear, and the icon as soon as there is a place.
func TestNoHost(t *testing.T) {
	desk.Display(t)
	desk.Bus(t)
	if err := Icons(); !errors.Is(err, ErrNoHost) {
		t.Errorf("Icons = %v", err)
	}
	desk.Start(t, exec.Command("dunst"))
	p := startTray(t)
	p.play(t, scene{OK: true, Status: status(with(bit4id, ada, false)), Lang: "it"})
	p.says(t, "apt install gnome-shell-extension-appindicator")
	two := func(blocked bool) ipc.Status {
		return status(with(bit4id, ada, false), with(ipc.Reader{Name: "Reader 2"}, mario, blocked))
	}
	for _, lang := range []string{"it", "en", "de"} {
		catalog.SetLanguage(lang)
		p.play(t, scene{OK: true, Status: status(with(bit4id, ada, false)), Lang: lang})
		p.play(t, scene{OK: true, Status: status(with(bit4id, ada, true)), Lang: lang})
		awaitNotification(t, lang+"-notice-blocked", catalog.Say("tray.notice.blocked"), "PUK")
		p.play(t, scene{OK: true, Status: status(with(bit4id, ada, false)), Lang: lang})
		awaitNotification(t, lang+"-notice-unblocked", catalog.Say("tray.notice.unblocked"), "PIN")
		p.play(t, scene{OK: true, Status: two(false), Lang: lang})
		p.play(t, scene{OK: true, Status: two(true), Lang: lang})
		awaitNotification(t, lang+"-notice-of-two", catalog.Say("tray.notice.blocked"), "MARIO_ROSSI &amp; &lt;b&gt;C.&lt;/b&gt; – CNS")
	}
	catalog.SetLanguage("")
	desk.Panel(t, func() bool { return Icons() == nil })
	p.play(t, scene{OK: true, Status: status(with(bit4id, ada, false)), Lang: "it"})
	desk.OpenMenu(t)
	desk.CloseMenu(t)
	if n := strings.Count(p.says(t, "appindicator"), "crs: "); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// awaitNotification waits for a notification with this title and a part of this text.
func awaitNotification(t *testing.T, name, title, text string) {
	t.Helper()
	await.That(t, "the notification "+title, func() bool {
		return exec.Command("xdotool", "search", "--onlyvisible", "--class", "dunst").Run() == nil
	})
	window := strings.Fields(desk.XDoTool(t, "search", "--onlyvisible", "--class", "dunst"))
	fits(t, name, window[:1])
	exec.Command("dunstctl", "close-all").Run()
	await.That(t, "the notification is gone", func() bool {
		return exec.Command("xdotool", "search", "--onlyvisible", "--class", "dunst").Run() != nil
	})
	out, err := exec.Command("dunstctl", "history").Output()
	if err != nil {
		t.Fatal("dunstctl history: ", err)
	}
	newest, _, _ := strings.Cut(string(out), `"id"`)
	if !strings.Contains(newest, title) || !strings.Contains(newest, text) {
		t.Errorf("no notification %q, %q: %s", title, text, out)
	}
	exec.Command("dunstctl", "history-clear").Run()
}

// TestNoDesktop: what a tray lacks is a sentence with the command that helps.
func TestNoDesktop(t *testing.T) {
	desk.Display(t) // no bus
	if err := Icons(); !errors.Is(err, ErrNoBus) {
		t.Errorf("Icons = %v", err)
	}
	p := startTray(t)
	if err := p.in.Encode(scene{OK: true}); err != nil {
		t.Fatal(err)
	}
	p.says(t, "apt install dbus-user-session")
	if err := p.in.Encode(scene{OK: true}); err != nil { // it goes on, for the dialogs
		t.Error(err)
	}

	t.Setenv("DISPLAY", "")
	p = startTray(t)
	if err := p.in.Encode(scene{OK: true}); err != nil {
		t.Fatal(err)
	}
	p.says(t, "crs serve --ui terminal")
	if err := p.cmd.Wait(); err == nil {
		t.Error("without a display the tray ends well")
	}
}

// TestIconsAreDrawn: the PNG files are what scripts/icons makes of the SVG files.
func TestIconsAreDrawn(t *testing.T) {
	sources, err := filepath.Glob("icons/*.svg")
	if err != nil || len(sources) != 5 {
		t.Fatal(sources, err)
	}
	for _, svg := range sources {
		name := strings.TrimSuffix(filepath.Base(svg), ".svg")
		drawn, err := exec.Command("rsvg-convert", svg).Output()
		if err != nil {
			t.Fatalf("%v; scripts/bootstrap test installs what the tests need", err)
		}
		// By their points: another version of the program may write them differently.
		got, err1 := png.Decode(bytes.NewReader(picture(name).png()))
		want, err2 := png.Decode(bytes.NewReader(drawn))
		if err1 != nil || err2 != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: scripts/icons has not been run", svg)
		}
	}
}
