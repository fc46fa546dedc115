package pcsc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// tapReader lets a test see, change or prevent each command on its way to a virtual card.
type tapReader struct {
	memoryReader
	transmit func(Conn, []byte) ([]byte, error)
}

func (r *tapReader) Connect() (Conn, error) {
	c, err := r.memoryReader.Connect()
	return &tapConn{c, r}, err
}

type tapConn struct {
	Conn
	r *tapReader
}

func (c *tapConn) Transmit(b []byte) ([]byte, error) { return c.r.transmit(c.Conn, b) }

func isExtended(command []byte) bool { return len(command) > 5 && command[4] == 0 }

// A PIN that no CNS can have, or none at all, is not sent.
func TestPINFormat(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	if f := card.Info().PINFormat; f != (crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}) {
		t.Errorf("%+v", f)
	}
	for _, pin := range []string{"", "1234", "123456789", "1234x"} {
		if err := v.login(t, card, pin); !errors.Is(err, crs.ErrPINFormat) {
			t.Errorf("%q: %v", pin, err)
		}
	}
	if _, err := card.Sign(context.Background(), nil, cardtest.NewStatement(t)); crs.CodeOf(err) != crs.ErrInternal {
		t.Errorf("no PIN: %v", err)
	}
	if v.Count(insVerify) != 0 {
		t.Errorf("%d VERIFY", v.Count(insVerify))
	}
}

// Rule 2: the key in the certificate is RSA of a size that a CNS can have.
func TestRule2Keys(t *testing.T) {
	person := virtualcard.Shared(2048)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modulus := func(bits uint) *rsa.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), bits)
		return &rsa.PublicKey{N: n.Sub(n, big.NewInt(1)), E: 65537}
	}
	for name, test := range map[string]struct {
		key any
		ok  bool
	}{
		"RSA-2048": {&person.Key.PublicKey, true}, "RSA-1024": {modulus(1024), true}, "RSA-4096": {modulus(4096), true},
		"RSA-1016": {modulus(1016), false}, "RSA-4104": {modulus(4104), false}, "P-256": {&curve.PublicKey, false},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := x509.CreateCertificate(rand.Reader, person.Certificate, person.Certificate, test.key, person.Key)
			if err != nil {
				t.Fatal(err)
			}
			v := newVirtual(virtualcard.Config{Files: map[string][]byte{"1100/1101": der}})
			_, err = v.driver.Open(context.Background(), v.reader)
			if test.ok && err != nil || !test.ok && !errors.Is(err, crs.ErrNoCNS) {
				t.Errorf("%v", err)
			}
		})
	}
}

// T21: two cards whose ids differ in one character are two cards.
func TestT21EveryCharacterOfTheID(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	for i := range 16 {
		id := []byte(v.Person().CardID)
		id[i] ^= 1
		other := virtualcard.New(virtualcard.Config{Files: map[string][]byte{"1000/1003": id}})
		v.reader.Insert(other)
		if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardRemoved) || other.Secrets() != 0 {
			t.Errorf("%s: %v, %d secrets", id, err, other.Secrets())
		}
	}
}

// triesWith are kept in memory, with something happening at each call.
type triesWith struct {
	memoryTries
	load  error
	store func() error
}

func (s *triesWith) Load(id string) (crs.PINStatus, error) {
	if s.load != nil {
		return crs.PINStatus{}, s.load
	}
	return s.memoryTries.Load(id)
}

func (s *triesWith) Store(id string, status crs.PINStatus) error {
	if s.store != nil {
		if err := s.store(); err != nil {
			return err
		}
	}
	return s.memoryTries.Store(id, status)
}

// Rule 4: tries that cannot be read or kept cost nobody a login, and are taken for the worst.
func TestRule4TriesThatCannotBeRead(t *testing.T) {
	var log bytes.Buffer
	v := newVirtual(virtualcard.Config{})
	store := &triesWith{load: errors.New("disk full")}
	v.driver.Tries = &tries.Book{Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))}
	card := v.open(t)
	v.Inject(virtualcard.Fault{INS: insVerify, Mute: true})
	v.login(t, card, rightPIN)
	if s, _ := store.memoryTries.Load(card.Info().ID); s != (crs.PINStatus{Retries: 0, Doubtful: true}) {
		t.Errorf("kept %+v", s)
	}
	v.Inject()
	store.store = func() error { return store.load }
	if err := v.login(t, card, rightPIN); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "not read") || !strings.Contains(log.String(), "not kept") || strings.Contains(log.String(), v.Person().CardID) {
		t.Errorf("log %s", &log)
	}
}

// Rule 4: on a full disk the bound is kept for the life of the process, and the extra yes is
// asked on a card that does not say.
func TestRule4TriesThatCannotBeKept(t *testing.T) {
	v := newVirtual(virtualcard.Config{NoCount: true})
	v.driver.Tries = &tries.Book{Store: &triesWith{store: func() error { return errors.New("disk full") }}}
	card := v.open(t)
	for i, last := range []bool{false, false, true} {
		status, err := card.PINStatus(context.Background())
		if err != nil || status.LastTry() != last {
			t.Errorf("before try %d: %+v, %v", i+1, status, err)
		}
		if i < 2 {
			v.login(t, card, wrongPIN)
		}
	}
	if err := v.login(t, card, rightPIN); err != nil {
		t.Fatal(err)
	}
	if status, _ := card.PINStatus(context.Background()); status != crs.UnknownPINStatus {
		t.Errorf("after the right PIN: %+v", status)
	}
}

// Rule 8: a VERIFY that the card accepts after it was abandoned leaves no PIN state.
func TestRule8LateVERIFYLeavesNoState(t *testing.T) {
	hang := make(chan struct{})
	v := newVirtual(virtualcard.Config{})
	v.driver.Timeouts = Timeouts{PIN: 50 * time.Millisecond}
	card := v.open(t)
	v.Inject(virtualcard.Fault{INS: insVerify, Hang: hang, After: true})
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardStuck) {
		t.Errorf("login: %v", err)
	}
	close(hang)
	v.Inject()
	if got := signWithoutPIN(t, v.reader); got != 0x6982 {
		t.Errorf("a second program got %v", got)
	}
	if v.Secrets() != 1 {
		t.Errorf("%d secrets", v.Secrets())
	}
}

// Rule 7: a context that ends during the identity check ends the login before the PIN; one that
// ends once the PIN is counted as spent does not keep it back.
func TestRule7ContextBeforeTheVERIFY(t *testing.T) {
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
	_, err := card.Sign(ctx, cardtest.PIN(rightPIN), cardtest.NewStatement(t))
	if status, _ := card.PINStatus(ctx); !errors.Is(err, context.Canceled) || v.Secrets() != 0 || status != crs.UnknownPINStatus {
		t.Errorf("%v, %d secrets, kept %+v", err, v.Secrets(), status)
	}

	card.(*cns).source = v.reader
	ctx, cancel = context.WithCancel(context.Background())
	v.driver.Tries = &tries.Book{Store: &triesWith{store: func() error { cancel(); return nil }}}
	_, err = card.Sign(ctx, cardtest.PIN(rightPIN), cardtest.NewStatement(t))
	if status, _ := card.PINStatus(ctx); !errors.Is(err, context.Canceled) || v.Secrets() != 1 || status != crs.UnknownPINStatus {
		t.Errorf("%v, %d secrets, kept %+v", err, v.Secrets(), status)
	}
}

// Rule 5: no extended command goes to a reader that takes short ones only, that broke on one
// before, or to a card on T=0.
func TestRule5NoExtendedCommand(t *testing.T) {
	for name, v := range map[string]*virtual{
		"short reader": newVirtual(virtualcard.Config{Profile: "idemia"}).withShortReader(),
		"T=0":          newVirtual(virtualcard.Config{Profile: "t0"}),
		"broke before": newVirtual(virtualcard.Config{Profile: "idemia"}),
	} {
		t.Run(name, func(t *testing.T) {
			breaks := name == "broke before"
			tap := &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
				if isExtended(b) {
					if breaks {
						return nil, crs.ErrCard
					}
					t.Errorf("% X", b[:7])
				}
				return c.Transmit(b)
			}}
			for range 2 {
				card, err := v.driver.Open(context.Background(), tap)
				if err == nil {
					err = v.login(t, card, rightPIN)
				}
				if err != nil {
					t.Errorf("%v", err)
				}
				breaks = false
			}
		})
	}
}

// A reader that broke once does not count as broken from then on: a card that cannot sign without
// extended commands can when it is inserted again.
func TestRule5BrokeOnce(t *testing.T) {
	v := newVirtual(virtualcard.Config{Profile: "st"})
	broken := false
	tap := &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
		if isExtended(b) && !broken {
			broken = true
			return nil, crs.ErrCard
		}
		return c.Transmit(b)
	}}
	for i, want := range []error{crs.ErrCard, nil} {
		card, err := v.driver.Open(context.Background(), tap)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.login(t, card, rightPIN); !errors.Is(err, want) {
			t.Errorf("login %d: %v", i, err)
		}
	}
}

// Rule 5: a reader that cuts long answers off does not take extended commands.
func TestRule5CutOffAnswer(t *testing.T) {
	v := newVirtual(virtualcard.Config{Profile: "idemia"})
	sent := 0
	card, err := v.driver.Open(context.Background(), &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
		answer, err := c.Transmit(b)
		if isExtended(b) {
			sent++
			answer = append(answer[:min(256, len(answer)-2)], 0x90, 0x00)
		}
		return answer, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.login(t, card, rightPIN); err != nil || sent != 1 {
		t.Errorf("%v, %d extended commands", err, sent)
	}
}

// Rule 5: a card that was pulled at the PSO has not shown that its reader cannot carry it.
func TestRule5PulledAtThePSO(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.Inject(virtualcard.Fault{INS: insPSO, Remove: true})
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardRemoved) {
		t.Error(err)
	}
	v.Inject()
	v.reader.Insert(v.Card)
	if err := v.login(t, card, rightPIN); err != nil {
		t.Error(err)
	}
}

// A card that answers more than it was asked for, or is asked beyond what P1 and P2 can say.
func TestReadIsBounded(t *testing.T) {
	f := &fakeReader{transmit: func([]byte) ([]byte, error) { return append(make([]byte, 40), 0x90, 0x00), nil }}
	err := new(Driver).transaction(context.Background(), f, txn{reset: true}, func(s *session) error {
		if b, err := s.read(0x7FFF, 16, false); err != nil || len(b) != 16 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		_, err := s.read(0x8000, 16, false) // would select another file by its short identifier
		return err
	})
	if !errors.Is(err, crs.ErrCard) || f.commands() != 1 {
		t.Errorf("%v, %d commands", err, f.commands())
	}
}

// A card that does not report the size of EF_DatiPersonali has one of the usual size.
func TestPersonalDataOfUnknownSize(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	want, err := card.(crs.PersonalDataReader).PersonalData(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	card.(*cns).source = &tapReader{v.reader, func(c Conn, b []byte) ([]byte, error) {
		answer, err := c.Transmit(b)
		if b[1] == insSelect && len(answer) > 2 {
			answer = []byte{0x90, 0x00}
		}
		return answer, err
	}}
	got, err := card.(crs.PersonalDataReader).PersonalData(context.Background())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestOnlySHA256DigestsAreSigned(t *testing.T) {
	for _, n := range []int{0, 20, 31, 33, 48} {
		if _, err := new(cns).signDigest(nil, make([]byte, n)); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
}

// Once a call was abandoned, its connection is not used for anything else.
func TestNothingIsSentAfterAnAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fakeReader{transmit: func([]byte) ([]byte, error) { <-release; return []byte{0x90, 0x00}, nil }}
		new(Driver).transaction(context.Background(), f, txn{reset: true}, func(s *session) error {
			s.identified = true
			for range 3 {
				_, pinErr := s.transmitPIN(command{ins: insVerify, data: []byte("12345678")})
				if err := s.selectPath(nil); !errors.Is(err, crs.ErrCardStuck) || !errors.Is(pinErr, crs.ErrCardStuck) {
					t.Errorf("%v, %v", pinErr, err)
				}
			}
			return nil
		})
		if f.commands() != 1 {
			t.Errorf("%d commands", f.commands())
		}
		close(release)
	})
}
