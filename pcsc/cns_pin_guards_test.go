package pcsc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// typed is each kind of care with PINs that the test keeps. Of verify, the second is not used.
var typed = map[byte]func(ctx context.Context, m crs.PINManager, first, second *crs.PIN) error{
	insVerify: func(ctx context.Context, m crs.PINManager, first, _ *crs.PIN) error { return m.VerifyPIN(ctx, first) },
	insChangePIN: func(ctx context.Context, m crs.PINManager, first, second *crs.PIN) error {
		return m.ChangePIN(ctx, first, second)
	},
	insResetRetry: func(ctx context.Context, m crs.PINManager, first, second *crs.PIN) error {
		return m.UnblockPIN(ctx, first, second)
	},
}

// rightFor is the secret that each kind of care compares.
func rightFor(ins byte) *crs.PIN {
	if ins == insResetRetry {
		return cardtest.PIN(rightPUK)
	}
	return cardtest.PIN(rightPIN)
}

// T11: what was typed is wiped in every path.
func TestT11CareWipes(t *testing.T) {
	for ins, run := range typed {
		for name, test := range map[string]struct {
			config virtualcard.Config
			before func(*virtual)
			form   bool
		}{
			"accepted":    {},
			"wrong form":  {form: true},
			"refused":     {before: func(v *virtual) { v.Inject(virtualcard.Fault{INS: ins, SW: 0x63C2}) }},
			"no answer":   {before: func(v *virtual) { v.Inject(virtualcard.Fault{INS: ins, Mute: true}) }},
			"pulled":      {before: func(v *virtual) { v.reader.Remove() }},
			"contactless": {config: virtualcard.Config{Profile: "nfc"}},
		} {
			t.Run(name, func(t *testing.T) {
				v := newVirtual(test.config)
				card := v.open(t)
				if test.before != nil {
					test.before(v)
				}
				first, second := rightFor(ins), cardtest.PIN(freshPIN)
				if test.form {
					first = cardtest.PIN("1")
				}
				run(context.Background(), card.(crs.PINManager), first, second)
				if first.Len() != 0 || ins != insVerify && second.Len() != 0 {
					t.Errorf("INS %02X, %s: %d and %d digits are left", ins, name, first.Len(), second.Len())
				}
			})
		}
	}
}

// Rules 2 and 6, T21: the card is pulled, or swapped for another of the same ATR, while the user
// types: nothing is sent to either.
func TestRule6PulledBetweenTheDialogs(t *testing.T) {
	other, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "BRUNA", Surname: "MODELLO", Key: virtualcard.Shared(2048).Key})
	if err != nil {
		t.Fatal(err)
	}
	for ins, run := range typed {
		for name, swapped := range map[string]*virtualcard.Card{
			"pulled": nil, "another citizen's": virtualcard.New(virtualcard.Config{Person: other}),
			"foreign": virtualcard.New(virtualcard.Config{Foreign: virtualcard.ForeignIAS}),
		} {
			t.Run(name, func(t *testing.T) {
				v := newVirtual(virtualcard.Config{})
				card := v.open(t)
				v.reader.Remove()
				if swapped != nil {
					v.reader.Insert(swapped)
				}
				err := run(context.Background(), card.(crs.PINManager), rightFor(ins), cardtest.PIN(freshPIN))
				if !errors.Is(err, crs.ErrCardRemoved) || v.Secrets() != 0 || swapped != nil && swapped.Secrets() != 0 {
					t.Errorf("INS %02X, %s: %v", ins, name, err)
				}
				if status, _ := card.PINStatus(context.Background()); status != crs.UnknownPINStatus {
					t.Errorf("INS %02X, %s: kept %+v", ins, name, status)
				}
			})
		}
	}
}

// Rules 3 and 6: a PIN is replaced in the DF in which it is verified, and not at all if that cannot
// be selected.
func TestRule6DirectoryOfVERIFY(t *testing.T) {
	selects := func(v *virtual, ins byte) (sent []int) {
		for _, x := range v.Log() {
			if x.INS == ins {
				return sent
			}
			if x.INS == insSelect {
				sent = append(sent, x.Sent)
			}
		}
		t.Fatalf("no INS %02X", ins)
		return nil
	}
	for _, p := range virtualcard.Profiles {
		if p.Name == "nfc" {
			continue
		}
		v := newVirtual(virtualcard.Config{Profile: p.Name, Decoy: true})
		card := v.open(t)
		v.Forget()
		v.login(t, card, rightPIN)
		want := selects(v, insVerify)
		for _, c := range []care{change, unblock} {
			v := newVirtual(virtualcard.Config{Profile: p.Name})
			card := v.open(t)
			v.Forget()
			if err := c.run(card, right[c.ins], freshPIN); err != nil {
				t.Error(err)
			}
			if got := selects(v, c.ins); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, INS %02X: SELECTs of %v bytes, VERIFY has %v", p.Name, c.ins, got, want)
			}
			if len(want) == 1 {
				continue // EF_IDCarta alone
			}
			v.Forget()
			v.Inject(virtualcard.Fault{INS: insSelect, At: len(want), SW: 0x6A82})
			if err := c.run(card, right[c.ins], freshPIN); err == nil || v.Secrets() != 0 {
				t.Errorf("%s, INS %02X, without its DF: %v", p.Name, c.ins, err)
			}
		}
	}
}

// Rule 1: a PIN that was sent once is not sent as part of another command.
func TestRule1CareSpends(t *testing.T) {
	for _, ins := range []byte{insChangePIN, insResetRetry} {
		for spent := range 2 {
			v := newVirtual(virtualcard.Config{})
			card := v.open(t)
			pins := []*crs.PIN{rightFor(ins), cardtest.PIN(freshPIN)}
			pins[spent].Spend()
			err := typed[ins](context.Background(), card.(crs.PINManager), pins[0], pins[1])
			if !errors.Is(err, crs.ErrPINSpent) || v.Secrets() != 0 {
				t.Errorf("INS %02X, PIN %d: %v", ins, spent, err)
			}
		}
	}
}

// Rule 1: after another program's reset within the command nothing is begun again.
func TestRule1ResetWithinCare(t *testing.T) {
	for ins, run := range typed {
		v := newVirtual(virtualcard.Config{})
		card := v.open(t)
		v.Forget()
		card.(*cns).source = &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
			if b[1] == ins {
				c.Transmit(b)
				return nil, crs.ErrCardReset
			}
			return c.Transmit(b)
		}}
		err := run(context.Background(), card.(crs.PINManager), rightFor(ins), cardtest.PIN(freshPIN))
		var refused *crs.PINError
		if !errors.As(err, &refused) || !refused.Uncertain || refused.Retries != -1 || !errors.Is(err, crs.ErrCardReset) || v.Secrets() != 1 {
			t.Errorf("INS %02X: %v, %d secrets", ins, err, v.Secrets())
		}
		if v.Count(insReadBinary) != 1 {
			t.Errorf("INS %02X: begun %d times", ins, v.Count(insReadBinary))
		}
	}
}

// Rule 4: what is kept after each answer. The PIN's tries are those of the PIN: no PUK touches them
// but one that is right. Of the PUK no number is assumed, and one that is known counts down before
// the command leaves.
func TestRule4CareIsKept(t *testing.T) {
	unknown, pending := crs.UnknownPINStatus, crs.PINStatus{Retries: 2, Doubtful: true}
	blocked := crs.PINStatus{Blocked: true}
	known := func(n int) crs.PINStatus { return crs.PINStatus{Retries: n} }
	doubtful := func(n int) crs.PINStatus { return crs.PINStatus{Retries: n, Doubtful: true} }
	for _, test := range []struct {
		c                care
		pin, puk         crs.PINStatus // before
		status           uint16        // 0: no answer
		thenPIN, thenPUK crs.PINStatus
	}{
		{change, unknown, unknown, 0, pending, unknown},
		{change, unknown, unknown, 0x6F00, pending, unknown},
		{change, unknown, unknown, 0x6300, pending, unknown},
		{change, unknown, unknown, 0x6984, pending, unknown},
		{change, unknown, unknown, 0x63C1, known(1), unknown},
		{change, known(1), unknown, 0x63C2, doubtful(0), unknown},
		{change, unknown, unknown, 0x6983, blocked, unknown},
		{change, unknown, unknown, 0x6D00, unknown, unknown},
		{change, known(2), known(1), 0x6A88, known(2), known(1)},
		{change, known(2), unknown, 0x6A86, known(2), unknown},
		{unblock, blocked, unknown, 0, blocked, unknown},
		{unblock, blocked, known(2), 0, blocked, doubtful(1)},
		{unblock, blocked, known(1), 0, blocked, doubtful(0)},
		{unblock, blocked, known(2), 0x6D00, blocked, known(2)},
		{unblock, blocked, known(2), 0x6A88, blocked, known(2)},
		{unblock, blocked, unknown, 0x6300, blocked, unknown},
		{unblock, blocked, unknown, 0x63C2, blocked, known(2)},
		{unblock, blocked, known(1), 0x63C2, blocked, doubtful(0)},
		{unblock, blocked, known(1), 0x63C0, blocked, blocked},
	} {
		v := newVirtual(virtualcard.Config{})
		card := v.open(t)
		c := card.(*cns)
		v.driver.tries().Keep(c.cardID, test.pin)
		v.driver.tries().Keep(c.pukID(), test.puk)
		id, onItsWay := c.cardID, tries.Spend(test.pin)
		if test.c.ins == insResetRetry {
			if id, onItsWay = c.pukID(), test.puk; test.puk.Retries > 0 {
				onItsWay = tries.Spend(test.puk)
			}
		}
		var within crs.PINStatus
		c.source = &tapReader{v.reader, func(conn Conn, b []byte) ([]byte, error) {
			if b[1] != test.c.ins {
				return conn.Transmit(b)
			}
			if within = v.driver.tries().Status(id); test.status == 0 {
				return nil, crs.ErrCardRemoved
			}
			return []byte{byte(test.status >> 8), byte(test.status)}, nil
		}}
		test.c.run(card, right[test.c.ins], freshPIN)
		name := fmt.Sprintf("INS %02X, PIN %+v, PUK %+v, %04X", test.c.ins, test.pin, test.puk, test.status)
		pin, _ := card.PINStatus(context.Background())
		puk, _ := c.PUKStatus(context.Background())
		if within != onItsWay || pin != test.thenPIN || puk != test.thenPUK {
			t.Errorf("%s: on its way %+v, then kept %+v and %+v", name, within, pin, puk)
		}
	}
}

// Rule 7: a context that has ended holds back what was typed; one that ends once the bytes are out
// cancels nothing, and the user is told what the card answered.
func TestRule7NothingCancelsCare(t *testing.T) {
	for ins, run := range typed {
		v := newVirtual(virtualcard.Config{})
		card := v.open(t)
		v.Forget()
		ctx, cancel := context.WithCancel(context.Background())
		card.(*cns).source = &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
			if b[1] == insReadBinary {
				cancel()
			}
			return c.Transmit(b)
		}}
		err := run(ctx, card.(crs.PINManager), rightFor(ins), cardtest.PIN(freshPIN))
		if status, _ := card.PINStatus(ctx); !errors.Is(err, context.Canceled) || v.Secrets() != 0 || status != crs.UnknownPINStatus {
			t.Errorf("INS %02X, before: %v, %d secrets, kept %+v", ins, err, v.Secrets(), status)
		}

		ctx, cancel = context.WithCancel(context.Background())
		card.(*cns).source = &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
			if b[1] == ins {
				cancel()
			}
			return c.Transmit(b)
		}}
		if err := run(ctx, card.(crs.PINManager), rightFor(ins), cardtest.PIN(freshPIN)); err != nil || v.Secrets() != 1 {
			t.Errorf("INS %02X, within: %v, %d secrets", ins, err, v.Secrets())
		}
	}
}

// Rule 10: a PIN in the PUK's place is not sent. A PUK in the PIN's place is a PIN of eight digits
// to the driver, and one try; the dialogs ask first.
func TestRule10InTheDriver(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.Forget()
	if err := unblock.run(card, rightPIN, freshPIN); !errors.Is(err, crs.ErrPINFormat) || len(v.Log()) != 0 {
		t.Errorf("PIN as PUK: %v, %d commands", err, len(v.Log()))
	}
	if err := change.run(card, rightPUK, freshPIN); crs.CodeOf(err) != crs.ErrCard || v.Secrets() != 1 || v.tries() != 2 || v.pukTries() != 3 {
		t.Errorf("PUK as PIN: %v, %d secrets", err, v.Secrets())
	}
}
