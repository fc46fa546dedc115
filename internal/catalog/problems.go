package catalog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crs-bridge/crs"
)

// again says why the PIN is asked once more, "" the first time.
func (t texts) again(last error) string {
	var pinErr *crs.PINError
	switch {
	case last == nil:
		return ""
	case errors.Is(last, crs.ErrPINUnblocked):
		return t.say("pin.unblocked")
	case errors.Is(last, crs.ErrPINAgain):
		return t.say("problem.pin_again")
	case errors.As(last, &pinErr) && pinErr.Uncertain:
		return t.say("pin.uncertain")
	case errors.As(last, &pinErr):
		return t.say("pin.wrong")
	case errors.Is(last, errEmpty):
		return t.say("pin.empty")
	case errors.Is(last, errShort):
		return t.say("pin.short")
	case errors.Is(last, errLong):
		return t.say("pin.long")
	case errors.Is(last, errDigits):
		return t.say("pin.digits")
	case errors.Is(last, crs.ErrPINFormat):
		return t.say("problem.pin_format")
	}
	return t.problem(last)
}

// Refused says what became of a PIN that was tried. The status is what is known of it since: its
// number may be smaller than the card's.
func Refused(err error, status crs.PINStatus) string {
	return Wrap(in("").problemOf(err, status), Width)
}

// problem says what went wrong and what to do now.
func (t texts) problem(err error) string { return t.problemOf(err, crs.UnknownPINStatus) }

func (t texts) problemOf(err error, status crs.PINStatus) string {
	var refused *crs.PINError
	word := crs.Word(err)
	key := "problem." + word
	switch {
	case errors.As(err, &refused) && refused.PUK:
		return t.refusedPUK(refused, status)
	case errors.Is(err, crs.ErrPINPad):
		return t.padProblem(err)
	case errors.Is(err, crs.ErrPINBlocked) && errors.Is(err, crs.ErrPINUnsupported):
		return t.say("problem.pin_blocked.token")
	case errors.Is(err, crs.ErrPINBlocked) && errors.Is(err, crs.ErrContactless):
		return t.say("problem.pin_blocked") + "\n\n" + t.say("problem.contactless")
	case errors.Is(err, crs.ErrPINBlocked):
		return t.say("problem.pin_blocked")
	case refused != nil && (word == "stuck" || refused.Uncertain && word == "module"):
		return t.say("pin.unanswered") + "\n\n" + t.say(key)
	case refused != nil:
		return t.again(err) + "\n\n" + t.tries(PINPrompt{Status: status, Last: err})
	}
	if t.has(key) && word != string(crs.ErrInternal) {
		return t.say(key)
	}
	if code := crs.CodeOf(err); code == crs.ErrCard || code == crs.ErrCardUnusable {
		return t.say("problem.card_error")
	}
	return t.say("problem.internal") + "\n\n" + t.say("problem.detail", "detail", literal(fmt.Sprint(err), maxDetail))
}

// cardProblem is problem for the card's holder only: it says whose card it is, if the card is known
// but cannot be used.
func (t texts) cardProblem(err error) string {
	text := t.problem(err)
	if model := (*crs.ModelError)(nil); errors.As(err, &model) && model.Holder != "" {
		text = t.say("problem.whose", "holder", literal(model.Holder, maxHolder), "date", model.Expires.Format("02/01/2006")) + "\n\n" + text
	}
	return text
}

// TrayProblem returns the key of the text for a card that cannot be used, short enough for a menu.
// A word without a text may come from a newer service.
func TrayProblem(word string) string {
	if key := "tray.problem." + word; in("").has(key) {
		return key
	}
	return "tray.problem.card_error"
}

// Problem says what went wrong with a card or its reader, and what to do now.
func Problem(err error) string {
	return strings.ReplaceAll(in("").problem(err), "\n\n", " ")
}

// refusedPUK says what a refusal of the PUK means.
func (t texts) refusedPUK(e *crs.PINError, status crs.PINStatus) string {
	switch {
	case e.Blocked:
		return t.say("care.pukblocked")
	case e.Uncertain:
		return t.say("care.uncertain")
	}
	status.Retries = Tries(PINPrompt{Status: status, Last: e})
	return strings.Join([]string{t.say("care.wrongpuk"), t.pukTries(status), t.say("care.pukrisk")}, "\n\n")
}

// passes reports whether the text of a problem says how to solve it, so that the next login works.
func passes(problem error) bool {
	var pinErr *crs.PINError
	switch {
	case errors.Is(problem, crs.ErrCardStuck), errors.Is(problem, crs.ErrCardMute), errors.Is(problem, crs.ErrNoCNS),
		errors.Is(problem, crs.ErrCertificate), errors.Is(problem, crs.ErrModelCannotSign):
		return true
	case errors.As(problem, &pinErr), errors.Is(problem, crs.ErrPINUnproved): // the text says what to do about the PIN
		return false
	}
	return crs.CodeOf(problem) == crs.ErrCard
}
