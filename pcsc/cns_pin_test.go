package pcsc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

const (
	rightPUK = virtualcard.DefaultPUK
	wrongPUK = "11111111"
	freshPIN = "24680"
)

// care is one command that replaces a PIN.
type care struct {
	ins byte
	run func(card crs.Card, secret, fresh string) error
}

var (
	change = care{insChangePIN, func(card crs.Card, old, fresh string) error {
		return card.(crs.PINManager).ChangePIN(context.Background(), cardtest.PIN(old), cardtest.PIN(fresh))
	}}
	unblock = care{insResetRetry, func(card crs.Card, puk, fresh string) error {
		return card.(crs.PINManager).UnblockPIN(context.Background(), cardtest.PIN(puk), cardtest.PIN(fresh))
	}}
	right = map[byte]string{insChangePIN: rightPIN, insResetRetry: rightPUK}
)

func (v *virtual) pukTries() int {
	_, puk := v.Tries()
	return puk
}

func block(t *testing.T, v *virtual, card crs.Card) {
	t.Helper()
	for range 3 {
		v.login(t, card, wrongPIN)
	}
	if v.tries() != 0 {
		t.Fatal("the PIN is not blocked")
	}
}

// Rule 6: every profile with contacts, from a blocked PIN to a login with the new one, in at most
// four commands.
func TestRule6Unblock(t *testing.T) {
	for _, p := range virtualcard.Profiles {
		v := newVirtual(virtualcard.Config{Profile: p.Name, Decoy: true})
		card := v.open(t)
		block(t, v, card)
		v.Forget()
		err := unblock.run(card, rightPUK, freshPIN)
		if p.Name == "nfc" {
			if !errors.Is(err, crs.ErrContactless) || len(v.Log()) != 0 {
				t.Errorf("contactless: %v, %d commands", err, len(v.Log()))
			}
			continue
		}
		if err != nil || len(v.Log()) > 4 || v.Secrets() != 1 {
			t.Errorf("%s: %v, %d commands, %d secrets", p.Name, err, len(v.Log()), v.Secrets())
		}
		if status, _ := card.PINStatus(context.Background()); status != crs.UnknownPINStatus {
			t.Errorf("%s: kept %+v", p.Name, status)
		}
		if err := v.login(t, card, freshPIN); err != nil {
			t.Errorf("%s, login with the new PIN: %v", p.Name, err)
		}
		if v.DecoyTries() != 3 || v.tries() != 3 || v.pukTries() != 3 {
			t.Errorf("%s: tries %d, PUK %d, decoy %d", p.Name, v.tries(), v.pukTries(), v.DecoyTries())
		}
	}
}

func TestRule6Change(t *testing.T) {
	for _, p := range virtualcard.Profiles {
		v := newVirtual(virtualcard.Config{Profile: p.Name, Decoy: true})
		card := v.open(t)
		err := change.run(card, rightPIN, freshPIN)
		if p.Name == "nfc" {
			if !errors.Is(err, crs.ErrContactless) || v.Secrets() != 0 {
				t.Errorf("contactless: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if err := v.login(t, card, freshPIN); err != nil {
			t.Errorf("%s, login with the new PIN: %v", p.Name, err)
		}
		if crs.CodeOf(v.login(t, card, rightPIN)) != crs.ErrCard || v.tries() != 2 {
			t.Errorf("%s: the old PIN still holds", p.Name)
		}
	}
}

// Rules 4 and 6: a wrong PUK is counted, reported as the PUK's, and never confused with the PIN's;
// a used-up one says so.
func TestRule6WrongPUK(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	manager := card.(crs.PINManager)
	if status, _ := manager.PUKStatus(context.Background()); status != crs.UnknownPINStatus {
		t.Errorf("at first: %+v", status)
	}
	for left := 2; left >= 0; left-- {
		var refused *crs.PINError
		err := unblock.run(card, wrongPUK, freshPIN)
		if !errors.As(err, &refused) || !refused.PUK || refused.Retries != left || refused.Blocked != (left == 0) || v.pukTries() != left {
			t.Errorf("%d left: %v", left, err)
		}
		want := crs.PINStatus{Retries: left, Blocked: left == 0}
		if status, _ := manager.PUKStatus(context.Background()); status != want {
			t.Errorf("kept %+v, want %+v", status, want)
		}
	}
	err := unblock.run(card, rightPUK, freshPIN)
	if crs.CodeOf(err) != crs.ErrCardUnusable || errors.Is(err, crs.ErrPINBlocked) {
		t.Errorf("used up: %v", err)
	}
	if status, _ := card.PINStatus(context.Background()); status != crs.UnknownPINStatus || v.tries() != 3 {
		t.Errorf("the PIN's tries: kept %+v, card %d", status, v.tries())
	}
}

// Rules 1 and 6: one typing is one command, whatever the card answers; nothing is tried after it.
func TestRule6OneTypingOneCommand(t *testing.T) {
	for _, c := range []care{change, unblock} {
		for status, want := range map[uint16]error{
			0x6D00: crs.ErrPINUnsupported, 0x6E00: crs.ErrPINUnsupported, 0x6A86: crs.ErrPINUnsupported, 0x6B00: crs.ErrPINUnsupported,
			0x6A88: crs.ErrPINUnusable, 0x6984: crs.ErrPINUnusable,
			0x6300: crs.ErrCard, 0x6982: crs.ErrCard, 0x6985: crs.ErrCard, 0x6A80: crs.ErrCard, 0x6700: crs.ErrCard,
			0x6C10: crs.ErrCard, 0x6110: crs.ErrCard, 0x6F00: crs.ErrCard,
		} {
			v := newVirtual(virtualcard.Config{})
			card := v.open(t)
			v.Forget()
			v.Inject(virtualcard.Fault{INS: c.ins, SW: status})
			if err := c.run(card, right[c.ins], freshPIN); !errors.Is(err, want) {
				t.Errorf("INS %02X, %04X: %v", c.ins, status, err)
			}
			log := v.Log()
			if v.Secrets() != 1 || log[len(log)-1].INS != c.ins {
				t.Errorf("INS %02X, %04X: %d secrets, last INS %02X", c.ins, status, v.Secrets(), log[len(log)-1].INS)
			}
		}
	}
}

// Rule 6: after an interruption either PIN may hold; the user is told so, and no VERIFY is sent to
// find out.
func TestRule6Interrupted(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	for _, c := range []care{change, unblock} {
		for _, after := range []bool{false, true} {
			for name, fault := range map[string]virtualcard.Fault{
				"pulled": {Remove: true}, "no bytes": {Mute: true}, "never answers": {Hang: never},
			} {
				t.Run(name, func(t *testing.T) {
					v := newVirtual(virtualcard.Config{})
					v.driver.Timeouts = Timeouts{PIN: 50 * time.Millisecond}
					card := v.open(t)
					v.Forget()
					fault.INS, fault.After = c.ins, after
					v.Inject(fault)
					var refused *crs.PINError
					err := c.run(card, right[c.ins], freshPIN)
					if !errors.As(err, &refused) || !refused.Uncertain || refused.PUK != (c.ins == insResetRetry) {
						t.Errorf("INS %02X, %s, after %v: %v", c.ins, name, after, err)
					}
					if v.Secrets() != 1 || v.Count(insVerify) != 0 {
						t.Errorf("INS %02X, %s: %d secrets", c.ins, name, v.Secrets())
					}
				})
			}
		}
	}
}

// Rule 6: a wrong old PIN is a try like any other, kept before it is sent.
func TestRule6ChangeCountsTries(t *testing.T) {
	v := newVirtual(virtualcard.Config{NoCount: true})
	card := v.open(t)
	change.run(card, wrongPIN, freshPIN)
	change.run(card, wrongPIN, freshPIN)
	if status, _ := card.PINStatus(context.Background()); !status.LastTry() || v.tries() != 1 {
		t.Errorf("kept %+v, card has %d", status, v.tries())
	}
	if err := change.run(card, rightPIN, freshPIN); err != nil {
		t.Error(err)
	}
}

// A PUK and a PIN of the wrong form never reach the card, and both are wiped.
func TestRule6FormIsCheckedFirst(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.Forget()
	for _, test := range []struct {
		c             care
		secret, fresh string
	}{
		{unblock, "1234567", freshPIN}, {unblock, "123456789", freshPIN}, {unblock, "1234567x", freshPIN}, {unblock, rightPUK, "1234"},
		{unblock, rightPUK, "123456789"}, {change, rightPIN, "abcde"}, {change, "1234", freshPIN},
	} {
		if err := test.c.run(card, test.secret, test.fresh); !errors.Is(err, crs.ErrPINFormat) {
			t.Errorf("%d and %d characters: %v", len(test.secret), len(test.fresh), err)
		}
	}
	if len(v.Log()) != 0 {
		t.Errorf("%d commands", len(v.Log()))
	}
	puk, fresh := cardtest.PIN(rightPUK), cardtest.PIN(freshPIN)
	if err := card.(crs.PINManager).UnblockPIN(context.Background(), puk, fresh); err != nil || puk.Len() != 0 || fresh.Len() != 0 {
		t.Errorf("%v, %d and %d digits are left", err, puk.Len(), fresh.Len())
	}
}

// Rule 6: a card whose mask is not known is asked for nothing until a typed VERIFY showed its
// reference.
func TestRule6UnknownModel(t *testing.T) {
	for _, c := range []care{change, unblock} {
		v := newVirtual(virtualcard.Config{Profile: "nfc", PINReference: 0x90})
		card := v.open(t)
		card.(*cns).contactless = false // an ATR without the marker, on a reader with contacts
		v.Forget()
		if err := c.run(card, right[c.ins], freshPIN); !errors.Is(err, crs.ErrPINUnsupported) || len(v.Log()) != 0 {
			t.Errorf("INS %02X: %v, %d commands", c.ins, err, len(v.Log()))
		}
		for _, status := range []uint16{0x6985, 0x6984, 0x6F00} {
			v.Inject(virtualcard.Fault{INS: insVerify, SW: status})
			v.login(t, card, rightPIN)
			v.Inject()
			if err := c.run(card, right[c.ins], freshPIN); !errors.Is(err, crs.ErrPINUnsupported) {
				t.Errorf("INS %02X, after %04X: %v", c.ins, status, err)
			}
		}
		v.login(t, card, wrongPIN)
		if err := c.run(card, right[c.ins], freshPIN); err != nil {
			t.Errorf("INS %02X, after a VERIFY: %v", c.ins, err)
		}

		// 6300 says too little for a PUK; 9000 says enough.
		v = newVirtual(virtualcard.Config{Profile: "nfc", PINReference: 0x90, NoCount: true})
		card = v.open(t)
		card.(*cns).contactless = false
		v.login(t, card, wrongPIN)
		v.Forget()
		if err := c.run(card, right[c.ins], freshPIN); !errors.Is(err, crs.ErrPINUnsupported) || len(v.Log()) != 0 {
			t.Errorf("INS %02X, after 6300: %v, %d commands", c.ins, err, len(v.Log()))
		}
		if err := v.login(t, card, rightPIN); err != nil || v.Count(insVerify) != 1 {
			t.Errorf("INS %02X, the reference that answered 6300: %v, %d VERIFY", c.ins, err, v.Count(insVerify))
		}
		if err := c.run(card, right[c.ins], freshPIN); err != nil {
			t.Errorf("INS %02X, after 9000: %v", c.ins, err)
		}

		// 6983 says enough: the PIN is there, and blocked.
		v = newVirtual(virtualcard.Config{Profile: "nfc", PINReference: 0x90})
		card = v.open(t)
		card.(*cns).contactless = false
		v.Inject(virtualcard.Fault{INS: insVerify, At: 2, SW: 0x6983})
		v.login(t, card, rightPIN)
		if err := c.run(card, right[c.ins], freshPIN); err != nil {
			t.Errorf("INS %02X, after 6983: %v", c.ins, err)
		}

		// A mask that is known stays so.
		v = newVirtual(virtualcard.Config{NoCount: true})
		card = v.open(t)
		v.login(t, card, wrongPIN)
		if err := c.run(card, right[c.ins], freshPIN); err != nil {
			t.Errorf("INS %02X, a known mask after 6300: %v", c.ins, err)
		}
	}
}
