package pcsc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
)

// fakeReader is a reader whose every call can be made to misbehave.
type fakeReader struct {
	connect  func() error
	begin    func() error
	transmit func([]byte) ([]byte, error)
	end      func(reset bool) error

	mu                   sync.Mutex
	sent                 [][]byte
	ends, resets, closes int
}

func (f *fakeReader) Name() string { return "fake" }
func (f *fakeReader) Connect() (Conn, error) {
	if f.connect != nil {
		if err := f.connect(); err != nil {
			return nil, err
		}
	}
	return (*fakeConn)(f), nil
}

func (f *fakeReader) commands() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

type fakeConn fakeReader

func (c *fakeConn) ATR() []byte   { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }
func (c *fakeConn) Protocol() int { return 1 }
func (c *fakeConn) MaxAPDU() int  { return 0 }
func (c *fakeConn) Begin() error {
	if c.begin != nil {
		return c.begin()
	}
	return nil
}
func (c *fakeConn) Transmit(b []byte) ([]byte, error) {
	c.mu.Lock()
	c.sent = append(c.sent, append([]byte(nil), b...))
	c.mu.Unlock()
	if c.transmit != nil {
		return c.transmit(b)
	}
	return []byte{0x6A, 0x82}, nil
}
func (c *fakeConn) End(reset bool) error {
	c.mu.Lock()
	c.ends++
	if reset {
		c.resets++
	}
	c.mu.Unlock()
	if c.end != nil {
		return c.end(reset)
	}
	return nil
}
func (c *fakeConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closes++
	return nil
}

// Rule 2: before identification nothing but SELECT, READ BINARY and the GET RESPONSE that they
// may need reaches the card, no matter who asks.
func TestRule2AllowList(t *testing.T) {
	f := &fakeReader{}
	err := new(Driver).transaction(context.Background(), f, txn{reset: true}, func(s *session) error {
		for ins := range 0x100 {
			c := command{ins: byte(ins), le: 1}
			_, err := s.transmit(c)
			_, pinErr := s.transmitPIN(c)
			allowed := beforeIdentification[byte(ins)]
			if (err == nil) != allowed || pinErr == nil {
				t.Errorf("INS %02X: %v, %v", ins, err, pinErr)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range f.sent {
		if b[1] != 0xA4 && b[1] != 0xB0 && b[1] != 0xC0 {
			t.Errorf("INS %02X was sent", b[1])
		}
	}
	if len(f.sent) != 3 {
		t.Errorf("%d commands were sent", len(f.sent))
	}
}

// Rule 1: the way of ordinary commands, which repeats and continues, is closed to a secret.
func TestRule1SecretsHaveTheirOwnWay(t *testing.T) {
	for _, answer := range [][]byte{{0x6C, 0x08}, {0x61, 0x10}, {0x90, 0x00}, {0x63, 0x00}} {
		var sent []byte
		f := &fakeReader{transmit: func(b []byte) ([]byte, error) { sent = b; return answer, nil }}
		err := new(Driver).transaction(context.Background(), f, txn{reset: true}, func(s *session) error {
			s.identified = true
			for _, ins := range []byte{insVerify, insChangePIN, insResetRetry} {
				if _, err := s.transmit(command{ins: ins, data: []byte("secret")}); err == nil {
					t.Errorf("INS %02X took the ordinary way", ins)
				}
				before, secret := f.commands(), []byte("secret")
				if _, err := s.transmitPIN(command{ins: ins, data: secret}); err != nil {
					t.Errorf("INS %02X: %v", ins, err)
				}
				if zero := make([]byte, 5+6); !bytes.Equal(secret, zero[:6]) || !bytes.Equal(sent, zero) {
					t.Errorf("INS %02X: % X and % X are left of it", ins, secret, sent)
				}
				if f.commands() != before+1 {
					t.Errorf("INS %02X answered %X: %d commands", ins, answer, f.commands()-before)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Rule 8: every path ends the transaction, with the reset that was asked for.
func TestRule8TransactionEnds(t *testing.T) {
	boom := errors.New("boom")
	for name, f := range map[string]func(*session) error{
		"done":   func(*session) error { return nil },
		"failed": func(*session) error { return boom },
		"card":   func(s *session) error { return s.selectPath(nil) },
	} {
		for _, reset := range []bool{true, false} {
			r := &fakeReader{}
			new(Driver).transaction(context.Background(), r, txn{reset: reset}, f)
			if r.ends != 1 || r.closes != 1 || (r.resets == 1) != reset {
				t.Errorf("%s, reset %v: %d ends, %d resets, %d closes", name, reset, r.ends, r.resets, r.closes)
			}
		}
	}
}

func TestTransactionBeginsAgainAfterReset(t *testing.T) {
	begins := 0
	f := &fakeReader{begin: func() error {
		if begins++; begins == 1 {
			return crs.ErrCardReset
		}
		return nil
	}}
	if err := new(Driver).transaction(context.Background(), f, txn{reset: true}, func(*session) error { return nil }); err != nil {
		t.Error(err)
	}
	f.begin = func() error { return crs.ErrCardReset }
	err := new(Driver).transaction(context.Background(), f, txn{reset: true}, func(*session) error { t.Error("ran"); return nil })
	if !errors.Is(err, crs.ErrCardReset) {
		t.Error(err)
	}
}

// A call that never returns is abandoned after its limit, its reader is skipped until it does,
// and its connection is closed then. Each kind of call has its limit.
func TestHangingCallIsAbandoned(t *testing.T) {
	for _, test := range []struct {
		name  string
		hang  func(f *fakeReader, wait func())
		limit time.Duration
	}{
		{"connect", func(f *fakeReader, wait func()) { f.connect = func() error { wait(); return nil } }, 10 * time.Second},
		{"begin", func(f *fakeReader, wait func()) { f.begin = func() error { wait(); return nil } }, 10 * time.Second},
		{"end", func(f *fakeReader, wait func()) { f.end = func(bool) error { wait(); return nil } }, 10 * time.Second},
		{"select", hangAt(insSelect), 10 * time.Second},
		{"pin", hangAt(insVerify), 30 * time.Second},
		{"sign", hangAt(insPSO), 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				f := &fakeReader{}
				test.hang(f, func() { <-release })
				d := &Driver{}
				start := time.Now()
				use := func() error {
					return d.transaction(context.Background(), f, txn{reset: true}, func(s *session) error {
						s.identified = true
						if err := s.selectPath(nil); errors.Is(err, crs.ErrCardStuck) {
							return err
						}
						if _, err := s.transmitPIN(command{ins: insVerify, data: []byte("12345678")}); err != nil {
							return err
						}
						_, err := s.transmit(command{ins: insPSO, le: 256})
						return err
					})
				}
				err := use()
				want := crs.ErrCardStuck
				if test.name == "begin" { // never asks the card: it waits for another program
					want = crs.ErrCardInUse
				}
				if test.name != "end" && !errors.Is(err, want) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); took != test.limit {
					t.Errorf("took %v", took)
				}
				sent := f.commands()
				if err := use(); !errors.Is(err, want) || f.commands() != sent {
					t.Errorf("the stuck reader was used: %v", err)
				}
				if f.closes != 0 || f.ends > 0 && test.name != "end" {
					t.Errorf("%d closes, %d ends while a call is under way", f.closes, f.ends)
				}
				close(release)
				synctest.Wait()
				test.hang(f, func() {})
				if f.closes != 1 {
					t.Errorf("the abandoned connection was closed %d times", f.closes)
				}
				if err := use(); err != nil {
					t.Errorf("after it returned: %v", err)
				}
			})
		})
	}
}

func hangAt(ins byte) func(*fakeReader, func()) {
	return func(f *fakeReader, wait func()) {
		f.transmit = func(b []byte) ([]byte, error) {
			if b[1] == ins {
				wait()
			}
			return []byte{0x90, 0x00}, nil
		}
	}
}

func TestGivesUpAfterEightAbandonedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gaveUp atomic.Int32
		release := make(chan struct{})
		d := &Driver{GiveUp: func() { gaveUp.Add(1) }}
		quiet := &Driver{} // whose owner does not want to know
		for i := range 9 {
			if (i >= 8) != (gaveUp.Load() == 1) {
				t.Errorf("after %d abandoned calls: gave up %d times", i, gaveUp.Load())
			}
			f := &namedReader{fakeReader{connect: func() error { <-release; return io.EOF }}, string(rune('a' + i))}
			for _, d := range []*Driver{d, quiet} {
				if err := d.transaction(context.Background(), f, txn{reset: true}, nil); !errors.Is(err, crs.ErrCardStuck) {
					t.Error(err)
				}
			}
		}
		if gaveUp.Load() != 1 {
			t.Errorf("gave up %d times", gaveUp.Load())
		}
		close(release)
	})
}

// An abandoned call that returned after all does not count.
func TestDoesNotGiveUpWhenCallsReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Driver{GiveUp: func() { t.Error("gave up") }}
		for range 2 * maxAbandoned {
			release := make(chan struct{})
			f := &fakeReader{connect: func() error { <-release; return io.EOF }}
			if err := d.transaction(context.Background(), f, txn{reset: true}, nil); !errors.Is(err, crs.ErrCardStuck) {
				t.Error(err)
			}
			close(release)
			synctest.Wait()
		}
	})
}

func (d *Driver) stuckCalls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.abandoned
}

type namedReader struct {
	fakeReader
	name string
}

func (r *namedReader) Name() string { return r.name }

// Rule 7: the context does not end a command that carries a secret, and ends what follows.
func TestRule7NothingCancelsAPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		f := &fakeReader{transmit: func([]byte) ([]byte, error) {
			time.Sleep(5 * time.Second)
			return []byte{0x63, 0xC2}, nil
		}}
		time.AfterFunc(time.Second, cancel)
		err := new(Driver).transaction(ctx, f, txn{reset: true}, func(s *session) error {
			s.identified = true
			status, err := s.transmitPIN(command{ins: insVerify, data: []byte("12345678")})
			if err != nil || status != 0x63C2 {
				t.Errorf("PIN: %v %v", status, err)
			}
			_, err = s.transmit(command{ins: insPSO})
			return err
		})
		if !errors.Is(err, context.Canceled) || len(f.sent) != 1 || f.resets != 1 {
			t.Errorf("%v, %d commands, %d resets", err, len(f.sent), f.resets)
		}
	})
}

func TestWaitingForAReaderEndsWithTheContext(t *testing.T) {
	d := &Driver{}
	f := &fakeReader{}
	ctx, cancel := context.WithCancel(context.Background())
	err := d.transaction(context.Background(), f, txn{reset: true}, func(*session) error {
		cancel()
		return d.transaction(ctx, f, txn{reset: true}, func(*session) error { t.Error("two at once"); return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestEndlessResponse(t *testing.T) {
	for name, answer := range map[string][]byte{"empty": {0x61, 0x10}, "endless": append(make([]byte, 256), 0x61, 0x00)} {
		f := &fakeReader{transmit: func([]byte) ([]byte, error) { return answer, nil }}
		err := new(Driver).transaction(context.Background(), f, txn{reset: true}, func(s *session) error {
			_, err := s.transmit(command{ins: insSelect, le: 256})
			return err
		})
		if !errors.Is(err, crs.ErrCard) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
