package pcsc

import (
	"context"
	"errors"
	"fmt"

	"github.com/crs-bridge/crs"
)

// cnsPUK is the PUK of every CNS: 8 digits on every TS-CNS that was handed out.
var cnsPUK = crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}

// VerifyPIN is Sign without a signature.
func (c *cns) VerifyPIN(ctx context.Context, pin *crs.PIN) error {
	defer pin.Wipe()
	return c.withPIN(ctx, pin, func(*session) error { return nil })
}

// ChangePIN is CHANGE REFERENCE DATA (ISO/IEC 7816-4, section 11.5.7): 24, P1 00, old and new PIN.
// A wrong old PIN costs a try, as a VERIFY does, and is kept as one.
func (c *cns) ChangePIN(ctx context.Context, old, fresh *crs.PIN) error {
	defer old.Wipe()
	defer fresh.Wipe()
	if err := errors.Join(old.Check(cnsPIN), fresh.Check(cnsPIN)); err != nil {
		return err
	}
	return c.replacePIN(ctx, func(s *session, ref byte) error {
		before := c.driver.pinStatus(c.cardID)
		pending := spend(before)
		status, err := c.sendPair(s, insChangePIN, ref, old, fresh, func() {
			c.driver.keepPINStatus(c.cardID, pending)
		})
		if err != nil {
			return err
		}
		if status.notSupported() {
			c.driver.keepPINStatus(c.cardID, before)
			return fmt.Errorf("%w (SW %04X)", crs.ErrPINUnsupported, uint16(status))
		}
		after, err := verifyResult(status, before, pending)
		c.driver.keepPINStatus(c.cardID, after)
		return err
	})
}

// UnblockPIN is RESET RETRY COUNTER: 2C, P1 00, PUK and new PIN. It is the one form that the
// specification names for both (CIE functional specification v2, page 63); no other is tried, for
// the PUK's tries are few and a card without them is dead.
func (c *cns) UnblockPIN(ctx context.Context, puk, fresh *crs.PIN) error {
	defer puk.Wipe()
	defer fresh.Wipe()
	if err := errors.Join(puk.Check(cnsPUK), fresh.Check(cnsPIN)); err != nil {
		return err
	}
	return c.replacePIN(ctx, func(s *session, ref byte) error {
		before := c.driver.pinStatus(c.pukID())
		pending := before // of a PUK no number is assumed: see PUKStatus
		if before.Retries > 0 {
			pending = spend(before)
		}
		status, err := c.sendPair(s, insResetRetry, ref, puk, fresh, func() {
			c.driver.keepPINStatus(c.pukID(), pending)
		})
		if err != nil {
			return asPUK(err)
		}
		if status.notSupported() {
			c.driver.keepPINStatus(c.pukID(), before)
			return fmt.Errorf("%w (SW %04X)", crs.ErrPINUnsupported, uint16(status))
		}
		after, err := verifyResult(status, before, pending)
		c.driver.keepPINStatus(c.pukID(), after)
		if err == nil {
			c.driver.keepPINStatus(c.cardID, crs.UnknownPINStatus)
		}
		return asPUK(err)
	})
}

// PUKStatus returns what is known of the PUK: nothing until the card told a number, for no
// document says how many tries there are.
func (c *cns) PUKStatus(context.Context) (crs.PINStatus, error) {
	return c.driver.pinStatus(c.pukID()), nil
}

// pukID is under which name the PUK's tries are kept.
func (c *cns) pukID() string { return c.cardID + " PUK" }

// asPUK says of a refusal that the PUK was refused.
func asPUK(err error) error {
	var refused *crs.PINError
	if errors.As(err, &refused) {
		refused.PUK = true
	}
	return err
}

// replacePIN runs f with the DF selected that is selected for VERIFY, and with the PIN's
// reference, in one transaction ended by a reset. Unlike VERIFY, commands that replace a PIN do
// not try for the reference: it is that of the ATR's mask, or the one that a typed VERIFY
// showed in this insertion. Over the air they are refused: a card that leaves the field halfway
// may be left with neither PIN (docs/card-safety.md, rule 6).
func (c *cns) replacePIN(ctx context.Context, f func(s *session, ref byte) error) error {
	if c.contactless {
		return crs.ErrContactless
	}
	if !c.refKnown {
		return crs.ErrPINUnsupported
	}
	return c.transaction(ctx, true, func(s *session) error {
		if c.layout.keyDF != nil {
			if err := s.selectPath(c.layout.keyDF); err != nil {
				return err
			}
		}
		return f(s, c.pinRefs[0])
	})
}

// sendPair sends a command with two secrets, once, whatever the answer. about runs when nothing
// can stop it any more. An error is a *crs.PINError: either PIN may hold now.
func (c *cns) sendPair(s *session, ins, ref byte, first, second *crs.PIN, about func()) (sw, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	a, err := first.Spend()
	if err != nil {
		return 0, err
	}
	b, err := second.Spend()
	if err != nil {
		return 0, err
	}
	about()
	s.pinSent = true
	status, err := s.transmitPIN(command{ins: ins, p2: ref, data: pinBlocks(a, b)})
	if err != nil {
		return 0, &crs.PINError{Retries: -1, Uncertain: true, Err: err}
	}
	return status, nil
}
