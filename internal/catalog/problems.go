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
		return t.say("pad.again")
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
		return t.say("pin.form")
	}
	return t.problem(last)
}

// Refused says what became of a PIN that was tried. The status is what is known of it since: it
// may be less than what the card tells.
func Refused(err error, status crs.PINStatus) string {
	return Wrap(in("").problemOf(err, status), Width)
}

// problem says what went wrong and what to do now.
func (t texts) problem(err error) string { return t.problemOf(err, crs.UnknownPINStatus) }

func (t texts) problemOf(err error, status crs.PINStatus) string {
	var pinErr *crs.PINError
	switch {
	case errors.As(err, &pinErr) && pinErr.PUK:
		return t.refusedPUK(pinErr, status)
	case errors.Is(err, crs.ErrPINPad):
		return t.padProblem(err)
	case errors.Is(err, crs.ErrPINUnproved):
		return t.say("pad.unproved")
	case errors.Is(err, crs.ErrPadTimeout):
		return t.say("pad.timeout")
	case errors.Is(err, crs.ErrPadMismatch):
		return t.say("care.differ")
	case errors.Is(err, crs.ErrPINAgain):
		return t.say("pad.again")
	case errors.Is(err, crs.ErrPINBlocked) && errors.Is(err, crs.ErrPINUnsupported):
		return t.say("blocked.token")
	case errors.Is(err, crs.ErrPINUnsupported):
		return t.say("care.unsupported")
	case errors.Is(err, crs.ErrContactless):
		return t.say("care.contactless")
	case errors.Is(err, crs.ErrPINBlocked):
		return t.say("blocked")
	case errors.As(err, &pinErr) && errors.Is(err, crs.ErrCardStuck):
		return t.say("pin.unanswered") + "\n\n" + t.say("problem.stuck")
	case errors.As(err, &pinErr) && pinErr.Uncertain && errors.Is(err, crs.ErrModule):
		return t.say("pin.unanswered") + "\n\n" + t.say("problem.module")
	case errors.As(err, &pinErr):
		return t.again(err) + "\n\n" + t.tries(PINPrompt{Status: status, Last: err})
	case errors.Is(err, crs.ErrPINFormat):
		return t.say("pin.form")
	case errors.Is(err, crs.ErrModule):
		return t.say("problem.module")
	case errors.Is(err, crs.ErrCannotSign):
		return t.say("problem.cannotsign")
	case errors.Is(err, crs.ErrNoCNS):
		return t.say("problem.nocns")
	case errors.Is(err, crs.ErrPINUnusable):
		return t.say("problem.pinunusable")
	case errors.Is(err, crs.ErrNoService):
		return t.say("problem.service")
	case errors.Is(err, crs.ErrCardMute):
		return t.say("problem.mute")
	case errors.Is(err, crs.ErrCardStuck):
		return t.say("problem.stuck")
	case errors.Is(err, crs.ErrCardInUse):
		return t.say("problem.inuse")
	case errors.Is(err, crs.ErrCardRemoved):
		return t.say("problem.removed")
	case errors.Is(err, crs.ErrCardReset):
		return t.say("problem.reset")
	}
	if code := crs.CodeOf(err); code == crs.ErrCard || code == crs.ErrCardUnusable {
		return t.say("problem.card")
	}
	return t.say("problem.other") + "\n\n" + t.say("problem.detail", "detail", literal(fmt.Sprint(err), maxDetail))
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

// passes reports whether the text of a problem says how to get rid of it, so that all is well the
// next time.
func passes(problem error) bool {
	var pinErr *crs.PINError
	switch {
	case errors.Is(problem, crs.ErrCardStuck), errors.Is(problem, crs.ErrCardMute), errors.Is(problem, crs.ErrNoCNS):
		return true
	case errors.As(problem, &pinErr), errors.Is(problem, crs.ErrPINUnproved): // the text says what to do about the PIN
		return false
	}
	return crs.CodeOf(problem) == crs.ErrCard
}
