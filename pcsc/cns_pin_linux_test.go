package pcsc

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// Rule 6: a program that is killed within CHANGE or RESET RETRY COUNTER leaves one of the two
// PINs, and sends nothing more; the user finds out which by typing.
func TestPcscd6SIGKILL(t *testing.T) {
	for _, c := range []care{change, unblock} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%02X, after %v", c.ins, after), func(t *testing.T) {
				v := newVirtual(virtualcard.Config{})
				kill(t, v, c.ins, after)
				card := openInPCSCD(t, v.driver)
				errFresh := v.login(t, card, freshPIN)
				errOld := v.login(t, card, rightPIN)
				if (errFresh == nil) == (errOld == nil) {
					t.Errorf("new PIN: %v, old PIN: %v", errFresh, errOld)
				}
				if v.Secrets() != 3 {
					t.Errorf("%d secrets", v.Secrets())
				}
			})
		}
	}
}

// OpenSC accepts the PIN that this software made valid, and no other.
func TestOpenSCAfterPINCare(t *testing.T) {
	ns.NeedProgram(t, "pkcs15-tool")
	v := newVirtual(virtualcard.Config{})
	pull := insert(t, v.Card)
	card := openInPCSCD(t, v.driver)
	block(t, v, card)
	if err := unblock.run(card, rightPUK, freshPIN); err != nil {
		t.Fatal(err)
	}
	openSC := func(pin string) error {
		return exec.Command("pkcs15-tool", "--verify-pin", "--auth-id", "01", "--pin", pin).Run()
	}
	if err := openSC(freshPIN); err != nil {
		t.Errorf("OpenSC, after the unblock: %v", err)
	}
	if err := change.run(card, freshPIN, "1357913"); err != nil {
		t.Fatal(err)
	}
	if err := openSC("1357913"); err != nil {
		t.Errorf("OpenSC, after the change: %v", err)
	}
	if err := openSC(freshPIN); err == nil || v.tries() != 2 {
		t.Errorf("OpenSC accepts the old PIN, %d tries left", v.tries())
	}
	pull()
}
