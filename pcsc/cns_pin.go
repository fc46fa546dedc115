package pcsc

import (
	"context"
	"errors"
	"fmt"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

// cnsPUK is the PUK of every CNS: 8 digits on every TS-CNS that was handed out.
var cnsPUK = crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}

// VerifyPIN is Sign without a signature; but a PIN that is typed on the reader needs one as proof.
func (c *cns) VerifyPIN(ctx context.Context, pin *crs.PIN) error {
	defer pin.Wipe()
	if pin == nil {
		return c.withPIN(ctx, nil, c.provePIN)
	}
	return c.withPIN(ctx, pin, func(*session) error { return nil })
}

// ChangePIN is CHANGE REFERENCE DATA (ISO/IEC 7816-4, section 11.5.7): 24, P1 00, old and new PIN.
// A wrong old PIN costs a try, as in a VERIFY, and is counted as one.
func (c *cns) ChangePIN(ctx context.Context, old, fresh *crs.PIN) error {
	defer old.Wipe()
	defer fresh.Wipe()
	if old == nil && fresh == nil && c.pinPad {
		return c.changeOnPad(ctx)
	}
	if old == nil || fresh == nil {
		return fmt.Errorf("%w: the PINs cannot be typed on this reader", crs.ErrInternal)
	}
	if err := errors.Join(old.Check(cnsPIN), fresh.Check(cnsPIN)); err != nil {
		return err
	}
	return c.replacePIN(ctx, func(s *session, ref byte) error {
		return c.sendPair(s, command{ins: insChangePIN, p2: ref}, old, fresh, c.cardID)
	})
}

// UnblockPIN is RESET RETRY COUNTER: 2C, P1 00, PUK and new PIN. The specification names only this
// form for both (CIE functional specification v2, page 63); no other is tried, because the PUK's
// tries are few and a card without them is dead.
//
// It is never typed on the reader. A PIN_MODIFY_STRUCTURE has one pair of lengths for both secrets:
// the keys would have to accept five digits for the sake of the PIN, and so would send half a PUK.
// They ask for "the PIN" first, which invites the user to type the blocked one. Either costs one of
// the few tries without which the card is dead; and the reader's 9000 could not be proved.
func (c *cns) UnblockPIN(ctx context.Context, puk, fresh *crs.PIN) error {
	defer puk.Wipe()
	defer fresh.Wipe()
	if puk == nil || fresh == nil {
		return fmt.Errorf("%w: a PUK is not typed on the reader", crs.ErrInternal)
	}
	if err := errors.Join(puk.Check(cnsPUK), fresh.Check(cnsPIN)); err != nil {
		return err
	}
	return c.replacePIN(ctx, func(s *session, ref byte) error {
		err := c.sendPair(s, command{ins: insResetRetry, p2: ref}, puk, fresh, c.pukID())
		if err == nil {
			c.driver.tries().Keep(c.cardID, crs.UnknownPINStatus)
		}
		return asPUK(err)
	})
}

// PUKStatus returns what is known of the PUK: nothing until the card reports a number, because no
// document says how many tries there are.
func (c *cns) PUKStatus(context.Context) (crs.PINStatus, error) {
	return c.driver.tries().Status(c.pukID()), nil
}

// pukID is the name under which the PUK's tries are kept.
func (c *cns) pukID() string { return c.cardID + " PUK" }

// asPUK marks a refusal as one of the PUK.
func asPUK(err error) error {
	var refused *crs.PINError
	if errors.As(err, &refused) {
		refused.PUK = true
	}
	return err
}

// replacePIN runs f with the same DF selected as for VERIFY, and with the PIN's reference, in one
// transaction ended by a reset. Unlike VERIFY, commands that replace a PIN do not search for the
// reference: it is that of the ATR's mask, or the one that a typed VERIFY found in this insertion.
// On contactless readers they are refused: a card that leaves the field halfway may be left with
// neither PIN (docs/card-safety.md, rule 6).
func (c *cns) replacePIN(ctx context.Context, f func(s *session, ref byte) error) error {
	if c.contactless {
		return crs.ErrContactless
	}
	if !c.refKnown {
		return crs.ErrPINUnsupported
	}
	return c.withCard(ctx, txn{reset: true}, func(s *session) error {
		if c.layout.keyDF != nil {
			if err := s.selectPath(c.layout.keyDF); err != nil {
				return err
			}
		}
		return f(s, c.pinRefs[0])
	})
}

// sendPair sends a command with two secrets, once, whatever the answer. The try of the first is
// counted under id before the command leaves, as in verify; for a PUK no number is assumed. After
// an uncertain *crs.PINError either PIN may hold.
func (c *cns) sendPair(s *session, command command, first, second *crs.PIN, id string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	a, err := first.Spend()
	if err != nil {
		return err
	}
	b, err := second.Spend()
	if err != nil {
		return err
	}
	before := c.driver.tries().Status(id)
	pending := before
	if id == c.cardID || before.Retries > 0 {
		pending = tries.Spend(before)
	}
	c.driver.tries().Keep(id, pending)
	s.pinSent = true
	command.data = pinBlocks(a, b)
	status, err := s.transmitPIN(command)
	if err != nil {
		return &crs.PINError{Retries: -1, Uncertain: true, Err: err}
	}
	if status.notSupported() {
		c.driver.tries().Keep(id, before)
		return fmt.Errorf("%w (SW %04X)", crs.ErrPINUnsupported, uint16(status))
	}
	after, err := verifyResult(status, before, pending)
	c.driver.tries().Keep(id, after)
	return err
}
