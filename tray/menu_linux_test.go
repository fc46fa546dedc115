package tray

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/desk"
)

// TestTrayProcess is the tray of startTray.
func TestTrayProcess(t *testing.T) {
	if os.Getenv(trayEnv) == "" {
		t.Skip("run by other tests")
	}
	hostTime = 300 * time.Millisecond
	s := &scripted{changed: make(chan struct{})}
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&s.now); err != nil {
		t.Fatal(err)
	}
	catalog.SetLanguage(s.now.Lang)
	go func() {
		for {
			var now scene
			if in.Decode(&now) != nil {
				os.Exit(1) // the test is over
			}
			catalog.SetLanguage(now.Lang)
			s.mu.Lock()
			s.now = now
			close(s.changed)
			s.changed = make(chan struct{})
			s.mu.Unlock()
		}
	}()
	tray := &Tray{
		Service:      s,
		Screen:       dialog.Windows{},
		Diagnose:     func(context.Context) (string, error) { return s.scene().Found, nil },
		StartService: func() error { fmt.Println("start"); return nil },
		Language:     func() string { return s.scene().Lang },
		SetLanguage:  func(lang string) error { fmt.Println("language", lang); return nil },
		Log:          slog.New(slog.DiscardHandler),
	}
	if err := tray.Run(t.Context()); err != nil {
		fmt.Fprintln(os.Stderr, "crs:", err)
		os.Exit(1)
	}
	fmt.Println("ended")
}

// scripted is a Service that says what the test tells it to, and prints what it is asked.
type scripted struct {
	mu      sync.Mutex
	now     scene
	changed chan struct{}
}

func (s *scripted) scene() scene {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *scripted) Status() (ipc.Status, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Status, s.now.OK, s.changed
}

func (s *scripted) ChangePIN(_ context.Context, reader string) error {
	fmt.Println("change", reader)
	if fail := s.scene().Fail; fail != "" {
		return errors.New(fail)
	}
	return nil
}

func (s *scripted) UnblockPIN(_ context.Context, reader string) error {
	fmt.Println("unblock", reader)
	return nil
}

func (s *scripted) Sites(context.Context) ([]state.Site, error) { return s.scene().Sites, nil }

func (s *scripted) SetSite(_ context.Context, origin string, state crs.SiteState) error {
	fmt.Println("site", origin, state)
	return nil
}

// TestMenu: the menu opens by a click on the icon, and the keyboard alone does the rest.
func TestMenu(t *testing.T) {
	openPanel(t)
	p := startTray(t)
	ready := scene{OK: true, Status: status(with(bit4id, ada, false)), Lang: "it", Found: "Lettore: Bit4id",
		Sites: []state.Site{{Origin: "https://portale.example", State: crs.SiteAllowed}, {Origin: "https://" + longHost, State: crs.SiteBlocked}}}

	for _, test := range []struct {
		name   string
		scene  func(*scene)
		keys   []string
		window string // that opens then
		then   []string
		next   string // the window after that one
		last   []string
		asks   string
	}{
		{name: "change", keys: []string{"Down", "Return"}, asks: "change " + bit4id.Name},
		{name: "unblock", keys: []string{"Down", "Down", "Return"}, asks: "unblock " + bit4id.Name},
		{name: "unblock first when blocked", scene: func(s *scene) { s.Status = status(with(bit4id, ada, true)) },
			keys: []string{"Down", "Return"}, asks: "unblock " + bit4id.Name},
		{name: "second card", scene: func(s *scene) {
			s.Status = status(with(ipc.Reader{Name: "Reader 1"}, ada, false), with(ipc.Reader{Name: "Reader 2"}, mario, true))
		}, keys: []string{"Down", "Down", "Right", "Return"}, asks: "unblock Reader 2"},
		{name: "start", scene: func(s *scene) { s.OK = false }, keys: []string{"Down", "Return"}, asks: "start"},
		{name: "language", keys: []string{"Up", "Up", "Up", "Right", "Up", "Return"}, asks: "language de"},
		{name: "allow a site", keys: []string{"Down", "Down", "Down", "Return"}, window: "Siti autorizzati",
			then: []string{"Down", "Return"}, next: "Cambiare la decisione", last: []string{"space", "Return"},
			asks: "site " + "https://" + longHost + " allowed"},
		{name: "diagnosis", keys: []string{"Up", "Up", "Return"}, window: "Diagnostica", then: []string{"Return"}},
		{name: "the service does not answer", scene: func(s *scene) { s.Fail = "no such socket" }, keys: []string{"Down", "Return"},
			asks: "change " + bit4id.Name, window: "Non è riuscito", then: []string{"Return"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ready
			if test.scene != nil {
				test.scene(&s)
			}
			p.play(t, s)
			desk.Choose(t, func() bool {
				return test.asks != "" && test.next == "" && len(p.out) > 0 || test.window != "" && desk.Shows(test.window)
			}, test.keys...)
			if test.window != "" {
				awaitAnswerable(t, test.window)
				desk.Keys(t, test.then...)
			}
			if test.next != "" {
				awaitAnswerable(t, test.next)
				desk.Keys(t, test.last...)
			}
			if test.asks != "" {
				p.asked(t, test.asks)
			}
			if test.next != "" { // the list is there again
				awaitAnswerable(t, test.window)
				desk.Keys(t, "Escape")
			}
			await.That(t, "no window is left", func() bool {
				return exec.Command("xdotool", "search", "--onlyvisible", "--class", "zenity").Run() != nil
			})
			desk.CloseMenu(t)
		})
		if t.Failed() {
			return
		}
	}
	desk.Choose(t, func() bool { return len(p.out) > 0 }, "Up", "Return")
	p.asked(t, "ended")
}

// everyMenu are the states that the menu can show.
func everyMenu() map[string]scene {
	unusable := func(why string) scene {
		return scene{OK: true, Status: status(ipc.Reader{Name: bit4id.Name, Problem: why})}
	}
	return map[string]scene{
		"noservice": {},
		"nopcsc":    {OK: true, Status: status(ipc.Reader{Problem: "no_service"})},
		"noreader":  {OK: true},
		"nocard":    {OK: true, Status: status(bit4id)},
		"reading":   {OK: true, Status: status(ipc.Reader{Name: bit4id.Name, Reading: true})},
		"mute":      unusable("mute"),
		"notcns":    unusable("not_cns"),
		"inuse":     unusable("in_use"),
		"stuck":     unusable("stuck"),
		"unusable":  unusable("card_error"),
		"ready":     {OK: true, Status: status(with(bit4id, ada, false))},
		"blocked":   {OK: true, Status: status(with(bit4id, ada, true))},
		"several":   {OK: true, Status: status(with(bit4id, ada, false), with(ipc.Reader{Name: "ACS ACR39U 01 00"}, mario, true))},
		"long":      {OK: true, Status: status(with(ipc.Reader{Name: strings.Repeat("W", 200)}, ipc.Card{Kind: "CNS", Holder: strings.Repeat("WIDE ", 50), CanChange: true, CanUnblock: true}, true))},
	}
}

var pictures = flag.String("pictures", "", "directory that TestMenusFit writes a picture of each menu to")

// awaitAnswerable waits for a window, and until it takes an answer.
func awaitAnswerable(t *testing.T, title string) {
	t.Helper()
	desk.AwaitWindow(t, title)
	time.Sleep(600 * time.Millisecond)
}

// TestMenusFit opens every menu and every window of the menu, and measures it. With -pictures it
// keeps a picture of each.
func TestMenusFit(t *testing.T) {
	openPanel(t)
	p := startTray(t)
	defer catalog.SetLanguage("")
	for _, lang := range []string{"it", "en", "de"} {
		for name, s := range everyMenu() {
			s.Lang = lang
			catalog.SetLanguage(lang)
			p.play(t, s)
			desk.OpenMenu(t)
			fits(t, lang+"-menu-"+name, desk.Menus(t))
			if name == "several" {
				desk.CloseMenu(t)
				desk.Choose(t, func() bool { return len(desk.Menus(t)) == 2 }, "Down", "Down", "Right")
				fits(t, lang+"-menu-several-card", desk.Menus(t))
			}
			if name == "ready" {
				desk.CloseMenu(t)
				desk.Choose(t, func() bool { return len(desk.Menus(t)) == 2 }, "Up", "Up", "Up", "Right")
				fits(t, lang+"-menu-language", desk.Menus(t))
			}
			desk.CloseMenu(t)
			if t.Failed() {
				return
			}
		}
	}
}

// fits checks that windows are on the screen, and keeps a picture.
func fits(t *testing.T, name string, windows []string) {
	t.Helper()
	desk.Settle(t)
	for _, w := range windows {
		if x, y, width, height := desk.Geometry(t, w); width < 60 || height < 40 || x < 0 || y < 0 || x+width > 1024 || y+height > 768 {
			t.Errorf("%s: %dx%d at %d,%d does not fit the screen", name, width, height, x, y)
		}
	}
	if *pictures != "" {
		if out, err := exec.Command("import", "-window", "root", filepath.Join(*pictures, name+".png")).CombinedOutput(); err != nil {
			t.Errorf("import: %v: %s", err, out)
		}
	}
}

var longHost = "www.agenziaentrate.example." + strings.Repeat("accesso-sicuro.", 9) + strings.Repeat("w", 62) + ".evil.example"
