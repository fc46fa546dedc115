// Package tray is the icon that shows the state of card and service, and its menu. It promises no
// compatibility to those who import it.
package tray

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
)

// Why a desktop shows no icon.
var (
	ErrNoBus  = errors.New("there is no session bus")
	ErrNoHost = errors.New("this desktop has no place for icons (no StatusNotifier host)")
)

// Service is the service as the tray sees it.
type Service interface {
	// Status returns the last status that the service sent, ok false while none answers, and a
	// channel that is closed at the next change of either. If ok is false but there is a version,
	// the service is another version of this program.
	Status() (s ipc.Status, ok bool, changed <-chan struct{})

	// ChangePIN and UnblockPIN return when it is done or given up. The service asks, and says how
	// the card answered, in dialogs of its own, which this tray shows for it.
	ChangePIN(ctx context.Context, reader string) error
	UnblockPIN(ctx context.Context, reader string) error

	// Sites lists what the user decided, and SetSite changes it; crs.SiteUnknown forgets.
	Sites(ctx context.Context) ([]state.Site, error)
	SetSite(ctx context.Context, origin string, state crs.SiteState) error
}

// Tray is the icon that shows the state of card and service, and its menu.
type Tray struct {
	Service Service
	Screen  dialog.Screen

	// Diagnose returns what `crs doctor` finds, to be shown.
	Diagnose func(context.Context) (string, error)
	// StartService starts the service in the background.
	StartService func() error

	// Language returns the language that the user chose, "" for none, and SetLanguage keeps
	// another choice and calls catalog.SetLanguage.
	Language    func() string
	SetLanguage func(string) error

	Log *slog.Logger
}

// place is where a desktop shows the icons of running programs.
type place interface {
	show(view) // called by one goroutine, even when nothing has changed
	forget()   // makes the next show set everything anew; called by the same goroutine
	notify(title, text string) error
}

// nowhere is a desktop without a place for icons.
type nowhere struct{}

func (nowhere) show(view)                       {}
func (nowhere) forget()                         {}
func (nowhere) notify(title, text string) error { return nil }

// settleTime is how long a desktop may take to set up a new icon. If the state changed meanwhile it
// may keep showing the first one, so the state is shown once more.
const settleTime = 2 * time.Second

// idleTime is how long after a change the tray calls rest.
const idleTime = 5 * time.Second

// run shows the state until the context ends or the user quits. What is chosen in the menu comes
// from chosen.
func (t *Tray) run(ctx context.Context, p place, chosen <-chan action) {
	ctx, quit := context.WithCancel(ctx)
	var (
		known ipc.Status
		done  = make(chan struct{})
		busy  bool // a window of the menu is open
		idle  = time.AfterFunc(idleTime, rest)
		again = time.After(settleTime)
	)
	defer func() {
		idle.Stop()
		quit()
		if busy {
			<-done
		}
	}()
	for {
		status, ok, changed := t.Service.Status()
		p.show(render(status, ok, t.Language()))
		for _, n := range news(known, status) {
			go t.notify(p, n.title(), n.text())
		}
		known = status
		idle.Reset(idleTime)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
			p.forget()
		case <-done:
			busy = false
		case a := <-chosen:
			switch {
			case a.do == quitTray:
				return
			case busy:
				go t.notify(p, catalog.Say("tray.notice.busy"), catalog.Say("tray.notice.busy.after"))
			default:
				busy = true
				go func() {
					t.do(ctx, p, a)
					done <- struct{}{}
				}()
			}
		}
	}
}

func (t *Tray) notify(p place, title, text string) {
	if err := p.notify(title, text); err != nil {
		t.Log.Warn("a notification was not shown", "error", err)
	}
}

// do carries out what was chosen in the menu.
func (t *Tray) do(ctx context.Context, p place, a action) {
	var err error
	failed := "tray.failed.service"
	switch a.do {
	case changePIN:
		err = t.Service.ChangePIN(ctx, a.reader)
	case unblockPIN:
		err = t.Service.UnblockPIN(ctx, a.reader)
	case showSites:
		err = t.sites(ctx)
	case setLanguage:
		failed = "tray.failed.language"
		err = t.SetLanguage(a.lang)
	case diagnose:
		failed = "tray.failed.diagnose"
		err = t.diagnose(ctx)
	case startService:
		failed = "tray.failed.start"
		err = t.StartService()
	}
	if ctx.Err() != nil || explained(err) {
		return
	}
	t.Log.Warn("not done", "what", a.do, "error", err)
	text := catalog.TrayFailed(failed, err)
	if err := t.Screen.Tell(ctx, text); err != nil && ctx.Err() == nil {
		t.Log.Warn("the user was not told in a window", "error", err)
		t.notify(p, text.Title, text.After)
	}
}

// explained reports whether an error needs no further window: the user gave up, or it is about the
// card, and then the service has explained it.
func explained(err error) bool {
	switch crs.CodeOf(err) {
	case crs.ErrInternal, crs.ErrTimeout, crs.ErrBusy, crs.ErrInvalidRequest:
		return false
	}
	return true
}

// sites lets the user decide anew about sites until they close the list.
func (t *Tray) sites(ctx context.Context) error {
	for {
		known, err := t.Service.Sites(ctx)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return t.Screen.Tell(ctx, catalog.NoSites())
		}
		text, rows, of := catalog.Sites(known)
		row, err := t.Screen.Choose(ctx, text, rows)
		if err != nil {
			return err
		}
		site := known[of[row]]
		text, rows, states := catalog.SiteDecision(site)
		row, err = t.Screen.Choose(ctx, text, rows)
		if errors.Is(err, crs.ErrCancelled) && ctx.Err() == nil {
			continue
		} else if err != nil {
			return err
		}
		if err := t.Service.SetSite(ctx, site.Origin, states[row]); err != nil {
			return err
		}
	}
}

func (t *Tray) diagnose(ctx context.Context) error {
	found, err := t.Diagnose(ctx)
	if err != nil {
		return err
	}
	return t.Screen.Tell(ctx, catalog.Diagnosis(found))
}
