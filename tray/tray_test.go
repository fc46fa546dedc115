package tray

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
)

// stub is a Service, a dialog.Screen and a place, which note what they are asked.
type stub struct {
	status  ipc.Status
	ok      bool
	changed chan struct{}
	fail    error         // of all methods of the service
	hold    chan struct{} // ChangePIN waits for it
	known   []state.Site
	answers []int // to Choose; then the list is closed

	asked     []string
	notified  []string
	shown     view
	forgotten int
}

func (s *stub) note(format string, args ...any) error {
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
	return s.fail
}

func (s *stub) Status() (ipc.Status, bool, <-chan struct{})  { return s.status, s.ok, s.changed }
func (s *stub) UnblockPIN(_ context.Context, r string) error { return s.note("unblock %s", r) }
func (s *stub) Sites(context.Context) ([]state.Site, error)  { return s.known, s.note("sites") }

func (s *stub) ChangePIN(ctx context.Context, r string) error {
	select {
	case <-s.hold:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.note("change %s", r)
}

func (s *stub) SetSite(_ context.Context, o string, state crs.SiteState) error {
	return s.note("set %s %q", o, state)
}

func (s *stub) Ask(context.Context, catalog.Text) (bool, error)        { panic("no question") }
func (s *stub) AskPIN(context.Context, catalog.Text) (*crs.PIN, error) { panic("no PIN") }
func (s *stub) Wait(context.Context, catalog.Text) error               { panic("nothing to wait for") }

func (s *stub) Choose(_ context.Context, t catalog.Text, rows []string) (int, error) {
	s.asked = append(s.asked, t.Title+" "+t.Site+": "+strings.Join(rows, " / "))
	if len(s.answers) == 0 {
		return 0, crs.ErrCancelled
	}
	i := s.answers[0]
	s.answers = s.answers[1:]
	if i < 0 {
		return 0, crs.ErrCancelled
	}
	return i, nil
}

func (s *stub) Tell(_ context.Context, t catalog.Text) error {
	s.asked = append(s.asked, "tell "+t.Title+": "+t.After)
	return nil
}

func (s *stub) show(v view) { s.shown = v }

// forget loses what was shown, as a desktop may that is taking in a new icon.
func (s *stub) forget() { s.shown, s.forgotten = view{}, s.forgotten+1 }

func (s *stub) notify(title, _ string) error {
	s.notified = append(s.notified, title)
	return nil
}

// running runs a tray in a bubble and returns what chooses from its menu.
func running(t *testing.T, s *stub) (choose func(action), ended chan struct{}) {
	catalog.SetLanguage("it")
	t.Cleanup(func() { catalog.SetLanguage("") })
	s.changed, s.hold = make(chan struct{}), make(chan struct{})
	var lang atomic.Value
	lang.Store("")
	tray := &Tray{
		Service: s, Screen: s, Log: slog.New(slog.DiscardHandler),
		Diagnose:     func(context.Context) (string, error) { return "all is well", s.fail },
		StartService: func() error { return s.note("start") },
		Language:     func() string { return lang.Load().(string) },
		SetLanguage:  func(l string) error { lang.Store(l); catalog.SetLanguage(l); return s.note("language %s", l) },
	}
	chosen := make(chan action)
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		tray.run(t.Context(), s, chosen)
	}()
	synctest.Wait()
	return func(a action) {
		select {
		case chosen <- a:
		case <-ended:
			t.Error("the tray has ended")
		}
		synctest.Wait()
	}, ended
}

// TestChoices: what the user chooses is done; the service has already shown what the card said, and
// a request that did not reach the service is reported here, with the next step.
func TestChoices(t *testing.T) {
	gone := errors.New("no service")
	sites := []state.Site{{Origin: "https://a.example", State: crs.SiteAllowed}, {Origin: "https://b.example", State: crs.SiteBlocked}}
	list := "Siti autorizzati : consentito: a.example / bloccato: b.example"
	for _, test := range []struct {
		name    string
		choose  action
		fail    error
		known   []state.Site
		answers []int
		want    []string // beginnings
	}{
		{"unblock", action{do: unblockPIN, reader: "R"}, nil, nil, nil, []string{"unblock R"}},
		{"unblock, given up", action{do: unblockPIN}, crs.ErrCancelled, nil, nil, []string{"unblock"}},
		{"unblock, wrong PUK", action{do: unblockPIN}, &crs.PINError{PUK: true, Retries: 2}, nil, nil, []string{"unblock"}},
		{"unblock, card pulled", action{do: unblockPIN}, crs.ErrCardRemoved, nil, nil, []string{"unblock"}},
		{"unblock, no service", action{do: unblockPIN}, gone, nil, nil, []string{"unblock", "tell Non è riuscito: Il servizio non risponde"}},
		{"unblock, busy", action{do: unblockPIN}, crs.ErrBusy, nil, nil, []string{"unblock", "tell Non è riuscito: È già in corso"}},
		{"no sites", action{do: showSites}, nil, nil, nil, []string{"sites", "tell Siti autorizzati: Nessun sito"}},
		{"sites, closed", action{do: showSites}, nil, sites, nil, []string{"sites", list}},
		{"block", action{do: showSites}, nil, sites, []int{0, 0},
			[]string{"sites", list, "Cambiare la decisione a.example: Blocca", `set https://a.example "blocked"`, "sites", list}},
		{"forget", action{do: showSites}, nil, sites, []int{1, 1},
			[]string{"sites", list, "Cambiare la decisione b.example: Consenti", `set https://b.example ""`, "sites", list}},
		{"back to the list", action{do: showSites}, nil, sites, []int{1, -1},
			[]string{"sites", list, "Cambiare la decisione b.example", "sites", list}},
		{"sites, no service", action{do: showSites}, gone, sites, nil, []string{"sites", "tell Non è riuscito: Il servizio non risponde"}},
		{"start", action{do: startService}, nil, nil, nil, []string{"start"}},
		{"start, fails", action{do: startService}, gone, nil, nil, []string{"start", "tell Non è riuscito: Il servizio non si avvia"}},
		{"diagnose", action{do: diagnose}, nil, nil, nil, []string{"tell Diagnostica: all is well"}},
		{"diagnose, fails", action{do: diagnose}, gone, nil, nil, []string{"tell Non è riuscito: La diagnostica"}},
		{"language", action{do: setLanguage, lang: "de"}, nil, nil, nil, []string{"language de"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stub{ok: true, fail: test.fail, known: test.known, answers: test.answers}
				choose, ended := running(t, s)
				choose(test.choose)
				if !slices.EqualFunc(s.asked, test.want, strings.HasPrefix) {
					t.Errorf("%q, want %q", s.asked, test.want)
				}
				if test.choose.do == setLanguage && s.shown.title != "Kein Lesegerät: bitte anschließen" {
					t.Errorf("after the language changed the icon says %q", s.shown.title)
				}
				choose(action{do: quitTray})
				<-ended
			})
		})
	}
}

// TestOneWindow: while a window of the menu is open a second choice opens none, and says so; to
// quit closes it.
func TestOneWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{ok: true}
		choose, ended := running(t, s)
		choose(action{do: changePIN, reader: "R"})
		choose(action{do: unblockPIN, reader: "R"})
		choose(action{do: diagnose})
		if s.asked != nil || len(s.notified) != 2 || s.notified[0] != "C'è già una finestra aperta" {
			t.Errorf("asked %q, notified %q", s.asked, s.notified)
		}
		close(s.hold)
		synctest.Wait()
		choose(action{do: unblockPIN, reader: "R"})
		if !slices.Equal(s.asked, []string{"change R", "unblock R"}) {
			t.Errorf("asked %q", s.asked)
		}
		s.hold = make(chan struct{})
		choose(action{do: changePIN, reader: "R"})
		choose(action{do: quitTray})
		<-ended
		if len(s.asked) != 2 {
			t.Errorf("asked %q", s.asked)
		}
	})
}

// TestShownOnceMore: what a desktop lost at the start is shown again, and only then.
func TestShownOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{ok: true}
		choose, ended := running(t, s)
		time.Sleep(settleTime)
		synctest.Wait()
		if s.shown.icon != noReader || s.forgotten != 1 {
			t.Errorf("shown: %q, forgotten %d times", s.shown.icon, s.forgotten)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.forgotten != 1 {
			t.Errorf("forgotten %d times", s.forgotten)
		}
		choose(action{do: quitTray})
		<-ended
	})
}

// TestFollows: icon and notifications follow the service.
func TestFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		choose, ended := running(t, s)
		for _, step := range []struct {
			ok       bool
			status   ipc.Status
			icon     picture
			notified int
		}{
			{true, ipc.Status{}, noReader, 0},
			{true, status(bit4id), noCard, 0},
			{true, status(with(bit4id, ada, false)), cardReady, 0},
			{true, status(with(bit4id, ada, true)), pinBlocked, 1},
			{true, status(with(bit4id, ada, false)), cardReady, 2},
			{false, ipc.Status{}, noService, 2},
			{true, status(with(bit4id, ada, true)), pinBlocked, 2},
		} {
			changed := s.changed
			s.ok, s.status, s.changed = step.ok, step.status, make(chan struct{})
			close(changed)
			synctest.Wait()
			if s.shown.icon != step.icon || len(s.notified) != step.notified {
				t.Errorf("%+v: %s, %q", step, s.shown.icon, s.notified)
			}
		}
		choose(action{do: quitTray})
		<-ended
	})
}
