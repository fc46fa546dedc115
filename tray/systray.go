//go:build !darwin || cgo

package tray

import (
	"context"
	"log"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	"fyne.io/systray"
)

// Run shows icon and menu until the context ends or the user quits. Call it once, from the
// goroutine that runs main: some systems require all windows of a program on its first thread. Its
// error is a sentence for the user. If the desktop has no place for icons Run says so on stderr,
// and the dialogs still work.
func (t *Tray) Run(ctx context.Context) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	chosen := make(chan action)
	d, err := openDesktop(ctx)
	if d == nil {
		if err == nil {
			t.run(ctx, nowhere{}, chosen)
		}
		return err
	}
	defer d.close()
	// The library's complaints are of no use to the user.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(t.Log.Handler(), slog.LevelDebug).Writer())
	if runtime.GOOS == "linux" {
		systray.SetTitle(name) // panels know an icon by its first title
	}
	ended := make(chan struct{})
	systray.Run(func() {
		s := &shownMenu{desktop: d, click: func(a action) {
			select {
			case chosen <- a:
			case <-ctx.Done():
			}
		}}
		status, ok, _ := t.Service.Status()
		s.show(render(status, ok, t.Language()))
		go func() {
			defer close(ended)
			t.run(ctx, s, chosen)
			systray.Quit()
		}()
	}, nil)
	quit()
	<-ended
	return nil
}

// name is the name of the program where there is no room for more.
const name = "CRS"

// shownMenu is the menu as the desktop has it; it implements place.
type shownMenu struct {
	*desktop
	click func(action)
	icon  picture
	title string
	items []*shownItem // made by the first show, changed by later ones
}

func (s *shownMenu) show(v view) {
	for i, now := range v.menu {
		if i == len(s.items) {
			s.items = append(s.items, s.add(nil, now))
		}
		s.items[i].change(now)
	}
	if v.icon != s.icon {
		s.icon = v.icon
		b := v.icon.png()
		if runtime.GOOS == "windows" {
			b = ico(b)
		}
		systray.SetIcon(b)
	}
	if v.title != s.title {
		s.title = v.title
		systray.SetTooltip(name + ": " + v.title)
	}
}

// forget is for the start of the library: anything set while it announces the icon on the bus is
// lost (nativeStart of systray_unix.go reads icon and tooltip before it takes changes of them).
func (s *shownMenu) forget() { s.icon, s.title = "", "" }

// shownItem is an item as the desktop has it.
type shownItem struct {
	menu  *systray.MenuItem // nil: a separator
	items []*shownItem

	mu  sync.Mutex
	now item
}

func (s *shownMenu) add(parent *systray.MenuItem, i item) *shownItem {
	if i.label == "" {
		systray.AddSeparator()
		return &shownItem{}
	}
	shown := &shownItem{now: item{label: i.label}}
	label := literalLabel(i.label)
	switch {
	case parent == nil:
		shown.menu = systray.AddMenuItem(label, "")
	case i.action.do == setLanguage:
		shown.menu = parent.AddSubMenuItemCheckbox(label, "", false)
	default:
		shown.menu = parent.AddSubMenuItem(label, "")
	}
	for _, sub := range i.items {
		shown.items = append(shown.items, s.add(shown.menu, sub))
	}
	go func() { // as long as the program
		for range shown.menu.ClickedCh {
			shown.mu.Lock()
			now := shown.now
			shown.mu.Unlock()
			if !now.off && now.items == nil {
				s.click(now.action)
			}
		}
	}()
	return shown
}

// change updates the item. It does not touch what stays the same: each change makes the panel read
// the menu again.
func (s *shownItem) change(now item) {
	if s.menu == nil {
		return
	}
	s.mu.Lock()
	was := s.now
	s.now = now
	s.mu.Unlock()
	if now.label != was.label {
		s.menu.SetTitle(literalLabel(now.label))
	}
	if now.off != was.off {
		set(now.off, s.menu.Disable, s.menu.Enable)
	}
	if now.checked != was.checked {
		set(now.checked, s.menu.Check, s.menu.Uncheck)
	}
	if now.hidden != was.hidden {
		set(now.hidden, s.menu.Hide, s.menu.Show)
	}
	for i, sub := range s.items {
		sub.change(now.items[i])
	}
}

func set(on bool, yes, no func()) {
	if on {
		yes()
	} else {
		no()
	}
}

// literalLabel keeps a letter of a name from becoming a keyboard shortcut.
func literalLabel(s string) string {
	if runtime.GOOS == "windows" {
		return strings.ReplaceAll(s, "&", "&&")
	}
	return strings.ReplaceAll(s, "_", "__")
}
