package pcsc

import (
	"context"
	"errors"
	"testing"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// distort changes the answer of a card as a step of a script says: how, and with what.
func distort(step, answer []byte) []byte {
	how, with := step[0], step[1:]
	switch how % 8 {
	case 1: // another status word
		return append(answer[:max(len(answer)-2, 0):max(len(answer)-2, 0)], with[:2]...)
	case 2: // cut off
		kept := int(with[0]) * len(answer) / 256
		return append(answer[:kept:kept], with[2:4]...)
	case 3: // more than was asked for
		more := make([]byte, int(with[0])<<8+int(with[1]))
		return append(more, answer...)
	case 4: // a byte is another one
		if len(answer) > 0 {
			answer[(int(with[0])<<8+int(with[1]))%len(answer)] ^= with[2] | 1
		}
		return answer
	case 5: // something else
		return append([]byte{}, with...)
	case 6: // there is always more to fetch
		return append(answer[:max(len(answer)-2, 0):max(len(answer)-2, 0)], 0x61, with[0])
	case 7: // another length, endlessly
		return []byte{0x6C, with[0]}
	}
	return answer
}

// A card or a reader with arbitrary answers ends a login with an error at most: one PIN is sent, to
// a card that said what it is, what comes back is bounded, and the next card works.
func FuzzT17Card(f *testing.F) {
	const step = 6
	f.Add([]byte{})
	for how := range byte(8) {
		for before := range 12 {
			for _, much := range []byte{0x00, 0x04, 0xFF} {
				f.Add(append(make([]byte, step*before), how, much, 0x00, 0x90, 0x00, 0x30))
			}
		}
	}
	statement := cardtest.NewStatement(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		v := newVirtual(virtualcard.Config{})
		commands, secrets := 0, 0
		tap := &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
			commands++
			if commands > 20_000 {
				t.Error("it never ends")
				return nil, crs.ErrCardRemoved
			}
			if (command{ins: b[1]}).carriesSecret() {
				secrets++
			}
			answer, err := c.Transmit(b)
			if err != nil || len(script) < step {
				return answer, err
			}
			answer = distort(script[:step], answer)
			if len(script) >= 2*step {
				script = script[step:] // the last step is for all that follow
			}
			return answer, nil
		}}
		ctx := context.Background()
		card, err := v.driver.Open(ctx, tap)
		if err == nil {
			sig, signErr := card.Sign(ctx, cardtest.PIN(virtualcard.DefaultPIN), statement)
			if signErr == nil && sig.Verify(statement) != nil {
				t.Error("what is no signature counts for one")
			}
			err = signErr
			if data, ok := card.(crs.PersonalDataReader); ok {
				if b, err := data.PersonalData(ctx); err == nil && len(b) > maxExtended {
					t.Errorf("%d bytes of personal data", len(b))
				}
			}
			card.PINStatus(ctx)
		}
		if pinErr := (*crs.PINError)(nil); err != nil && crs.CodeOf(err) == crs.ErrInternal && !errors.As(err, &pinErr) {
			t.Errorf("an error of the program's own: %v", err)
		}
		if secrets > 1 {
			t.Errorf("%d PINs were sent", secrets)
		}
		v.mustLogin(t)
	})
}
