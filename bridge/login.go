package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// loginRequest is a portal's request for a login.
type loginRequest struct {
	origin       crs.Origin
	top          crs.Origin    // zero: the page that asks is not shown within one of another site
	program      func() string // what runs the browser: see catalog.Prompt
	challenge    string
	lang         string
	personalData bool
	service      context.Context // ends when the bridge does, not when the page goes
	progress     func(state)
}

// state is how far a login got, as the page sees it. Each is reported once, in this order, so that
// whether a card was missing or a PIN wrong stays between the user and the dialog.
type state int

const (
	stateConsent state = iota + 1 // the user is asked about the site
	stateCard                     // a card is waited for
	statePIN                      // the PIN is asked for
	stateSigning                  // the card is at work
)

func (s state) String() string { return [...]string{"", "consent", "card", "pin", "signing"}[s] }

// login takes one request the rest of its way: hops 1 and 2 were the page and the front end,
// which vouches for the origin. While it runs, ctx ends when the page goes (errGone), cancels
// (crs.ErrCancelled) or has to give way to another (crs.ErrBusy).
func (s *Server) login(ctx context.Context, r loginRequest) (result authenticateResult, err error) {
	began := time.Now()
	defer func() { s.ended(r.origin, err, time.Since(began)) }()

	// Hop 3: a challenge that may be signed, a site that may ask, one login at a time.
	challenge, err := crs.ParseChallenge(r.challenge)
	if err != nil {
		return result, errParams
	}
	statement, err := crs.NewStatement(r.origin, challenge)
	if err != nil {
		return result, err
	}
	allowed, err := s.mayAsk(r.origin, r.top)
	if err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits().Login, crs.ErrTimeout)
	defer cancel()
	turn, err := s.turns.take(ctx, allowed)
	if err != nil {
		return result, err
	}
	defer turn.release()
	ctx = turn.ctx
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	l := &login{
		Server:       s,
		loginRequest: r,
		prompt:       catalog.Prompt{Origin: r.origin, Top: r.top, Lang: r.lang, Developer: s.Developer != 0},
		statement:    statement,
	}

	// Hop 4: a site that never logged in here is a question to the user. Until the yes, no
	// card and no reader is looked at.
	if !allowed {
		if err := l.askConsent(ctx, turn); err != nil {
			return result, err
		}
	}

	// Hops 5 to 7: a card, the PIN, the signature.
	signature, personalData, err := l.signWithCard(ctx)
	if err != nil {
		return result, err
	}

	// Hop 8: the reply, and a site that need not ask again; unless the user, who had minutes to
	// think about it, blocked it meanwhile.
	switch state, err := s.siteState(r.origin); {
	case err != nil:
		l.explain(ctx, err)
		return result, err
	case state == crs.SiteBlocked:
		return result, crs.ErrOriginDenied
	}
	if err := s.Sites.Allow(r.origin); err != nil {
		s.log().Error("site not remembered as allowed", "origin", r.origin.String(), "reason", err)
	}
	return authenticateResult{crs.NewToken(signature, s.AppVersion), personalData}, nil
}

// login is what the steps below share.
type login struct {
	*Server
	loginRequest
	prompt    catalog.Prompt
	statement crs.Statement
	reported  state
}

// mayAsk reports whether the user allowed a site; one that may not connect, or is mute, gets an
// error.
func (s *Server) mayAsk(o, top crs.Origin) (allowed bool, err error) {
	state, err := s.mayConnect(o, top)
	if err == nil && s.mutes.muted(o) {
		err = crs.ErrOriginDenied
	}
	return err == nil && state == crs.SiteAllowed, err
}

// siteState returns what the user decided about a site.
func (s *Server) siteState(o crs.Origin) (crs.SiteState, error) {
	state, err := s.Sites.State(o)
	if err != nil {
		s.log().Error("list of sites not read", "reason", err)
		return crs.SiteUnknown, fmt.Errorf("list of sites: %w", err)
	}
	return state, nil
}

// askConsent asks the first-time question. It calls no method of Cards or of a card.
func (l *login) askConsent(ctx context.Context, turn *turn) error {
	if err := l.questions.take(l.origin, l.limits().Question); err != nil {
		return err
	}
	prompt := l.prompt
	prompt.Program = l.program()
	l.report(stateConsent)
	switch yes, err := l.screen().Ask(ctx, catalog.AllowSite(prompt)); {
	case err != nil:
		return err
	case !yes:
		return dismissal{crs.ErrCancelled}
	}
	if err := turn.answered(); err != nil {
		return err
	}
	l.questions.answeredYes(l.origin)
	return nil
}

// signWithCard lets the user choose a card and signs with it, from the start again when the
// card was taken out.
func (l *login) signWithCard(ctx context.Context) (crs.Signature, []byte, error) {
	var last error // why the PIN is asked again
	for {
		card, changed, err := l.chooseCard(ctx)
		if err != nil {
			return crs.Signature{}, nil, err
		}
		// Before the PIN, so that a failure costs no try.
		data, err := l.readPersonalData(ctx, card)
		var signature crs.Signature
		if err == nil {
			signature, err = l.sign(ctx, card, last)
		}
		if err == nil {
			return signature, data, nil
		}
		l.explain(ctx, err)
		if !startOver(err) {
			return crs.Signature{}, nil, err
		}
		last = nil
		if errors.Is(err, crs.ErrCardInUse) {
			last = err
		}
		// The readers may not have been looked at again yet.
		if err := wait(ctx, changed, time.Second); err != nil {
			return crs.Signature{}, nil, err
		}
	}
}

// startOver reports whether the card must be found and identified again: one that another program
// uses is waited for like one that was taken out. There is nothing to find in a reader that does
// not answer, which the user has to unplug, or in one whose keys failed.
func startOver(err error) bool {
	var pin *crs.PINError
	return !errors.Is(err, crs.ErrCardStuck) && !errors.Is(err, crs.ErrPINPad) && (errors.Is(err, crs.ErrCardRemoved) || errors.Is(err, crs.ErrCardReset) || errors.Is(err, crs.ErrCardInUse) ||
		errors.As(err, &pin) && pin.Uncertain && pin.Err != nil)
}

// readPersonalData returns the personal data on the card if the portal asked for them, the
// user agrees and the card gives them away. A portal can do without them.
func (l *login) readPersonalData(ctx context.Context, card crs.Card) ([]byte, error) {
	reader, ok := card.(crs.PersonalDataReader)
	if !ok || !l.personalData {
		return nil, nil
	}
	yes, err := l.screen().Ask(ctx, catalog.SharePersonalData(l.prompt, card.Info()))
	if err != nil || !yes {
		return nil, err
	}
	data, err := reader.PersonalData(ctx)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, crs.ErrNoPersonalData):
		return nil, nil
	case ctx.Err() != nil:
		return nil, err
	}
	why := crs.Word(err)
	switch why {
	case "removed", "reset", "in_use", "stuck",
		"no_service", "service_refuses", "service_stuck", "service_failed", "no_memory", "no_reader":
		return nil, err // the card could not be asked, and could not sign either
	}
	l.log().Warn("personal data not read", "origin", l.origin.String(), "reason", why)
	return nil, nil
}

// sign asks for the PIN until the card accepts it. Each typing is sent at most once, and none after
// the keys of a reader failed.
func (l *login) sign(ctx context.Context, card crs.Card, last error) (crs.Signature, error) {
	for {
		signature, err := l.signOnce(ctx, card, last)
		var refused *crs.PINError
		switch {
		case err == nil:
			return signature, nil
		case errors.Is(err, crs.ErrPINPad):
			return crs.Signature{}, l.offerKeyboard(card, err)
		case ctx.Err() != nil, startOver(err), errors.Is(err, crs.ErrCardStuck):
			return crs.Signature{}, err
		case errors.As(err, &refused) && refused.Blocked:
			if err := l.unblock(card, err); err != nil {
				return crs.Signature{}, err
			}
			err = crs.ErrPINUnblocked
		case errors.Is(err, crs.ErrPINFormat), errors.Is(err, crs.ErrPINAgain), errors.As(err, &refused):
		default:
			return crs.Signature{}, err
		}
		last = err
	}
}

// signOnce is one typing of the PIN. The driver heeds ctx up to the first byte of the PIN; from
// there on it waits for the card's answer, whatever happens to the page.
func (l *login) signOnce(ctx context.Context, card crs.Card, last error) (signature crs.Signature, err error) {
	flow := l.pinFlow(card, l.prompt)
	flow.Screen = l.screen()
	l.report(statePIN)
	err = flow.once(ctx, last, func(pin *crs.PIN) (err error) {
		if pin != nil {
			l.report(stateSigning)
		}
		signature, err = card.Sign(ctx, pin, l.statement)
		return err
	})
	switch {
	case errors.Is(err, crs.ErrCancelled) && ctx.Err() == nil: // a no, or the reader's red key
		return crs.Signature{}, dismissal{crs.ErrCancelled}
	case err != nil:
		return crs.Signature{}, err
	}
	l.report(stateSigning)
	if err := signature.Verify(l.statement); err != nil {
		return crs.Signature{}, fmt.Errorf("%w: %w", crs.ErrCard, err)
	}
	return signature, context.Cause(ctx)
}

// explain shows the user why the card, or this program, failed. What became of a PIN that was
// sent is shown even if the page is gone by now.
func (l *login) explain(ctx context.Context, problem error) {
	var sent *crs.PINError
	var by dismissal
	var nobody unasked
	var told explained
	switch code := crs.CodeOf(problem); {
	case errors.As(problem, &by), errors.As(problem, &nobody), errors.As(problem, &told):
		return
	case errors.As(problem, &sent):
	case ctx.Err() != nil, startOver(problem):
		return
	case code != crs.ErrCard && code != crs.ErrCardUnusable && code != crs.ErrInternal:
		return
	}
	ctx, cancel := context.WithTimeout(l.service, l.limits().Input)
	defer cancel()
	if err := l.Screen.Tell(ctx, catalog.Report(l.prompt, problem)); err != nil {
		l.log().Warn("report not read", "origin", l.origin.String(), "reason", err)
	}
}

// report tells the page how far the login got, if that is further than before.
func (l *login) report(s state) {
	if s > l.reported {
		l.reported = s
		l.progress(s)
	}
}

// dismissal is the code of a login that the user closed.
type dismissal struct{ code crs.Code }

func (d dismissal) Error() string        { return "dismissed by the user" }
func (d dismissal) Is(target error) bool { return target == d.code }

// unasked is why the user cannot be asked.
type unasked struct{ error }

func (u unasked) Unwrap() error { return u.error }

// screen asks the questions of this login, each with its time limit.
func (l *login) screen() bounded { return bounded{l.Screen, l.ask} }

// ask shows one dialog, and bounds the time without an answer. An answer that comes after ctx has
// ended is void.
func (l *login) ask(ctx context.Context, dialog func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	limited, cancel := context.WithTimeoutCause(ctx, l.limits().Input, crs.ErrTimeout)
	defer cancel()
	err := dialog(limited)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil
	case limited.Err() != nil:
		return context.Cause(limited)
	case errors.Is(err, crs.ErrCancelled):
		return dismissal{crs.ErrCancelled}
	case crs.CodeOf(err) == crs.ErrInternal:
		l.log().Error("the user cannot be asked", "origin", l.origin.String(), "reason", err)
		return unasked{err}
	}
	return err
}

// wait returns when something changed, but no later than after most.
func wait(ctx context.Context, changed <-chan struct{}, most time.Duration) error {
	select {
	case <-changed:
	case <-time.After(most):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// ended writes the outcome to the log, and counts what the user dismissed.
func (s *Server) ended(o crs.Origin, err error, took time.Duration) {
	var by dismissal
	if errors.As(err, &by) {
		s.mutes.dismissed(o, s.limits())
	}
	outcome := string(crs.CodeOf(err))
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, errGone):
		outcome = "gone"
	}
	s.log().Info("login", "origin", o.String(), "code", outcome, "duration", took.Round(time.Millisecond), cause(err))
}

// cause gives the log more than a code, for errors that cannot hold anything from the card.
func cause(err error) slog.Attr {
	var causes []string
	var pin *crs.PINError
	if errors.As(err, &pin) {
		what := "PIN refused"
		if pin.Uncertain {
			what = "no clear answer to the PIN"
		}
		causes = append(causes, fmt.Sprintf("%s, SW %04X", what, pin.SW))
	}
	if word := crs.Word(err); word != string(crs.CodeOf(err)) {
		causes = append(causes, word)
	}
	if causes == nil {
		return slog.Attr{}
	}
	return slog.String("cause", strings.Join(causes, ": "))
}
