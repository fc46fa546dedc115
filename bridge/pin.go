package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
)

// PINFlow is the one way in which the PIN of a card is asked for, verified, changed and unblocked:
// by a login, from the menu of the tray and on the command line.
type PINFlow struct {
	Screen dialog.Screen
	Card   crs.Card
	Prompt catalog.Prompt

	// Input is how long a dialog may stay without an answer; 0, the default: no limit.
	Input time.Duration

	// Script says that the answers were written before the questions were asked. Their author meant
	// the keys of the reader to light up without a further yes, and wrote one PIN: where a person
	// would be asked once more the flow ends, so that no line meant for something else is sent.
	Script bool

	// Log may be nil.
	Log *slog.Logger

	keyboards *keyboards
}

// Verify lets the owner try the PIN.
func (f PINFlow) Verify(ctx context.Context) error {
	manager, ok := f.Card.(crs.PINManager)
	if !ok {
		return crs.ErrPINUnsupported
	}
	return f.again(ctx, func(f PINFlow, last error) error { return f.verify(ctx, manager, last) })
}

// Change lets the owner change a PIN that they know. Like Unblock it asks until the card accepts
// what was typed, or there is no use in asking. When the user gives up after a refusal, the error
// is both crs.ErrCancelled and the *crs.PINError.
func (f PINFlow) Change(ctx context.Context) error {
	if err := f.refusal(false); err != nil {
		return err
	}
	return f.again(ctx, func(f PINFlow, last error) error { return f.change(ctx, last) })
}

// Unblock is Change with the PUK. Its dialogs name no site, because no site ever needs a PUK.
func (f PINFlow) Unblock(ctx context.Context) error {
	if err := f.refusal(true); err != nil {
		return err
	}
	return f.again(ctx, func(f PINFlow, last error) error { return f.unblock(ctx, last) })
}

// refusal says why the PIN is not changed or not unblocked here, before anything is typed for it. A
// token has no PUK that this software could send, though its PIN can be changed.
func (f PINFlow) refusal(unblock bool) error {
	_, able := f.Card.(crs.PINManager)
	card := f.Card.Info()
	switch {
	case !able, unblock && card.PUKFormat.Max == 0:
		return crs.ErrPINUnsupported
	case card.Contactless:
		return crs.ErrContactless
	}
	return nil
}

// again asks once more after each wrong answer, showing what the card said about it.
func (f PINFlow) again(ctx context.Context, once func(f PINFlow, last error) error) error {
	f.Screen = bounded{f.Screen, f.inTime}
	if f.keyboards == nil {
		f.keyboards = &keyboards{}
	}
	var last error
	for {
		err := once(f, last)
		switch {
		case askAgain(err) && !f.Script:
			last = err
		case last != nil && errors.Is(err, crs.ErrCancelled):
			return fmt.Errorf("%w after %w", crs.ErrCancelled, last)
		default:
			return err
		}
	}
}

// askAgain reports whether the card compared what was typed, found it wrong, and takes another; or
// whether the reader sent it nothing, because what was typed cannot be right.
func askAgain(err error) bool {
	var refused *crs.PINError
	return errors.As(err, &refused) && !refused.Blocked && !refused.Uncertain ||
		errors.Is(err, crs.ErrPINFormat) || errors.Is(err, crs.ErrPadMismatch) || errors.Is(err, crs.ErrPINAgain)
}

// inTime asks one question. Without an answer in time, or before ctx ends, it counts as closed by
// the user.
func (f PINFlow) inTime(ctx context.Context, question func(context.Context) error) error {
	if f.Input > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.Input)
		defer cancel()
	}
	err := question(ctx)
	if ctx.Err() != nil {
		return crs.ErrCancelled
	}
	return err
}

// prompt is what a question for the PIN says.
func (f PINFlow) prompt(ctx context.Context, last error) (catalog.PINPrompt, error) {
	status, err := f.Card.PINStatus(ctx)
	if err != nil && crs.CodeOf(err) == crs.ErrInternal { // not from the card, but from what is kept about its PIN
		f.log().Error("tries not known", "reason", err)
	}
	p := catalog.PINPrompt{Prompt: f.Prompt, Card: f.Card.Info(), Status: status, Last: last}
	p.OnReader = f.onReader(p.Card)
	return p, err
}

// once has the PIN typed one time, in a dialog or on the keys of the reader, and calls use with it,
// or with nil for the reader. A PIN typed to the end is used, and nothing cancels that.
func (f PINFlow) once(ctx context.Context, last error, use func(*crs.PIN) error) error {
	p, err := f.prompt(ctx, last)
	if err != nil {
		return err
	}
	if p.OnReader {
		return f.onceOnReader(ctx, p, use)
	}
	pin, err := typePIN(ctx, f.Screen, p, catalog.PIN)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	if err := f.riskLastTry(ctx, p); err != nil {
		return err
	}
	return use(pin)
}

// riskLastTry asks before what may be the last try.
func (f PINFlow) riskLastTry(ctx context.Context, p catalog.PINPrompt) error {
	if !p.Status.LastTry() {
		return nil
	}
	return mustAgree(ctx, f.Screen, catalog.LastTry(p))
}

// verify is one typing of the PIN, or two if the keys of the reader fail and the user chooses the
// keyboard.
func (f PINFlow) verify(ctx context.Context, manager crs.PINManager, last error) error {
	err := f.once(ctx, last, func(pin *crs.PIN) error { return manager.VerifyPIN(ctx, pin) })
	if errors.Is(err, crs.ErrPINPad) && f.chooseKeyboard(ctx, err) {
		return f.verify(ctx, manager, nil)
	}
	return err
}

// change is one typing of the PIN that holds now, and a new one.
func (f PINFlow) change(ctx context.Context, last error) error {
	p, err := f.prompt(ctx, last)
	if err != nil {
		return err
	}
	if p.OnReader {
		return f.changeOnReader(ctx, p)
	}
	dialogs := f.dialogs(false)
	old, err := typePIN(ctx, f.Screen, p, dialogs.OldPIN)
	if err != nil {
		return err
	}
	defer old.Wipe()
	fresh, err := typeNewPIN(ctx, f.Screen, dialogs, old)
	if err != nil {
		return err
	}
	defer fresh.Wipe()
	if err := f.riskLastTry(ctx, p); err != nil {
		return err
	}
	return f.Card.(crs.PINManager).ChangePIN(ctx, old, fresh)
}

// unblock is one typing of the PUK, and a new PIN.
func (f PINFlow) unblock(ctx context.Context, last error) error {
	manager := f.Card.(crs.PINManager)
	status, err := manager.PUKStatus(ctx)
	if err != nil {
		return err
	}
	dialogs := f.dialogs(true)
	puk, err := typePUK(ctx, f.Screen, dialogs, catalog.PUKPrompt{Prompt: f.Prompt, Card: dialogs.Card, Status: status, Last: last})
	if err != nil {
		return err
	}
	defer puk.Wipe()
	fresh, err := typeNewPIN(ctx, f.Screen, dialogs, nil)
	if err != nil {
		return err
	}
	defer fresh.Wipe()
	if status.LastTry() {
		if err := mustAgree(ctx, f.Screen, dialogs.LastPUK()); err != nil {
			return err
		}
	}
	return manager.UnblockPIN(ctx, puk, fresh)
}

func (f PINFlow) dialogs(unblock bool) catalog.PINFlow {
	return catalog.PINFlow{Card: f.Card.Info(), Unblock: unblock, Lang: f.Prompt.Lang, Developer: f.Prompt.Developer}
}

func (f PINFlow) log() *slog.Logger {
	if f.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.Log
}

// pinFlow returns a flow for a card, with the settings of this bridge.
func (s *Server) pinFlow(card crs.Card, p catalog.Prompt) PINFlow {
	return PINFlow{Screen: s.Screen, Card: card, Prompt: p, Input: s.limits().Input, Log: s.Log, keyboards: &s.keyboards}
}

// ChangePIN lets the owner change the PIN of the card in a reader. It is for the owner alone: no
// page reaches it. Like a login it has the user's attention to itself, or returns crs.ErrBusy.
// A dialog shows the outcome; any other error means that it could not.
func (s *Server) ChangePIN(ctx context.Context, reader string) error {
	return s.ownPIN(ctx, reader, false)
}

// UnblockPIN is ChangePIN with the PUK.
func (s *Server) UnblockPIN(ctx context.Context, reader string) error {
	return s.ownPIN(ctx, reader, true)
}

func (s *Server) ownPIN(ctx context.Context, reader string, unblock bool) error {
	turn, err := s.turns.take(ctx, true)
	if err != nil {
		return err
	}
	defer turn.release()
	dialogs := catalog.PINFlow{Card: crs.Info{Reader: reader}, Unblock: unblock, Developer: s.Developer != 0}
	card, err := s.cardIn(reader)
	if err == nil {
		flow := s.pinFlow(card, catalog.Prompt{Developer: dialogs.Developer})
		flow.Input = s.limits().Login // nobody else waits
		dialogs.Card = card.Info()
		if unblock {
			err = flow.Unblock(turn.ctx)
		} else {
			err = flow.Change(turn.ctx)
		}
	}
	if errors.Is(err, crs.ErrCancelled) || turn.ctx.Err() != nil && err != nil && !sent(err) {
		return nil // the user closed the dialog, and knows
	}
	outcome := "ok"
	if err != nil {
		outcome = string(crs.CodeOf(err))
	}
	s.log().Info("PIN changed by its owner", "unblock", unblock, "reader", reader, "code", outcome, cause(err))
	// What became of a PIN that was sent is shown even if the tray that asked is gone by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits().Input)
	defer cancel()
	return s.Screen.Tell(ctx, dialogs.Report(err))
}

// sent reports whether an error says that a PIN was sent to the card.
func sent(err error) bool {
	var pin *crs.PINError
	return errors.As(err, &pin) || errors.Is(err, crs.ErrPINUnproved)
}

func (s *Server) cardIn(reader string) (crs.Card, error) {
	readers, _ := s.Cards.Readers()
	for _, r := range readers {
		switch {
		case r.Name != reader:
		case r.Card != nil:
			return r.Card, nil
		case r.Err != nil:
			return nil, r.Err
		}
	}
	return nil, crs.ErrCardRemoved
}

// unblock lets the user unblock a PIN that this login found blocked, and returns nil if the login
// can go on. Otherwise it returns blocked, as explained. The page sees no more than that a PIN is
// asked for, and cannot close the dialogs: what is done to the card is the user's business.
func (l *login) unblock(card crs.Card, blocked error) error {
	flow := l.pinFlow(card, catalog.Prompt{Lang: l.lang, Developer: l.prompt.Developer})
	switch why := flow.refusal(true); {
	case errors.Is(why, crs.ErrPINUnsupported), errors.Is(blocked, crs.ErrPINUnsupported):
		return blocked
	case why != nil: // not on this reader: an offer would be a promise that is not kept
		return fmt.Errorf("%w: %w", blocked, why)
	}
	ctx, cancel := context.WithTimeout(l.service, l.limits().Login)
	defer cancel()
	dialogs := flow.dialogs(true)
	yes, err := l.Screen.Ask(ctx, dialogs.Offer())
	if err != nil || !yes {
		return explained{blocked}
	}
	err = flow.Unblock(ctx)
	switch {
	case err == nil:
		l.log().Info("PIN unblocked", "reader", dialogs.Card.Reader)
		return nil
	case errors.Is(err, crs.ErrCancelled), ctx.Err() != nil:
		return explained{blocked}
	}
	l.log().Info("PIN not unblocked", "reader", dialogs.Card.Reader, cause(err))
	if err := l.Screen.Tell(ctx, dialogs.Report(err)); err != nil {
		l.log().Warn("report not read", "reason", err)
	}
	return explained{blocked}
}

// explained is a failure that needs no further word to the user.
type explained struct{ error }

func (e explained) Unwrap() error { return e.error }
