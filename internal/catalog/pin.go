package catalog

import (
	"errors"
	"strconv"
	"strings"

	"github.com/crs-bridge/crs"
)

// PINFlow makes the dialogs in which an owner changes or unblocks a PIN. No site ever asks for
// them.
type PINFlow struct {
	Card      crs.Info
	Unblock   bool // with the PUK, not with the current PIN
	Lang      string
	Developer bool // as in Prompt
}

// dialog starts a dialog that names no site.
func (c PINFlow) dialog(kind Kind, t texts, title string) Text {
	return t.dialog(kind, Prompt{Developer: c.Developer}, title, "", "")
}

// begin adds a text to what a dialog says before all else.
func (d *Text) begin(text string) { d.Before = strings.TrimSpace(d.Before + "\n\n" + text) }

// OldPIN asks for the current PIN, before a change.
func (c PINFlow) OldPIN(p PINPrompt) Text {
	t := in(c.Lang)
	d := PIN(p)
	d.Kind = KindOldPIN
	d.Title = t.say("care.title.change")
	d.begin(t.say("care.old"))
	return d
}

// Offer asks whether to unblock the PIN now.
func (c PINFlow) Offer() Text {
	t := in(c.Lang)
	d := c.dialog(KindOffer, t, "blocked.title")
	d.After = t.paragraphs(t.say("care.offer", "holder", t.holder(c.Card)), t.pukKeyboard(c.Card))
	return t.answers(d, "care.offer.yes", "care.offer.no", "terminal.yesno")
}

// PUK asks for the PUK.
func (c PINFlow) PUK(p PUKPrompt) Text {
	t := in(c.Lang)
	d := c.dialog(KindPUK, t, "care.title.unblock")
	n := strconv.Itoa(c.Card.PUKFormat.Max)
	switch {
	case errors.Is(p.Last, crs.ErrPINFormat):
		d.begin(t.say("care.pukform", "max", n))
	case p.Last != nil:
		d.begin(t.say("care.wrongpuk"))
	}
	d.After = t.paragraphs(t.say("pin.after", "holder", t.holder(c.Card)), t.say("care.puk", "max", n), t.pukKeyboard(c.Card),
		t.pukTries(p.Status), t.say("care.pukrisk"))
	return t.answers(d, "continue", "pin.cancel", "care.terminal.puk")
}

// LastPUK asks whether to risk what may be the last try of the PUK.
func (c PINFlow) LastPUK() Text {
	t := in(c.Lang)
	d := c.dialog(KindLastTry, t, "last.title")
	d.After = t.say("care.lastpuk", "holder", t.holder(c.Card))
	return t.answers(d, "care.lastpuk.yes", "last.no", "terminal.yesno")
}

func (t texts) pukTries(s crs.PINStatus) string {
	if s.Retries < 0 {
		return t.say("care.tries.unknown")
	}
	return t.say("care.tries.known", "tries", strconv.Itoa(s.Retries))
}

// Why a new PIN is asked again.
var (
	ErrDiffer = errors.New("the two new PINs are not the same")
	ErrSame   = errors.New("the new PIN is the old one")
)

// NewPIN asks for the new PIN, or for the same one again.
func (c PINFlow) NewPIN(again bool, last error) Text {
	t := in(c.Lang)
	kind, title := KindNewPIN, "care.title.change"
	if c.Unblock {
		title = "care.title.unblock"
	}
	if again {
		kind = KindNewAgain
	}
	d := c.dialog(kind, t, title)
	switch {
	case errors.Is(last, ErrDiffer):
		d.begin(t.say("problem.pad_mismatch"))
	case errors.Is(last, ErrSame):
		d.begin(t.say("care.same"))
	case last != nil:
		d.begin(t.again(last))
	}
	f, key := c.Card.PINFormat, "care.new"
	if !f.DigitsOnly {
		key = "care.new.token"
	}
	d.After = t.say(key, "min", strconv.Itoa(f.Min), "max", strconv.Itoa(f.Max))
	if again {
		d.After = t.say("care.again")
	}
	return t.answers(d, "continue", "pin.cancel", "terminal.pin")
}

// Report says what became of a change or an unblock; problem is nil if it was done.
func (c PINFlow) Report(problem error) Text {
	t := in(c.Lang)
	title, text := "care.title.failed", c.failed(problem, crs.UnknownPINStatus)
	switch {
	case problem == nil && c.Unblock:
		title, text = "care.title.unblocked", t.say("care.unblocked")
	case problem == nil:
		title, text = "care.title.changed", t.say("care.changed")
	}
	d := c.dialog(KindOutcome, t, title)
	d.After = text
	if c.Card.Holder != "" {
		d.After = t.say("pin.after", "holder", t.holder(c.Card)) + "\n\n" + d.After
	}
	return t.answers(d, "understood", "", "")
}

// Failed says what became of a change or an unblock that failed. The status is what is known of
// the PIN, or of the PUK, since.
func (c PINFlow) Failed(err error, status crs.PINStatus) string {
	return Wrap(c.failed(err, status), Width)
}

func (c PINFlow) failed(err error, status crs.PINStatus) string {
	t := in(c.Lang)
	var refused *crs.PINError
	if err == nil {
		return ""
	}
	if errors.As(err, &refused) && refused.Uncertain {
		return t.say("care.uncertain")
	}
	return t.problemOf(err, status)
}
