package tries

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
)

// disk is a store that can fail.
type disk struct {
	kept map[string]crs.PINStatus
	err  error
}

func (d *disk) Load(id string) (crs.PINStatus, error) {
	if s, ok := d.kept[id]; ok || d.err != nil {
		return s, d.err
	}
	return crs.UnknownPINStatus, nil
}

func (d *disk) Store(id string, s crs.PINStatus) error {
	if d.err != nil {
		return d.err
	}
	d.kept[id] = s
	return nil
}

func TestSpendCountsDown(t *testing.T) {
	s := crs.UnknownPINStatus
	var seen []int
	var last []bool
	for range 4 {
		s = Spend(s)
		seen, last = append(seen, s.Retries), append(last, s.LastTry())
	}
	if !slices.Equal(seen, []int{2, 1, 0, 0}) || !slices.Equal(last, []bool{false, true, true, true}) {
		t.Errorf("%v %v", seen, last)
	}
	if !Spend(crs.PINStatus{Blocked: true}).Blocked {
		t.Error("a blocked PIN is not, while it is on its way")
	}
}

// Rule 4: what is kept of one card says nothing of another.
func TestRule4TwoCards(t *testing.T) {
	b := &Book{}
	b.Keep("a", crs.PINStatus{Retries: 1})
	if s := b.Status("b"); s != crs.UnknownPINStatus {
		t.Errorf("b: %+v", s)
	}
	if s := b.Status("a"); s.Retries != 1 {
		t.Errorf("a: %+v", s)
	}
}

// Rule 4: what could be stored is not remembered beside it: another program may know better.
func TestRule4AnotherProgramStores(t *testing.T) {
	d := &disk{kept: map[string]crs.PINStatus{}}
	b := &Book{Store: d}
	b.Keep("a", crs.PINStatus{Retries: 1})
	d.Store("a", crs.UnknownPINStatus) // a login there
	if s := b.Status("a"); s != crs.UnknownPINStatus {
		t.Errorf("%+v", s)
	}
}

// Rule 4: what cannot be read is the worst, what cannot be written is remembered, and of two
// bounds the smaller holds.
func TestRule4DiskThatFails(t *testing.T) {
	var log strings.Builder
	d := &disk{kept: map[string]crs.PINStatus{"a": {Retries: 2}}}
	b := &Book{Store: d, Log: slog.New(slog.NewTextHandler(&log, nil))}
	full := errors.New("disk full")
	d.err = full
	if s := b.Status("a"); s != (crs.PINStatus{Retries: 1, Doubtful: true}) {
		t.Errorf("not read: %+v", s)
	}
	b.Keep("a", crs.PINStatus{Retries: 1})
	b.Keep("b", crs.PINStatus{Retries: 2})
	d.err = nil
	if s := b.Status("a"); s.Retries != 1 {
		t.Errorf("not written: %+v", s)
	}
	d.kept["b"] = crs.PINStatus{Retries: 1}
	if s := b.Status("b"); s.Retries != 1 {
		t.Errorf("another program knows less: %+v", s)
	}
	d.err = full
	b.Keep("b", crs.UnknownPINStatus) // the right PIN
	d.err = nil
	d.kept["b"] = crs.UnknownPINStatus
	if s := b.Status("b"); s != crs.UnknownPINStatus {
		t.Errorf("after the right PIN: %+v", s)
	}
	b.Keep("a", crs.PINStatus{Retries: 2})
	if s := b.Status("a"); s.Retries != 2 {
		t.Errorf("written again: %+v", s)
	}
	for _, want := range []string{"not read", "not kept", "disk full"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, &log)
		}
	}
}

// Changed is called after the tries are kept, even without a store.
func TestChanged(t *testing.T) {
	for _, store := range []Store{nil, &disk{kept: map[string]crs.PINStatus{}}} {
		var seen []int
		b := &Book{Store: store}
		b.Changed = func() { seen = append(seen, b.Status("a").Retries) }
		b.Keep("a", crs.PINStatus{Retries: 2})
		b.Keep("a", crs.PINStatus{Retries: 1})
		if !slices.Equal(seen, []int{2, 1}) {
			t.Errorf("%T: %v", store, seen)
		}
	}
}
