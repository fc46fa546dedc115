package pcsc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// keypad is a reader with keys, and its user: each press is one time that it asks. It is strict
// both ways: it fails when it asks once more, and when a press is left in the end.
type keypad struct {
	Reader
	t              *testing.T
	verify, modify bool
	presses        []press
	language       uint16 // that it was last asked in
}

// press is what happens when the reader asks.
type press struct {
	types  []string      // on the keys: the PIN, or the old and twice the new one
	sw     uint16        // the reader's own answer; it sends the card nothing
	err    error         // the call's; see after
	after  bool          // the card gets what was typed before that
	during func()        // while the user types
	hang   chan struct{} // the call returns when this is closed
}

func (k *keypad) Connect() (Conn, error) {
	c, err := k.Reader.Connect()
	if err != nil {
		return nil, err
	}
	return &keypadConn{c, k}, nil
}

type keypadConn struct {
	Conn
	k *keypad
}

func (c *keypadConn) PINPad() (verify, modify bool) { return c.k.verify, c.k.modify }

func (c *keypadConn) VerifyPIN(b []byte) ([]byte, error) {
	return c.k.ask(c.Conn, b, insVerify, []int{0})
}

func (c *keypadConn) ModifyPIN(b []byte) ([]byte, error) {
	// The offsets of old and new PIN are in the structure, and count from the data field.
	return c.k.ask(c.Conn, b, insChangePIN, []int{int(b[5]), int(b[6]), int(b[6])})
}

// ask does what a reader does with a structure, whose length fields stand at fixed places.
func (k *keypad) ask(c Conn, b []byte, ins byte, offsets []int) ([]byte, error) {
	if len(k.presses) == 0 {
		k.t.Error("the reader asks once more")
		return nil, errors.New("nobody there")
	}
	p := k.presses[0]
	k.presses = k.presses[1:]
	sizes, language, apdu := b[5:7], b[9:11], b[19:]
	if ins == insChangePIN {
		sizes, language, apdu = b[7:9], b[12:14], b[24:]
	}
	k.language = binary.LittleEndian.Uint16(language)
	size := 8 * (1 + offsets[len(offsets)-1]/8)
	template := append([]byte{0, ins, 0, apdu[3], byte(size)}, bytes.Repeat([]byte{0xFF}, size)...)
	if n := binary.LittleEndian.Uint32(b[len(b)-len(apdu)-4:]); int(n) != len(apdu) || !bytes.Equal(apdu, template) {
		k.t.Errorf("template % X of %d bytes", apdu, n)
	}
	if p.during != nil {
		p.during()
	}
	if p.hang != nil {
		<-p.hang
	}
	own := func(s sw) ([]byte, error) { return []byte{byte(s >> 8), byte(s)}, nil }
	switch {
	case p.sw != 0:
		return own(sw(p.sw))
	case p.err != nil && !p.after:
		return nil, p.err
	case len(p.types) != len(offsets):
		k.t.Errorf("INS %02X: the reader asks %d times, the user types %d", ins, len(offsets), len(p.types))
	}
	command := bytes.Clone(apdu)
	for i, offset := range offsets {
		if n := len(p.types[i]); n < int(sizes[1]) || n > int(sizes[0]) {
			return own(swPadLength)
		}
		copy(command[5+offset:], p.types[i])
	}
	if len(p.types) == 3 && p.types[1] != p.types[2] {
		return own(swPadMismatch)
	}
	answer, err := c.Transmit(command)
	if p.err != nil {
		return nil, p.err
	}
	return answer, err
}

// withKeypad puts the card into a reader with keys.
func (v *virtual) withKeypad(t *testing.T, presses ...press) (*keypad, crs.Card) {
	t.Helper()
	k := &keypad{Reader: v.reader, t: t, verify: true, modify: true, presses: presses}
	t.Cleanup(func() {
		if len(k.presses) != 0 {
			t.Errorf("the reader asks %d times less", len(k.presses))
		}
	})
	card, err := v.driver.Open(context.Background(), k)
	if err != nil {
		t.Fatal(err)
	}
	if !card.Info().PINPad {
		t.Error("the keys were not noticed")
	}
	v.Forget()
	return k, card
}

func signOnPad(t *testing.T, card crs.Card) error {
	t.Helper()
	_, err := card.Sign(context.Background(), nil, cardtest.NewStatement(t))
	return err
}

func verifyPINOnPad(_ *testing.T, card crs.Card) error {
	return card.(crs.PINManager).VerifyPIN(context.Background(), nil)
}

var onPad = map[string]func(*testing.T, crs.Card) error{"login": signOnPad, "verify": verifyPINOnPad}

// Rule 9: both structures, byte by byte.
func TestRule9Structures(t *testing.T) {
	apdu, err := command{ins: insVerify, p2: 0x10, data: pinBlocks(nil)}.encode(false)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "3C"+ // bTimeOut: 60 s
		"3C"+ // bTimeOut2
		"82"+ // bmFormatString: bytes, position 0, left, ASCII
		"08"+ // bmPINBlockString: no length, 8 bytes
		"00"+ // bmPINLengthFormat
		"08 05"+ // wPINMaxExtraDigit: 5 to 8
		"02"+ // bEntryValidationCondition: validation key
		"01"+ // bNumberMessage
		"10 04"+ // wLangId: 0410h, Italian
		"00"+ // bMsgIndex
		"00 00 00"+ // bTeoPrologue
		"0D 00 00 00"+ // ulDataLength: 13
		"00 20 00 10 08 FF FF FF FF FF FF FF FF") // abData
	if got := verifyStructure(apdu, "it"); !bytes.Equal(got, want) {
		t.Errorf("verify\n% X, want\n% X", got, want)
	}

	apdu, err = command{ins: insChangePIN, p2: 0x90, data: pinBlocks(nil, nil)}.encode(true)
	if err != nil {
		t.Fatal(err)
	}
	want = unhex(t, "78"+ // bTimeOut: 120 s
		"78"+ // bTimeOut2
		"82"+ // bmFormatString
		"08"+ // bmPINBlockString
		"00"+ // bmPINLengthFormat
		"00"+ // bInsertionOffsetOld
		"08"+ // bInsertionOffsetNew
		"08 05"+ // wPINMaxExtraDigit
		"03"+ // bConfirmPIN: old PIN, new PIN twice
		"02"+ // bEntryValidationCondition
		"03"+ // bNumberMessage
		"07 04"+ // wLangId: 0407h, German
		"00 01 02"+ // bMsgIndex1 to 3
		"00 00 00"+ // bTeoPrologue
		"15 00 00 00"+ // ulDataLength: 21
		"00 24 00 90 10 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF") // abData
	if got := modifyStructure(apdu, "de"); !bytes.Equal(got, want) {
		t.Errorf("modify\n% X, want\n% X", got, want)
	}
	for language, want := range map[string]uint16{"it": 0x0410, "en": 0x0409, "de": 0x0407, "": 0x0410, "fr": 0x0410} {
		t.Run(language, func(t *testing.T) {
			if got := languageID(language); got != want {
				t.Errorf("%04X", got)
			}
		})
	}
}

// The language is asked for each time: the user may have chosen another.
func TestRule9Language(t *testing.T) {
	language := ""
	v := newVirtual(virtualcard.Config{})
	v.driver.Language = func() string { return language }
	k, card := v.withKeypad(t)
	for _, language = range []string{"de", "en"} {
		k.presses = []press{{sw: 0x6401}}
		signOnPad(t, card)
		if want := languageID(language); k.language != want {
			t.Errorf("%s: %04X, want %04X", language, k.language, want)
		}
	}
}

// Rules 4 and 9: whatever is typed on the reader, it is one command at most, and the try is given
// back only when the reader says that it sent nothing.
func TestRule9Results(t *testing.T) {
	counted := crs.PINStatus{Retries: 2, Doubtful: true}
	transport := fmt.Errorf("%w: test", crs.ErrCard)
	for name, test := range map[string]struct {
		config virtualcard.Config
		fault  virtualcard.Fault
		press  press
		want   error // nil: it works
		not    error
		kept   crs.PINStatus
		sent   int // INS 20 that the card received
	}{
		"right":              {press: press{types: []string{rightPIN}}, kept: crs.UnknownPINStatus, sent: 1},
		"wrong":              {press: press{types: []string{wrongPIN}}, want: crs.ErrCard, not: crs.ErrPINPad, kept: crs.PINStatus{Retries: 2}, sent: 1},
		"wrong, no number":   {config: virtualcard.Config{NoCount: true}, press: press{types: []string{wrongPIN}}, want: crs.ErrCard, not: crs.ErrPINPad, kept: counted, sent: 1},
		"wrong, the last":    {config: virtualcard.Config{PINTries: 1}, press: press{types: []string{wrongPIN}}, want: crs.ErrPINBlocked, kept: crs.PINStatus{Blocked: true}, sent: 1},
		"blocked":            {fault: virtualcard.Fault{INS: insVerify, SW: 0x6983}, press: press{types: []string{rightPIN}}, want: crs.ErrPINBlocked, kept: crs.PINStatus{Blocked: true}, sent: 1},
		"unusable":           {fault: virtualcard.Fault{INS: insVerify, SW: 0x6984}, press: press{types: []string{rightPIN}}, want: crs.ErrPINUnusable, kept: counted, sent: 1},
		"6C08":               {fault: virtualcard.Fault{INS: insVerify, SW: 0x6C08}, press: press{types: []string{rightPIN}}, want: crs.ErrCard, kept: counted, sent: 1},
		"6110":               {fault: virtualcard.Fault{INS: insVerify, SW: 0x6110}, press: press{types: []string{rightPIN}}, want: crs.ErrCard, kept: counted, sent: 1},
		"too short":          {press: press{types: []string{"1234"}}, want: crs.ErrPINFormat, kept: crs.UnknownPINStatus},
		"too long":           {press: press{types: []string{"123456789"}}, want: crs.ErrPINFormat, kept: crs.UnknownPINStatus},
		"6400":               {press: press{sw: 0x6400}, want: crs.ErrPadTimeout, kept: crs.UnknownPINStatus},
		"6401":               {press: press{sw: 0x6401}, want: crs.ErrPadCancelled, kept: crs.UnknownPINStatus},
		"6403":               {press: press{sw: 0x6403}, want: crs.ErrPINFormat, kept: crs.UnknownPINStatus},
		"6B80":               {press: press{sw: 0x6B80}, want: crs.ErrPINPad, kept: counted},
		"640F":               {press: press{sw: 0x640F}, want: crs.ErrCard, not: crs.ErrPINPad, kept: counted},
		"lost before":        {press: press{err: transport}, want: crs.ErrPINPad, kept: counted},
		"lost after":         {press: press{types: []string{wrongPIN}, err: transport, after: true}, want: crs.ErrPINPad, kept: counted, sent: 1},
		"pulled":             {press: press{err: crs.ErrCardRemoved}, want: crs.ErrCardRemoved, not: crs.ErrPINPad, kept: counted},
		"reset":              {press: press{err: crs.ErrCardReset}, want: crs.ErrCardReset, not: crs.ErrPINPad, kept: counted},
		"service gone":       {press: press{err: crs.ErrNoService}, want: crs.ErrNoService, not: crs.ErrPINPad, kept: counted},
		"no bytes":           {fault: virtualcard.Fault{INS: insVerify, Mute: true}, press: press{types: []string{rightPIN}}, want: crs.ErrCardRemoved, not: crs.ErrPINPad, kept: counted, sent: 1},
		"PSO fails":          {fault: virtualcard.Fault{INS: insPSO, SW: 0x6985}, press: press{types: []string{rightPIN}}, want: crs.ErrCard, not: crs.ErrPINPad, kept: counted, sent: 1},
		"PSO after the 9000": {fault: virtualcard.Fault{INS: insPSO, SW: 0x6982}, press: press{types: []string{rightPIN}}, want: crs.ErrPINPad, kept: counted, sent: 1},
	} {
		for how, run := range onPad {
			t.Run(name+", "+how, func(t *testing.T) {
				v := newVirtual(test.config)
				p := test.press
				p.during = func() {
					if s := v.driver.tries().Status(v.Person().CardID); s != counted {
						t.Errorf("while the user types: kept %+v", s)
					}
				}
				_, card := v.withKeypad(t, p)
				v.Inject(test.fault)
				err := run(t, card)
				if test.want == nil && err != nil || !errors.Is(err, test.want) || test.not != nil && errors.Is(err, test.not) {
					t.Errorf("error %v", err)
				}
				var refused *crs.PINError
				if answered := errors.As(err, &refused); answered && refused.PUK || errors.Is(err, crs.ErrPINPad) && !(answered && refused.Uncertain) {
					t.Errorf("error %+v", refused)
				}
				if s, _ := card.PINStatus(context.Background()); s != test.kept {
					t.Errorf("kept %+v", s)
				}
				if n := v.Count(insVerify); n != test.sent || v.Secrets() != n || v.Count(insChangePIN)+v.Count(insResetRetry) != 0 {
					t.Errorf("%d VERIFY, %d secrets", n, v.Secrets())
				}
				if n := v.Count(insPSO); n > 1 || test.want != nil && n == 1 && test.fault.INS != insPSO {
					t.Errorf("%d PSO", n)
				}
				if v.tries() < 2 && test.config.PINTries == 0 {
					t.Errorf("%d tries left", v.tries())
				}
			})
		}
	}
}

// leaveOpen verifies the PIN as another program does that leaves it so.
func (v *virtual) leaveOpen(t *testing.T) {
	t.Helper()
	c, err := v.reader.Connect()
	if err != nil {
		t.Fatal(err)
	}
	verify := append([]byte{0, insVerify, 0, 0x10, 8}, pinBlocks([]byte(rightPIN))...)
	if answer, err := c.Transmit(verify); err != nil || !bytes.Equal(answer, []byte{0x90, 0x00}) {
		t.Fatalf("% X, %v", answer, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	v.Forget()
}

// T20 and rule 9: a keypad that answers 9000 and has sent nothing logs nobody in, also when
// another program left the PIN verified; there is no second VERIFY, and the try stays counted.
func TestT20KeypadThatSendsNothing(t *testing.T) {
	for how, run := range onPad {
		for _, open := range []bool{false, true} {
			v := newVirtual(virtualcard.Config{})
			_, card := v.withKeypad(t, press{sw: 0x9000})
			if open {
				v.leaveOpen(t)
			}
			err := run(t, card)
			var refused *crs.PINError
			if !errors.Is(err, crs.ErrPINPad) || !errors.As(err, &refused) || !refused.Uncertain || refused.SW != 0x6982 || crs.CodeOf(err) != crs.ErrCard {
				t.Errorf("%s, left open %v: %v", how, open, err)
			}
			if v.Secrets() != 0 || v.Count(insPSO) != 1 {
				t.Errorf("%s: %d secrets, %d PSO", how, v.Secrets(), v.Count(insPSO))
			}
			if s, _ := card.PINStatus(context.Background()); s != (crs.PINStatus{Retries: 2, Doubtful: true}) {
				t.Errorf("%s: kept %+v", how, s)
			}
			// The keyboard is another typing, and works in the same reader.
			if err := v.login(t, card, rightPIN); err != nil || v.Secrets() != 1 {
				t.Errorf("%s, on the keyboard: %v, %d secrets", how, err, v.Secrets())
			}
		}
	}
}

// Rule 9: the proof of a PIN that nothing is done with has to be a signature of this card.
func TestRule9ProofIsVerified(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	_, card := v.withKeypad(t, press{types: []string{rightPIN}})
	v.Inject(virtualcard.Fault{INS: insPSO, Corrupt: true})
	if err := verifyPINOnPad(t, card); !errors.Is(err, crs.ErrCard) {
		t.Error(err)
	}
	if s, _ := card.PINStatus(context.Background()); s == crs.UnknownPINStatus {
		t.Error("the reader was believed")
	}
}

// Rules 1, 3 and 9: the other reference needs another typing, and is remembered.
func TestRule9OtherReference(t *testing.T) {
	v := newVirtual(virtualcard.Config{Profile: "stincard", PINReference: 0x10})
	_, card := v.withKeypad(t, press{types: []string{rightPIN}}, press{types: []string{rightPIN}}, press{types: []string{wrongPIN}})
	if err := signOnPad(t, card); !errors.Is(err, crs.ErrPINAgain) || v.Count(insVerify) != 1 {
		t.Errorf("%v, %d VERIFY", err, v.Count(insVerify))
	}
	if s, _ := card.PINStatus(context.Background()); s != crs.UnknownPINStatus {
		t.Errorf("kept %+v", s)
	}
	// Nothing compared a PIN under the reference that is left: it replaces none (rule 6).
	if err := change.run(card, rightPIN, freshPIN); !errors.Is(err, crs.ErrPINUnsupported) {
		t.Errorf("a change: %v", err)
	}
	if err := signOnPad(t, card); err != nil || v.Count(insVerify) != 2 {
		t.Errorf("%v, %d VERIFY", err, v.Count(insVerify))
	}
	if err := signOnPad(t, card); crs.CodeOf(err) != crs.ErrCard || v.Count(insVerify) != 3 {
		t.Errorf("%v, %d VERIFY", err, v.Count(insVerify))
	}

	// A card without the mask in its ATR: a wrong PIN shows the reference too.
	v = newVirtual(virtualcard.Config{Profile: "nfc"})
	_, card = v.withKeypad(t, press{types: []string{wrongPIN}})
	signOnPad(t, card)
	if c := card.(*cns); !c.refKnown || len(c.pinRefs) != 1 {
		t.Errorf("% X known: %v", c.pinRefs, c.refKnown)
	}

	// There is no such PIN at all.
	v = newVirtual(virtualcard.Config{})
	_, card = v.withKeypad(t, press{types: []string{rightPIN}}, press{types: []string{rightPIN}})
	v.Inject(virtualcard.Fault{INS: insVerify, SW: 0x6A88})
	err1, err2 := signOnPad(t, card), signOnPad(t, card)
	if !errors.Is(err1, crs.ErrPINAgain) || !errors.Is(err2, crs.ErrPINUnusable) {
		t.Errorf("%v, %v", err1, err2)
	}
}

// Rule 9: nothing is asked of a reader without keys, or whose keys are gone, and no try counted.
func TestRule9NoKeys(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	if card.Info().PINPad {
		t.Error("a reader without keys has some")
	}
	v.Forget()
	manager := card.(crs.PINManager)
	for _, err := range []error{signOnPad(t, card), verifyPINOnPad(t, card), manager.ChangePIN(context.Background(), nil, nil)} {
		if crs.CodeOf(err) != crs.ErrInternal {
			t.Error(err)
		}
	}
	k, card := v.withKeypad(t)
	k.verify, k.modify = false, false
	manager = card.(crs.PINManager)
	for _, err := range []error{signOnPad(t, card), verifyPINOnPad(t, card), manager.ChangePIN(context.Background(), nil, nil)} {
		if !errors.Is(err, crs.ErrPINPad) {
			t.Error(err)
		}
	}
	if s, _ := card.PINStatus(context.Background()); v.Secrets() != 0 || s != crs.UnknownPINStatus {
		t.Errorf("%d secrets, kept %+v", v.Secrets(), s)
	}
}

// Rule 2: on the keys, too, a PIN goes only to a card that proved what it is, and only a command
// that carries one is sent that way.
func TestRule2Keypad(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	k := &keypad{Reader: v.reader, t: t, verify: true, modify: true}
	err := v.driver.transaction(context.Background(), k, txn{reset: true}, func(s *session) error {
		for ins := range 0x100 {
			s.identified = ins != insVerify && ins != insChangePIN && ins != insResetRetry
			if _, err := s.transmitPad(command{ins: byte(ins), data: pinBlocks(nil)}); err == nil {
				t.Errorf("INS %02X was sent", ins)
			}
		}
		return nil
	})
	if err != nil || len(v.Log()) != 0 {
		t.Errorf("%v, %d commands", err, len(v.Log()))
	}
	_, card := v.withKeypad(t)
	swapped := virtualcard.New(virtualcard.Config{Foreign: virtualcard.ForeignIAS})
	v.reader.Insert(swapped)
	if err := signOnPad(t, card); !errors.Is(err, crs.ErrCardRemoved) || swapped.Secrets() != 0 {
		t.Error(err)
	}
}

// Rule 9: who types on the keyboard is not asked on the keys: the suite of all cards, in a reader
// whose keys nobody touches.
func TestConformanceWithKeypad(t *testing.T) {
	cardtest.Run(t, func(t *testing.T) cardtest.Subject {
		v := newVirtual(virtualcard.Config{})
		_, card := v.withKeypad(t)
		return v.subject(card, true)
	})
}

// Rule 9: all models log in with the keys, within the budget.
func TestRule9EveryModel(t *testing.T) {
	for name, config := range variants {
		v := newVirtual(config)
		_, card := v.withKeypad(t, press{types: []string{rightPIN}}, press{types: []string{rightPIN}})
		err := signOnPad(t, card)
		if errors.Is(err, crs.ErrPINAgain) {
			err = signOnPad(t, card)
		} else if err == nil {
			v.Forget()
			err = signOnPad(t, card)
		}
		if err != nil || v.tries() != 3 {
			t.Errorf("%s: %v", name, err)
		}
		if name == "st" && len(v.Log()) > 6 {
			t.Errorf("%d APDUs", len(v.Log()))
		}
		if got := signWithoutPIN(t, v.reader); got == swOK {
			t.Errorf("%s: a second program signs", name)
		}
	}
}

// Rule 7: nothing cancels what is typed on the reader; before, the context ends the login without
// asking, and the proof that follows is part of the answer.
func TestRule7Keypad(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	_, card := v.withKeypad(t, press{types: []string{rightPIN}, during: cancel}, press{types: []string{wrongPIN}})
	if _, err := card.Sign(ctx, nil, cardtest.NewStatement(t)); err != nil {
		t.Errorf("cancelled while the user types: %v", err)
	}
	if s, _ := card.PINStatus(context.Background()); s != crs.UnknownPINStatus {
		t.Errorf("kept %+v", s)
	}
	v.Forget()
	_, err := card.Sign(ctx, nil, cardtest.NewStatement(t))
	if !errors.Is(err, context.Canceled) || len(v.Log()) != 0 {
		t.Errorf("cancelled before: %v, %d commands", err, len(v.Log()))
	}
	// The context ends after the identity check.
	ctx, cancel = context.WithCancel(context.Background())
	card.(*cns).source.(*keypad).Reader = &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
		if b[1] == insReadBinary {
			cancel()
		}
		return c.Transmit(b)
	}}
	_, err = card.Sign(ctx, nil, cardtest.NewStatement(t))
	if s, _ := card.PINStatus(context.Background()); !errors.Is(err, context.Canceled) || v.Secrets() != 0 || s != crs.UnknownPINStatus {
		t.Errorf("cancelled at the identity check: %v, %d secrets, kept %+v", err, v.Secrets(), s)
	}
	card.(*cns).source.(*keypad).Reader = v.reader
	ctx, cancel = context.WithCancel(context.Background())
	card.(*cns).source.(*keypad).presses[0].during = cancel
	var refused *crs.PINError
	if _, err := card.Sign(ctx, nil, cardtest.NewStatement(t)); !errors.As(err, &refused) || refused.Retries != 2 {
		t.Errorf("a wrong PIN, cancelled while the user types: %v", err)
	}
}

// The limit from outside is longer than the reader's own, and than libccid's for it; past it the
// reader is given up, and what was typed is perhaps counted.
func TestRule9Deadline(t *testing.T) {
	for _, test := range []struct {
		ins          byte
		reader, gone time.Duration
	}{{insVerify, 90 * time.Second, 100 * time.Second}, {insChangePIN, 130 * time.Second, 160 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			hang := make(chan struct{})
			v := newVirtual(virtualcard.Config{})
			k, card := v.withKeypad(t,
				press{sw: 0x6400, during: func() { time.Sleep(test.reader) }}, press{sw: 0x6400, hang: hang})
			run := func() error {
				if test.ins == insChangePIN {
					return card.(crs.PINManager).ChangePIN(context.Background(), nil, nil)
				}
				return signOnPad(t, card)
			}
			if err := run(); !errors.Is(err, crs.ErrPadTimeout) {
				t.Errorf("after %v: %v", test.reader, err)
			}
			started := time.Now()
			var refused *crs.PINError
			if err := run(); !errors.Is(err, crs.ErrCardStuck) || !errors.As(err, &refused) || !refused.Uncertain || errors.Is(err, crs.ErrPINPad) {
				t.Errorf("never answers: %v", err)
			}
			if took := time.Since(started); took != test.gone {
				t.Errorf("given up after %v", took)
			}
			close(hang)
			synctest.Wait()
			k.presses = nil
		})
	}
}

// Rules 6 and 9: a change with both PINs on the reader. Its 9000 is not proved, and so the try stays
// kept until a VERIFY is.
func TestRule9Change(t *testing.T) {
	counted := crs.PINStatus{Retries: 2, Doubtful: true}
	three := func(old, fresh, again string) press { return press{types: []string{old, fresh, again}} }
	transport := fmt.Errorf("%w: test", crs.ErrCard)
	for name, test := range map[string]struct {
		fault virtualcard.Fault
		press press
		want  error
		kept  crs.PINStatus
		sent  int
		holds string // which PIN
	}{
		"right":          {press: three(rightPIN, freshPIN, freshPIN), kept: counted, sent: 1, holds: freshPIN},
		"wrong":          {press: three(wrongPIN, freshPIN, freshPIN), want: crs.ErrCard, kept: crs.PINStatus{Retries: 2}, sent: 1, holds: rightPIN},
		"differ":         {press: three(rightPIN, freshPIN, wrongPIN), want: crs.ErrPadMismatch, kept: crs.UnknownPINStatus, holds: rightPIN},
		"too short":      {press: three(rightPIN, "1", "1"), want: crs.ErrPINFormat, kept: crs.UnknownPINStatus, holds: rightPIN},
		"6400":           {press: press{sw: 0x6400}, want: crs.ErrPadTimeout, kept: crs.UnknownPINStatus, holds: rightPIN},
		"6401":           {press: press{sw: 0x6401}, want: crs.ErrPadCancelled, kept: crs.UnknownPINStatus, holds: rightPIN},
		"6B80":           {press: press{sw: 0x6B80}, want: crs.ErrPINPad, kept: counted, holds: rightPIN},
		"9000, nothing":  {press: press{sw: 0x9000}, kept: counted, holds: rightPIN},
		"lost before":    {press: press{err: transport}, want: crs.ErrPINPad, kept: counted, holds: rightPIN},
		"lost after":     {press: press{types: []string{rightPIN, freshPIN, freshPIN}, err: transport, after: true}, want: crs.ErrPINPad, kept: counted, sent: 1, holds: freshPIN},
		"not this model": {fault: virtualcard.Fault{INS: insChangePIN, SW: 0x6D00}, press: three(rightPIN, freshPIN, freshPIN), want: crs.ErrPINUnsupported, kept: crs.UnknownPINStatus, sent: 1, holds: rightPIN},
		"no such PIN":    {fault: virtualcard.Fault{INS: insChangePIN, SW: 0x6A88}, press: three(rightPIN, freshPIN, freshPIN), want: crs.ErrPINUnusable, kept: crs.UnknownPINStatus, sent: 1, holds: rightPIN},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{})
			_, card := v.withKeypad(t, test.press, press{types: []string{test.holds}})
			if test.fault.INS != 0 {
				v.Inject(test.fault)
			}
			err := card.(crs.PINManager).ChangePIN(context.Background(), nil, nil)
			if test.want == nil && err != nil || !errors.Is(err, test.want) {
				t.Errorf("%v", err)
			}
			if s, _ := card.PINStatus(context.Background()); s != test.kept {
				t.Errorf("kept %+v", s)
			}
			if v.Count(insChangePIN) != test.sent || v.Secrets() != test.sent {
				t.Errorf("%d CHANGE, %d secrets", v.Count(insChangePIN), v.Secrets())
			}
			if err := verifyPINOnPad(t, card); err != nil {
				t.Errorf("%s, the PIN that holds: %v", name, err)
			}
			if s, _ := card.PINStatus(context.Background()); s != crs.UnknownPINStatus {
				t.Errorf("%s, after the proof: kept %+v", name, s)
			}
		})
	}
	v := newVirtual(virtualcard.Config{Profile: "nfc"})
	_, card := v.withKeypad(t)
	if err := card.(crs.PINManager).ChangePIN(context.Background(), nil, nil); !errors.Is(err, crs.ErrContactless) {
		t.Errorf("contactless: %v", err)
	}
	v = newVirtual(virtualcard.Config{})
	k, card := v.withKeypad(t)
	k.modify = false
	if err := card.(crs.PINManager).ChangePIN(context.Background(), nil, nil); !errors.Is(err, crs.ErrPINPad) || v.Secrets() != 0 {
		t.Errorf("keys that verify only: %v", err)
	}
	if err := card.(crs.PINManager).ChangePIN(context.Background(), cardtest.PIN(rightPIN), nil); crs.CodeOf(err) != crs.ErrInternal || v.Secrets() != 0 {
		t.Errorf("one of each: %v", err)
	}
}

// Rules 6 and 9: no PUK is typed on a reader.
func TestRule6NoPUKOnTheKeypad(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	_, card := v.withKeypad(t)
	manager := card.(crs.PINManager)
	for _, typed := range [][2]*crs.PIN{{nil, nil}, {nil, cardtest.PIN(freshPIN)}, {cardtest.PIN(rightPUK), nil}} {
		if err := manager.UnblockPIN(context.Background(), typed[0], typed[1]); crs.CodeOf(err) != crs.ErrInternal {
			t.Error(err)
		}
	}
	if len(v.Log()) != 0 {
		t.Errorf("%d commands", len(v.Log()))
	}
	if err := unblock.run(card, rightPUK, freshPIN); err != nil {
		t.Errorf("on the keyboard: %v", err)
	}
}

// features of real readers (blog.apdu.fr), and lists that no reader should return.
var featureLists = map[string]map[byte]uint32{
	"":                                    {},
	"06 04 42 33 00 06 07 04 42 33 00 07": {6: 0x42330006, 7: 0x42330007},
	"12 04 42 33 00 12 06 04 42 33 00 06": {6: 0x42330006, 0x12: 0x42330012},
	"06 04 00 31 36 B0":                   {6: 0x003136B0}, // Windows
	"06":                                  nil,
	"06 04":                               nil,
	"06 04 42 33 00":                      nil,
	"06 03 42 33 00":                      nil,
	"06 03 42 33 00 06":                   nil,
	"06 05 42 33 00 06":                   nil,
	"06 05 42 33 00 06 00":                nil,
	"06 04 42 33 00 06 07":                nil,
	"06 04 42 33 00 06 07 00":             nil,
	"06 04 42 33 00 06 06 04 42 33 00 07": nil, // which of the two?
}

func TestRule9Features(t *testing.T) {
	for list, want := range featureLists {
		got := parseFeatures(unhex(t, list))
		if len(got) != len(want) || (got == nil) != (want == nil) {
			t.Errorf("%s: %v", list, got)
		}
		for tag, code := range want {
			if got[tag] != code {
				t.Errorf("%s: %v", list, got)
			}
		}
	}
	// Keys that do not take every PIN of a CNS are none.
	for properties, want := range map[string]bool{
		"": true, "06 01 04 07 01 10": true, "06 01 05 07 01 08": true, "07 01 00": true, "06 01 06": false, "07 01 07": false, "06 02 06 00": true,
	} {
		t.Run(properties, func(t *testing.T) {
			if got := takesPIN(unhex(t, properties)); got != want {
				t.Errorf("%v", got)
			}
		})
	}
}

func FuzzFeatures(f *testing.F) {
	for list := range featureLists {
		f.Add(unhex(f, list))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		features := parseFeatures(list)
		if features == nil {
			return
		}
		if 6*len(features) != len(list) {
			t.Fatalf("%d features in %d bytes", len(features), len(list))
		}
		for at := 0; at < len(list); at += 6 {
			if features[list[at]] != binary.BigEndian.Uint32(list[at+2:]) {
				t.Errorf("feature %02X", list[at])
			}
		}
		takesPIN(list)
		maxDataField(list)
	})
}
