package pcsc

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// A call hangs in the reader's driver. What ends it for pcscd ends it here too, and the driver
// that abandoned it goes on: the program need not be restarted. (Another process would gain
// nothing: TestAHangOutlivesItsProcess.)
func TestStuckCallNeedsNoRestart(t *testing.T) {
	for _, test := range []struct {
		name string
		free func(release, pull func())
	}{
		{"the card answers after all", func(release, _ func()) { release() }},
		{"the card is pulled", func(_, pull func()) { go pull() }},
		{"pcscd is killed", func(func(), func()) {
			if err := errors.Join(ns.Pcscd.Kill(), ns.Pcscd.Start()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, ins := range []byte{insVerify, insPSO} {
			v := newVirtual(virtualcard.Config{})
			limit := 500 * time.Millisecond
			v.driver.Timeouts = Timeouts{Call: limit, PIN: limit, Sign: limit}
			pull := sync.OnceFunc(insert(t, v.Card))
			card := openInPCSCD(t, v.driver)
			hang := make(chan struct{})
			release := sync.OnceFunc(func() { close(hang) })
			v.Forget()
			v.Inject(virtualcard.Fault{INS: ins, At: 1, Hang: hang})
			if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardStuck) {
				t.Errorf("%s, INS %02X: %v", test.name, ins, err)
			}
			test.free(release, pull)
			await.That(t, "the call returns", func() bool { return v.driver.stuckCalls() == 0 })
			release()
			pull()
			time.Sleep(unnoticed)
			pull = insert(t, v.Card)
			if err := v.login(t, openInPCSCD(t, v.driver), rightPIN); err != nil {
				t.Errorf("%s, INS %02X, the next login: %v", test.name, ins, err)
			}
			pull()
			time.Sleep(unnoticed)
		}
	}
}

// Why a call of PC/SC is not made in a process of its own, to be ended when it hangs: pcscd goes
// on waiting for the reader, and so does the next caller. Other readers are not disturbed.
func TestAHangOutlivesItsProcess(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	hang := make(chan struct{})
	v.Inject(virtualcard.Fault{INS: insPSO, At: 1, Hang: hang})
	pull := insert(t, v.Card)
	openInPCSCD(t, v.driver)
	victim := startVictim(t, v, insPSO)
	victim.Process.Kill()
	victim.Wait()

	d := &Driver{Timeouts: Timeouts{Call: time.Second}}
	if _, err := d.Open(t.Context(), pcscReader(ns.FirstReader)); !errors.Is(err, crs.ErrCardInUse) {
		t.Errorf("the reader of a process that was killed: %v", err)
	}
	other := newVirtual(virtualcard.Config{})
	pullOther := insertInto(t, other.Card, ns.SecondSlot)
	if _, err := openReader(t, d, ns.SecondReader).Certificate(t.Context()); err != nil {
		t.Errorf("another reader: %v", err)
	}
	pullOther()
	close(hang)
	if err := v.login(t, openInPCSCD(t, d), rightPIN); err != nil {
		t.Errorf("when the card answered: %v", err)
	}
	pull()
}
