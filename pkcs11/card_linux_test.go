package pkcs11

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/tries"
)

// TestWithFlags: what the flags of a token add to what is kept.
func TestWithFlags(t *testing.T) {
	unknown := crs.UnknownPINStatus
	for _, test := range []struct {
		kept        crs.PINStatus
		flags       uint
		falseLocked bool
		want        crs.PINStatus
	}{
		{unknown, 0, false, unknown},
		{unknown, ckfPINLocked, false, crs.PINStatus{Retries: -1, Blocked: true}},
		{unknown, ckfPINLocked, true, unknown},
		{unknown, ckfPINLocked | ckfPINFinalTry, true, crs.PINStatus{Retries: 1}},
		{unknown, ckfPINFinalTry | ckfPINCountLow, false, crs.PINStatus{Retries: 1}},
		{unknown, ckfPINCountLow, false, crs.PINStatus{Retries: 2, Doubtful: true}},
		{crs.PINStatus{Retries: 3}, ckfPINCountLow, false, crs.PINStatus{Retries: 2, Doubtful: true}},
		{crs.PINStatus{Retries: 1, Doubtful: true}, ckfPINCountLow, false, crs.PINStatus{Retries: 1, Doubtful: true}},
		{crs.PINStatus{Retries: 0, Doubtful: true}, ckfPINFinalTry, false, crs.PINStatus{Retries: 0, Doubtful: true}},
		{crs.PINStatus{Retries: 2, Blocked: true}, ckfPINFinalTry, false, crs.PINStatus{Retries: 1, Blocked: true}},
	} {
		if got := withFlags(test.kept, test.flags, test.falseLocked); got != test.want {
			t.Errorf("%+v with %X, %v: %+v", test.kept, test.flags, test.falseLocked, got)
		}
	}
}

// A card that was pulled stays gone, also when its token is inserted again.
func TestPulledAndInsertedAgain(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	if again := theCard(t, tokens); again != c {
		t.Error("a token that stayed in is another card")
	}
	f.Insert()
	_, changed := tokens.Seen()
	tokens.List(context.Background(), true)
	select {
	case <-changed:
	default:
		t.Error("nobody is told that it was pulled")
	}
	f.Insert(oneToken())
	if d := theCard(t, tokens); d == c {
		t.Error("it is the same card")
	}
	if _, err := c.Certificate(context.Background()); !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("certificate: %v", err)
	}
	if _, err := c.PINStatus(context.Background()); !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("status: %v", err)
	}
	if err := login(t, c, rightPIN); !errors.Is(err, crs.ErrCardRemoved) || f.Secrets() != 0 {
		t.Errorf("login: %v, %d PINs", err, f.Secrets())
	}
}

// TestWiped: a PIN is wiped in every path, and one that no token could have is not sent.
func TestWiped(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	ctx := context.Background()
	for name, use := range map[string]func(a, b *crs.PIN) error{
		"sign":    func(a, b *crs.PIN) error { b.Wipe(); _, err := c.Sign(ctx, a, cardtest.NewStatement(t)); return err },
		"nothing": func(a, b *crs.PIN) error { b.Wipe(); _, err := c.Sign(ctx, a, crs.Statement{}); return err },
		"verify":  func(a, b *crs.PIN) error { b.Wipe(); return c.VerifyPIN(ctx, a) },
		"change":  func(a, b *crs.PIN) error { return c.ChangePIN(ctx, a, b) },
		"unblock": func(a, b *crs.PIN) error { return c.UnblockPIN(ctx, a, b) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, pin := range []string{rightPIN, "1"} {
				a, b := cardtest.PIN(pin), cardtest.PIN(rightPIN)
				use(a, b)
				if a.Len() != 0 || b.Len() != 0 {
					t.Error("a PIN is left")
				}
			}
		})
	}
	sent := f.Secrets()
	if _, err := c.Sign(ctx, nil, cardtest.NewStatement(t)); !errors.Is(err, crs.ErrInternal) {
		t.Errorf("a token without keys: %v", err)
	}
	if err := c.ChangePIN(ctx, cardtest.PIN(rightPIN), nil); err == nil {
		t.Error("a change to nothing")
	}
	if err := c.VerifyPIN(ctx, cardtest.PIN("1")); !errors.Is(err, crs.ErrPINFormat) {
		t.Errorf("too short: %v", err)
	}
	if n := f.Secrets() - sent; n != 0 {
		t.Errorf("%d PINs were sent", n)
	}
}

// Rule 9: only a signature proves that a PIN was typed on the device.
func TestRule9ProvedBySignature(t *testing.T) {
	pad := oneToken()
	pad.Flags = ckfProtectedPath
	f, tokens := faked(t, pad)
	book := &tries.Book{}
	tokens.Tries = book
	c := theCard(t, tokens)
	known := crs.PINStatus{Retries: 2, Doubtful: true}
	book.Keep(c.Info().ID, known)
	f.Type(rightPIN)
	if err := c.VerifyPIN(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if got := book.Status(c.Info().ID); got != known {
		t.Errorf("after C_Login alone: %+v", got)
	}
	f.Fault("C_Sign", "5")
	c.Sign(context.Background(), nil, cardtest.NewStatement(t))
	if got := book.Status(c.Info().ID); got != known {
		t.Errorf("after a signature that failed: %+v", got)
	}
	f.Fault("", "")
	if _, err := c.Sign(context.Background(), nil, cardtest.NewStatement(t)); err != nil {
		t.Error(err)
	}
	if got := book.Status(c.Info().ID); got != crs.UnknownPINStatus {
		t.Errorf("after a signature: %+v", got)
	}
}

// Rule 4: two logins at once count two tries.
func TestRule4TwoAtOnce(t *testing.T) {
	f, tokens := faked(t, oneToken())
	book := &tries.Book{}
	tokens.Tries = book
	c := theCard(t, tokens)
	f.Fault("C_Login", "5") // no clear answer: each is counted
	<-c.host.turn           // the module is busy until both are on their way
	var logins sync.WaitGroup
	for range 2 {
		logins.Go(func() { login(t, c, rightPIN) })
	}
	time.Sleep(100 * time.Millisecond)
	c.host.turn <- struct{}{}
	logins.Wait()
	if got := book.Status(c.Info().ID); got.Retries != tries.Full-2 {
		t.Errorf("%+v", got)
	}
}
