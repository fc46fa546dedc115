// Package cards is the conformance suite of crs.Card: what every card does, whatever drives
// it. It spends PINs, and blocks the card in the end: it is for cards that can be thrown away.
package cards

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/crs-bridge/crs"
)

// Subject is a fresh card: nobody typed a PIN yet.
type Subject struct {
	Card          crs.Card
	PIN, WrongPIN string
	PUK           string

	// Tries returns how many wrong PINs the card still forgives.
	Tries func() int
	// Secrets returns how many commands with a PIN or PUK the card received.
	Secrets func() int
	// Certificate is the DER of the certificate that the card was made with.
	Certificate []byte
	// TellsRetries is false for a card that answers a wrong PIN without a number.
	TellsRetries bool
	// NeverBlocks is true for a token that forgives any number of wrong PINs.
	NeverBlocks bool
	// IsToken is true for what is driven through a module: it has no personal data, and its PIN
	// is unblocked elsewhere.
	IsToken bool
}

// Run runs the suite, each test on a subject of its own.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"info", info},
		{"certificate", certificate},
		{"sign", sign},
		{"a wrong PIN costs one try", wrongPIN},
		{"three wrong PINs block", blocked},
		{"a PIN of the wrong form is not sent", wrongForm},
		{"a PIN is sent once", sentOnce},
		{"an ended context sends nothing", endedContext},
		{"concurrent logins", concurrent},
		{"PIN verification", verifyPIN},
		{"PIN change", changePIN},
		{"PIN unblock", unblockPIN},
		{"personal data", personalData},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// NewStatement makes a statement with a fresh challenge.
func NewStatement(t testing.TB) crs.Statement {
	t.Helper()
	nonce := make([]byte, 33)
	rand.Read(nonce)
	origin, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		t.Fatal(err)
	}
	challenge, err := crs.ParseChallenge(base64.StdEncoding.EncodeToString(nonce))
	if err != nil {
		t.Fatal(err)
	}
	s, err := crs.NewStatement(origin, challenge)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// PIN types a PIN.
func PIN(s string) *crs.PIN { return crs.NewPIN([]byte(s)) }

func info(t *testing.T, s Subject) {
	i := s.Card.Info()
	if i.Kind == "" || i.Reader == "" || i.ID == "" || i.Model == "" {
		t.Errorf("incomplete: %+v", i)
	}
	if err := PIN(s.PIN).Check(i.PINFormat); err != nil {
		t.Errorf("the card's own PIN does not have the form %+v", i.PINFormat)
	}
}

func certificate(t *testing.T, s Subject) {
	for range 2 {
		cert, err := s.Card.Certificate(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(cert.Raw, s.Certificate) {
			t.Error("not the certificate that is on the card")
		}
	}
}

func sign(t *testing.T, s Subject) {
	for range 2 {
		statement, pin := NewStatement(t), PIN(s.PIN)
		sig, err := s.Card.Sign(context.Background(), pin, statement)
		if err != nil {
			t.Fatal(err)
		}
		if err := sig.Verify(statement); err != nil {
			t.Error(err)
		}
		if sig.Verify(NewStatement(t)) == nil {
			t.Error("the signature fits another challenge")
		}
		if pin.Len() != 0 {
			t.Error("the PIN was not wiped")
		}
	}
	if s.Secrets() != 2 {
		t.Errorf("two logins sent %d secrets", s.Secrets())
	}
	if status := pinStatus(t, s); status != crs.UnknownPINStatus {
		t.Errorf("after a login: %+v", status)
	}
}

func pinStatus(t *testing.T, s Subject) crs.PINStatus {
	t.Helper()
	status, err := s.Card.PINStatus(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func wrongPIN(t *testing.T, s Subject) {
	before := s.tries()
	pin := PIN(s.WrongPIN)
	_, err := s.Card.Sign(context.Background(), pin, NewStatement(t))
	var refused *crs.PINError
	if !errors.As(err, &refused) || refused.Blocked || refused.Uncertain {
		t.Fatalf("wrong PIN: %v", err)
	}
	want := -1
	if s.TellsRetries {
		want = before - 1
	}
	if refused.Retries != want || !s.NeverBlocks && s.tries() != before-1 || s.Secrets() != 1 {
		t.Errorf("tells %d, card has %d of %d, %d secrets", refused.Retries, s.tries(), before, s.Secrets())
	}
	if status := pinStatus(t, s); status.Retries != before-1 || status.Blocked || status.Doubtful == s.TellsRetries {
		t.Errorf("kept: %+v", status)
	}
	if pin.Len() != 0 {
		t.Error("the PIN was not wiped")
	}
	if _, err := s.Card.Sign(context.Background(), PIN(s.PIN), NewStatement(t)); err != nil {
		t.Errorf("the right PIN after a wrong one: %v", err)
	}
	if s.tries() != before || pinStatus(t, s) != crs.UnknownPINStatus {
		t.Errorf("after the right PIN: card has %d of %d, kept %+v", s.tries(), before, pinStatus(t, s))
	}
}

// tries returns how many tries the card has, three if it has no end of them.
func (s Subject) tries() int {
	if s.NeverBlocks {
		return 3
	}
	return s.Tries()
}

func blocked(t *testing.T, s Subject) {
	var err error
	for range s.tries() {
		_, err = s.Card.Sign(context.Background(), PIN(s.WrongPIN), NewStatement(t))
	}
	if s.TellsRetries && crs.CodeOf(err) != crs.ErrPINBlocked {
		t.Errorf("the last try: %v", err)
	}
	if !pinStatus(t, s).LastTry() {
		t.Errorf("kept after the last try: %+v", pinStatus(t, s))
	}
	if s.NeverBlocks {
		return
	}
	_, err = s.Card.Sign(context.Background(), PIN(s.PIN), NewStatement(t))
	var refused *crs.PINError
	if !errors.As(err, &refused) || !refused.Blocked || crs.CodeOf(err) != crs.ErrPINBlocked {
		t.Errorf("the right PIN on a blocked card: %v", err)
	}
	if !pinStatus(t, s).Blocked {
		t.Errorf("kept: %+v", pinStatus(t, s))
	}
}

func wrongForm(t *testing.T, s Subject) {
	f := s.Card.Info().PINFormat
	forms := []string{"", s.PIN[:f.Min-1], s.PIN + strings.Repeat("0", max(0, f.Max+1-len(s.PIN)))}
	if f.DigitsOnly {
		forms = append(forms, s.PIN[:f.Min-1]+"x", s.PIN[:f.Min-1]+" ")
	}
	for _, form := range forms {
		if _, err := s.Card.Sign(context.Background(), PIN(form), NewStatement(t)); !errors.Is(err, crs.ErrPINFormat) {
			t.Errorf("%d characters: %v", len(form), err)
		}
	}
	if s.Secrets() != 0 {
		t.Errorf("%d were sent", s.Secrets())
	}
}

func sentOnce(t *testing.T, s Subject) {
	pin := PIN(s.PIN)
	if _, err := pin.Spend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Card.Sign(context.Background(), pin, NewStatement(t)); !errors.Is(err, crs.ErrPINSpent) {
		t.Errorf("a spent PIN: %v", err)
	}
	if s.Secrets() != 0 {
		t.Error("a spent PIN was sent")
	}
}

func endedContext(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Card.Sign(ctx, PIN(s.PIN), NewStatement(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if s.Secrets() != 0 {
		t.Error("a PIN was sent")
	}
}

func concurrent(t *testing.T, s Subject) {
	var group sync.WaitGroup
	const logins = 4
	for range logins {
		statement := NewStatement(t)
		group.Go(func() {
			sig, err := s.Card.Sign(context.Background(), PIN(s.PIN), statement)
			if err == nil {
				err = sig.Verify(statement)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if s.Secrets() != logins {
		t.Errorf("%d secrets for %d logins", s.Secrets(), logins)
	}
}

func verifyPIN(t *testing.T, s Subject) {
	m, ok := s.Card.(crs.PINManager)
	if !ok {
		t.Fatal("the card has no PINManager")
	}
	var refused *crs.PINError
	if err := m.VerifyPIN(context.Background(), PIN(s.WrongPIN)); !errors.As(err, &refused) {
		t.Errorf("wrong PIN: %v", err)
	}
	pin := PIN(s.PIN)
	if err := m.VerifyPIN(context.Background(), pin); err != nil {
		t.Errorf("right PIN: %v", err)
	}
	if pin.Len() != 0 {
		t.Error("the PIN was not wiped")
	}
	if s.Secrets() != 2 {
		t.Errorf("%d secrets", s.Secrets())
	}
}

const freshPIN = "97531"

func changePIN(t *testing.T, s Subject) {
	m := s.Card.(crs.PINManager)
	err := m.ChangePIN(context.Background(), PIN(s.PIN), PIN(freshPIN))
	if (errors.Is(err, crs.ErrContactless) || errors.Is(err, crs.ErrPINUnsupported)) && s.Secrets() == 0 {
		return // refused before anything was compared
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Card.Sign(context.Background(), PIN(freshPIN), NewStatement(t)); err != nil {
		t.Errorf("the new PIN: %v", err)
	}
	var refused *crs.PINError
	if err := m.ChangePIN(context.Background(), PIN(s.PIN), PIN(freshPIN)); !errors.As(err, &refused) || refused.PUK {
		t.Errorf("the old PIN: %v", err)
	}
	if s.Secrets() != 3 {
		t.Errorf("%d secrets", s.Secrets())
	}
}

func unblockPIN(t *testing.T, s Subject) {
	m := s.Card.(crs.PINManager)
	if s.IsToken {
		puk := PIN(s.WrongPIN)
		if err := m.UnblockPIN(context.Background(), puk, PIN(freshPIN)); !errors.Is(err, crs.ErrPINUnsupported) || s.Secrets() != 0 || puk.Len() != 0 {
			t.Errorf("unblock: %v, %d secrets", err, s.Secrets())
		}
		return
	}
	for range s.Tries() {
		m.VerifyPIN(context.Background(), PIN(s.WrongPIN))
	}
	err := m.UnblockPIN(context.Background(), PIN(s.PUK), PIN(freshPIN))
	if errors.Is(err, crs.ErrContactless) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if status := pinStatus(t, s); status != crs.UnknownPINStatus {
		t.Errorf("kept %+v", status)
	}
	if _, err := s.Card.Sign(context.Background(), PIN(freshPIN), NewStatement(t)); err != nil {
		t.Errorf("the new PIN: %v", err)
	}
}

func personalData(t *testing.T, s Subject) {
	r, ok := s.Card.(crs.PersonalDataReader)
	if !ok && s.IsToken {
		return
	}
	if !ok {
		t.Fatal("the card has no PersonalDataReader")
	}
	b, err := r.PersonalData(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := crs.ParsePersonalData(b); err != nil || p.CodiceFiscale == "" {
		t.Errorf("%d bytes: %v", len(b), err)
	}
	if s.Secrets() != 0 {
		t.Error("a secret was sent")
	}
}
