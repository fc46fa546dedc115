package catalog

import (
	"errors"
	"strconv"
	"strings"

	"github.com/crs-bridge/crs"
)

// ReaderPIN asks whether to go on to the PIN, which is typed on the reader.
func ReaderPIN(p PINPrompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindReader, p.Prompt, "pin.title", "pin.before", "")
	d.After = t.paragraphs(t.say("pin.after", "holder", t.holder(p.Card)), t.say("pad.ask"), t.tries(p))
	d.Before = t.paragraphs(t.again(p.Last), d.Before)
	return t.answers(d, "continue", "pin.cancel", "terminal.yesno")
}

// TypePIN asks the user to type the PIN on the reader now.
func TypePIN(p PINPrompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindType, p.Prompt, "pad.title", "pin.before", "")
	d.After = t.paragraphs(t.say("pin.after", "holder", t.holder(p.Card)), t.say("pad.type"), t.digits(p.Card),
		t.tries(p), t.say("pad.cancel"))
	return t.answers(d, "", "pad.close", "")
}

// ChangeOnReader asks the user to type the old PIN and the new one on the reader now.
func ChangeOnReader(p PINPrompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindChange, p.Prompt, "care.title.change", "", "")
	f := p.Card.PINFormat
	d.After = t.paragraphs(t.say("pin.after", "holder", t.holder(p.Card)),
		t.say("pad.change", "min", strconv.Itoa(f.Min), "max", strconv.Itoa(f.Max)), t.tries(p), t.say("pad.cancel"))
	return t.answers(d, "", "pad.close", "")
}

// ProveOnReader asks the user to type the new PIN on the reader once more: until then the change is
// only the reader's claim.
func ProveOnReader(p PINPrompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindProve, p.Prompt, "care.title.change", "", "")
	d.After = t.paragraphs(t.say("pin.after", "holder", t.holder(p.Card)), t.say("pad.prove"), t.say("pad.cancel"))
	return t.answers(d, "", "pad.close", "")
}

// Keyboard says how the keys of a reader failed, and asks whether to type the PIN on the keyboard.
func Keyboard(p Prompt, card crs.Info, failed error) Text {
	t := in(p.Lang)
	d := t.dialog(KindKeyboard, p, "pad.failedtitle", "", "")
	d.Site = ""
	next := "pad.next"
	if p.Origin.IsZero() {
		next = "pad.now"
	}
	d.After = t.paragraphs(t.padProblem(failed), t.say("pad.choice", "reader", literal(card.Reader, maxReader)), t.say(next))
	return t.answers(d, "pad.keyboard", "last.no", "terminal.yesno")
}

// padProblem says how the keys of a reader failed, and what is safest.
func (t texts) padProblem(failed error) string {
	what := "pad.unable"
	var sent *crs.PINError
	if errors.As(failed, &sent) {
		what = "pad.failed"
	}
	return t.paragraphs(t.say(what), t.say("pad.other"))
}

// pukKeyboard says where the PUK is typed, where there is a choice.
func (t texts) pukKeyboard(card crs.Info) string {
	if !card.PINPad {
		return ""
	}
	return t.say("pad.puk")
}

// paragraphs joins those that are not empty.
func (t texts) paragraphs(all ...string) string {
	var some []string
	for _, p := range all {
		if p != "" {
			some = append(some, p)
		}
	}
	return strings.Join(some, "\n\n")
}
