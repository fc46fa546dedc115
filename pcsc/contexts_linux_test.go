package pcsc

import (
	"bytes"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// Connections and contexts come and go side by side, as with cards in two readers while the monitor asks
// about a third. libpcsclite ends the whole process if it is not called as it can bear: what was freed is
// overwritten here (mallopt(3), M_PERTURB), so that it shows.
func TestContextsComeAndGo(t *testing.T) {
	for _, slot := range []struct{ slot, reader string }{{ns.FirstSlot, ns.FirstReader}, {ns.SecondSlot, ns.SecondReader}} {
		v := newVirtual(virtualcard.Config{})
		insertInto(t, v.Card, slot.slot)
		openReader(t, v.driver, slot.reader)
	}
	victim := exec.Command("/proc/self/exe", "-test.run=^TestContextsVictim$", "-test.v")
	victim.Env = append(os.Environ(), victimVariable+"=contexts", "MALLOC_PERTURB_=165")
	if out, err := victim.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestContextsVictim")) {
		t.Errorf("%v\n%s", err, out[:min(len(out), 4000)])
	}
}

// TestContextsVictim is what TestContextsComeAndGo runs as a process of its own.
func TestContextsVictim(t *testing.T) {
	if os.Getenv(victimVariable) != "contexts" {
		return
	}
	var all sync.WaitGroup
	end := time.Now().Add(5 * time.Second)
	beside := func(f func() error) {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		for _, reader := range []pcscReader{ns.FirstReader, ns.SecondReader} {
			beside(func() error {
				c, err := reader.Connect()
				if err != nil {
					return err
				}
				return c.Close()
			})
		}
	}
	beside(func() error { _, err := listReaders(); return err })
	all.Wait()
}
