package screen

import (
	"context"
	"strings"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// User is a dialog.Screen with a person in front of it, who agrees to all but an unblock and the
// keyboard in place of a reader's keys, picks the first card, types the right codes, reads what is
// told, and leaves alone what only waits; unless a test says otherwise.
type User struct {
	PIN, PUK, Fresh string // what is typed where these are asked for

	mu    sync.Mutex
	ask   map[catalog.Kind]func(context.Context, catalog.Text) (bool, error)
	pins  map[catalog.Kind]func(context.Context, catalog.Text) (*crs.PIN, error)
	show  map[catalog.Kind]func(context.Context, catalog.Text) error
	pick  func(context.Context, catalog.Text, []string) (int, error)
	lines []string
	typed []*crs.PIN
	texts []catalog.Text
	notes []string
}

// OnAsk says how a question of a kind is answered from now on, nil: as at first. So do the others.
func (u *User) OnAsk(k catalog.Kind, answer func(context.Context, catalog.Text) (bool, error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ask == nil {
		u.ask = map[catalog.Kind]func(context.Context, catalog.Text) (bool, error){}
	}
	u.ask[k] = answer
}

// OnPIN is OnAsk for a PIN or PUK that is typed.
func (u *User) OnPIN(k catalog.Kind, answer func(context.Context, catalog.Text) (*crs.PIN, error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pins == nil {
		u.pins = map[catalog.Kind]func(context.Context, catalog.Text) (*crs.PIN, error){}
	}
	u.pins[k] = answer
}

// OnShow is OnAsk for what is told, or waits.
func (u *User) OnShow(k catalog.Kind, answer func(context.Context, catalog.Text) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.show == nil {
		u.show = map[catalog.Kind]func(context.Context, catalog.Text) error{}
	}
	u.show[k] = answer
}

// OnChoose is OnAsk for rows.
func (u *User) OnChoose(answer func(context.Context, catalog.Text, []string) (int, error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pick = answer
}

// Types has the user type these lines in turn, no matter what is asked for, and then close the
// dialog.
func (u *User) Types(lines ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lines = append([]string{}, lines...)
}

// Log returns a note of each dialog, in order: see Note.
func (u *User) Log() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.notes, " ")
}

// Texts returns the dialogs of these kinds, or all.
func (u *User) Texts(kinds ...catalog.Kind) (some []catalog.Text) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, t := range u.texts {
		for _, k := range kinds {
			if t.Kind == k {
				some = append(some, t)
			}
		}
		if kinds == nil {
			some = append(some, t)
		}
	}
	return some
}

// Typed returns what was typed.
func (u *User) Typed() []*crs.PIN {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*crs.PIN{}, u.typed...)
}

func (u *User) note(t catalog.Text) {
	u.texts = append(u.texts, t)
	u.notes = append(u.notes, Note(t))
}

// Ask implements dialog.Screen.
func (u *User) Ask(ctx context.Context, t catalog.Text) (bool, error) {
	u.mu.Lock()
	u.note(t)
	answer := u.ask[t.Kind]
	u.mu.Unlock()
	if answer != nil {
		return answer(ctx, t)
	}
	return t.Kind != catalog.KindOffer && t.Kind != catalog.KindKeyboard, nil
}

// Choose implements dialog.Screen.
func (u *User) Choose(ctx context.Context, t catalog.Text, rows []string) (int, error) {
	u.mu.Lock()
	u.note(t)
	answer := u.pick
	u.mu.Unlock()
	if answer != nil {
		return answer(ctx, t, rows)
	}
	return 0, nil
}

// AskPIN implements dialog.Screen.
func (u *User) AskPIN(ctx context.Context, t catalog.Text) (pin *crs.PIN, err error) {
	u.mu.Lock()
	u.note(t)
	answer := u.pins[t.Kind]
	if answer == nil {
		defer u.mu.Unlock()
		line := map[catalog.Kind]string{catalog.KindPIN: u.PIN, catalog.KindOldPIN: u.PIN, catalog.KindPUK: u.PUK}
		next, ok := line[t.Kind]
		if !ok {
			next = u.Fresh
		}
		if u.lines != nil {
			if len(u.lines) == 0 {
				return nil, crs.ErrCancelled
			}
			next, u.lines = u.lines[0], u.lines[1:]
		}
		pin = crs.NewPIN([]byte(next))
		u.typed = append(u.typed, pin)
		return pin, nil
	}
	u.mu.Unlock()
	pin, err = answer(ctx, t)
	u.mu.Lock()
	defer u.mu.Unlock()
	if pin != nil {
		u.typed = append(u.typed, pin)
	}
	return pin, err
}

// Tell implements dialog.Screen.
func (u *User) Tell(ctx context.Context, t catalog.Text) error {
	if ctx.Err() != nil {
		return ctx.Err() // nobody can be told
	}
	u.mu.Lock()
	u.note(t)
	answer := u.show[t.Kind]
	u.mu.Unlock()
	if answer != nil {
		return answer(ctx, t)
	}
	return nil
}

// Wait implements dialog.Screen.
func (u *User) Wait(ctx context.Context, t catalog.Text) error {
	u.mu.Lock()
	u.note(t)
	answer := u.show[t.Kind]
	u.mu.Unlock()
	if t.Kind == catalog.KindType || t.Kind == catalog.KindChange || t.Kind == catalog.KindProve {
		defer func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.notes = append(u.notes, "done")
		}()
	}
	if answer != nil {
		return answer(ctx, t)
	}
	return Never(ctx)
}

// Never is a dialog that the user leaves alone.
func Never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Note is what a test wants to know of a dialog: its kind, the site that the first-time question
// names, and, where it says why it is asked or told, that.
func Note(t catalog.Text) string {
	var why string
	before := strings.Split(strings.TrimPrefix(t.Before, catalog.Say("developer")+"\n\n"), "\n\n")
	after := strings.Split(t.After, "\n\n")
	switch t.Kind {
	case catalog.KindAllow:
		why = t.Site
	case catalog.KindPIN, catalog.KindReader, catalog.KindOldPIN, catalog.KindPUK, catalog.KindNewPIN:
		if t.Site != "" || t.Kind == catalog.KindOldPIN { // then the last says for what it is asked
			before = before[:len(before)-1]
		}
		why = strings.Join(before, " ")
	case catalog.KindInsert:
		if t.After != catalog.Say("insert.after")+"\n\n"+catalog.Say("insert.turn") {
			why = strings.Join(after, " ")
		}
	case catalog.KindReport, catalog.KindKeyboard:
		why = strings.Join(after, " ")
	case catalog.KindOutcome:
		why = t.Title + " " + after[len(after)-1]
	}
	if why == "" {
		return string(t.Kind)
	}
	return string(t.Kind) + ":" + why
}
