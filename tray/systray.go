//go:build !darwin || cgo

package tray

import (
	"context"
	"log"
	"log/slog"
	"reflect"
	"runtime"
	"strings"

	"fyne.io/systray"
)

// Run shows icon and menu until the context ends or the user quits. It is to be called once, by
// the goroutine that runs main: some systems want all windows of a program on its first thread.
// Its error is a sentence for the user. Where a desktop has no place for icons it says so on
// stderr, and the dialogs work all the same.
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
	// What the library complains about is of no use to the user.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(t.Log.Handler(), slog.LevelDebug).Writer())
	if runtime.GOOS == "linux" {
		systray.SetTitle(name) // panels know an icon by its first title
	}
	ended := make(chan struct{})
	systray.Run(func() {
		s := &shownMenu{desktop: d, chosen: chosen}
		status, ok, _ := t.Service.Status()
		s.show(look(status, ok, t.Language()))
		go func() {
			defer close(ended)
			t.run(ctx, s, chosen)
			s.forget()
			systray.Quit()
		}()
	}, nil)
	quit()
	<-ended
	return nil
}

// name is what the program is called where there is no place for more.
const name = "CRS"

// shownMenu is the menu as the desktop has it: place.
type shownMenu struct {
	*desktop
	chosen chan<- action
	now    view
	items  []*systray.MenuItem
	gone   chan struct{} // closed when the items are
}

func (s *shownMenu) show(v view) {
	if reflect.DeepEqual(v, s.now) {
		return
	}
	s.forget()
	s.now = v
	systray.ResetMenu()
	s.gone = make(chan struct{})
	for _, i := range v.menu {
		s.add(nil, i)
	}
	icon := v.icon.png()
	if runtime.GOOS == "windows" {
		icon = ico(icon)
	}
	systray.SetIcon(icon)
	systray.SetTooltip(name + ": " + v.title)
}

// forget ends the goroutines of the items. The library closes the channel of an item that it
// removes, even while it is about to send a click on it: a nil channel it leaves alone.
func (s *shownMenu) forget() {
	if s.gone != nil {
		close(s.gone)
	}
	s.gone = nil
	for _, m := range s.items {
		m.ClickedCh = nil
	}
	s.items = nil
}

func (s *shownMenu) add(parent *systray.MenuItem, i item) {
	if i.label == "" {
		systray.AddSeparator()
		return
	}
	label := literalLabel(i.label)
	var m *systray.MenuItem
	switch {
	case parent == nil:
		m = systray.AddMenuItem(label, "")
	case i.action.do == setLanguage:
		m = parent.AddSubMenuItemCheckbox(label, "", i.checked)
	default:
		m = parent.AddSubMenuItem(label, "")
	}
	if i.off {
		m.Disable()
	}
	s.items = append(s.items, m)
	for _, sub := range i.items {
		s.add(m, sub)
	}
	if i.off || i.items != nil {
		return
	}
	clicked, gone := m.ClickedCh, s.gone
	go func() {
		for {
			select {
			case <-gone:
				return
			case <-clicked:
			}
			select {
			case <-gone:
				return
			case s.chosen <- i.action:
			}
		}
	}()
}

// literalLabel keeps a letter of a name from becoming a keyboard shortcut.
func literalLabel(s string) string {
	if runtime.GOOS == "windows" {
		return strings.ReplaceAll(s, "&", "&&")
	}
	return strings.ReplaceAll(s, "_", "__")
}
