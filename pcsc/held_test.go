package pcsc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
)

// heldReader is a reader that knows why one has to wait for it.
type heldReader struct {
	*fakeReader
	why error
}

func (r heldReader) Wait() error { return r.why }

// What another program does to keep a card from us: for a while a call hangs, or Connect fails.
var holds = []struct {
	name string
	hold func(f *fakeReader, released func() bool, wait func())
}{
	{"connect waits", func(f *fakeReader, _ func() bool, wait func()) { f.connect = func() error { wait(); return nil } }},
	{"begin waits", func(f *fakeReader, _ func() bool, wait func()) { f.begin = func() error { wait(); return nil } }},
	{"exclusive", func(f *fakeReader, released func() bool, _ func()) {
		f.connect = func() error {
			if !released() {
				return crs.ErrCardInUse
			}
			return nil
		}
	}},
}

// A card that another program keeps for a minute is waited for where the user is told, once and soon, and
// only there. Nothing is sent meanwhile, and no call is abandoned but by the user.
func TestACardInUseIsWaitedFor(t *testing.T) {
	for _, test := range holds {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeReader{}
				start := time.Now()
				const most = time.Minute
				test.hold(f, func() bool { return time.Since(start) >= most }, func() { time.Sleep(most - time.Since(start)) })
				var told []time.Duration
				d := &Driver{Held: func(reader string) {
					if reader != f.Name() || f.commands() != 0 {
						t.Errorf("%q, %d commands", reader, f.commands())
					}
					told = append(told, time.Since(start))
				}}
				r := heldReader{f, crs.ErrCardInUse}
				if err := d.transaction(t.Context(), r, txn{}, func(s *session) error { return s.selectPath(nil) }); !errors.Is(err, swNotFound) {
					t.Error(err)
				}
				if took := time.Since(start); took < most || took > most+time.Second || f.commands() != 1 || d.stuckCalls() != 0 || f.closes != 1 {
					t.Errorf("after %v: %d commands, %d abandoned, %d closes", took, f.commands(), d.stuckCalls(), f.closes)
				}
				if len(told) != 1 || told[0] < unsaid || told[0] > 2*unsaid {
					t.Errorf("told after %v", told)
				}
			})
		})
		t.Run(test.name+", and the user goes", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, release := &fakeReader{}, make(chan struct{})
				test.hold(f, func() bool { return false }, func() { <-release })
				d := &Driver{Held: func(string) {}}
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				time.AfterFunc(15*time.Second, cancel)
				err := d.transaction(ctx, heldReader{f, crs.ErrCardInUse}, txn{}, nil)
				if took := time.Since(start); !errors.Is(err, context.Canceled) || took != 15*time.Second || f.commands() != 0 {
					t.Errorf("%v after %v, %d commands", err, took, f.commands())
				}
				close(release)
			})
		})
		t.Run(test.name+", and nobody is told", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, release := &fakeReader{}, make(chan struct{})
				test.hold(f, func() bool { return false }, func() { <-release })
				for brief, want := range map[bool]time.Duration{false: 10 * time.Second, true: unsaid} {
					if test.name == "exclusive" {
						want = 0
					}
					d := &Driver{}
					start := time.Now()
					err := d.transaction(t.Context(), heldReader{f, crs.ErrCardInUse}, txn{brief: brief}, nil)
					if took := time.Since(start); !errors.Is(err, crs.ErrCardInUse) || took != want {
						t.Errorf("brief %v: %v after %v", brief, err, took)
					}
				}
				close(release)
			})
		})
	}
}

// What was abandoned while another program had the card keeps nobody from it who waits.
func TestWaitingAfterAnAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fakeReader{connect: func() error { <-release; return nil }}
		told := 0
		d := &Driver{Held: func(string) { told++ }}
		r := heldReader{f, crs.ErrCardInUse}
		if err := d.transaction(t.Context(), r, txn{brief: true}, nil); !errors.Is(err, crs.ErrCardInUse) || told != 0 {
			t.Errorf("%v, told %d times", err, told)
		}
		time.AfterFunc(time.Minute, func() { close(release) })
		if err := d.transaction(t.Context(), r, txn{}, func(*session) error { return nil }); err != nil || told != 1 {
			t.Errorf("%v, told %d times", err, told)
		}
	})
}

// A reader that hangs is not waited for, whoever could be told.
func TestAReaderThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fakeReader{connect: func() error { <-release; return nil }}
		d := &Driver{Held: func(string) { t.Error("said to be in use") }}
		for _, brief := range []bool{true, false} {
			start := time.Now()
			err := d.transaction(t.Context(), heldReader{f, crs.ErrCardStuck}, txn{brief: brief}, nil)
			if took := time.Since(start); !errors.Is(err, crs.ErrCardStuck) || brief && took != 10*time.Second {
				t.Errorf("%v after %v", err, took)
			}
		}
		close(release)
	})
}

// Cards that other programs keep, in as many readers as there may be, are no reason to give up: a new
// process would have to wait as well.
func TestDoesNotGiveUpForCardsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := &Driver{GiveUp: func() { t.Error("gave up") }}
		for i := range 2 * maxAbandoned {
			f := &namedReader{fakeReader{begin: func() error { <-release; return nil }}, string(rune('a' + i))}
			if err := d.transaction(t.Context(), f, txn{}, nil); !errors.Is(err, crs.ErrCardInUse) {
				t.Error(err)
			}
		}
		close(release)
	})
}
