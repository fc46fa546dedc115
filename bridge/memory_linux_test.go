package bridge

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// After a hundred logins the memory of the process holds no PIN.
func TestT11NoPINInMemory(t *testing.T) {
	// The PIN exists only inside of crs.PIN: mask and masked are its two halves.
	var mask, masked [8]byte
	for i := range mask {
		mask[i] = byte(rand.IntN(256))
		masked[i] = mask[i] ^ byte('0'+rand.IntN(10))
	}
	w := offline(t)
	secret := func() *crs.PIN {
		b := make([]byte, len(mask))
		for i := range b {
			b[i] = mask[i] ^ masked[i]
		}
		return crs.NewPIN(b)
	}
	for range 100 { // the card finds the PIN wrong: each login asks twice, and is closed
		n := 0
		w.ui.OnPIN(catalog.KindPIN, func(context.Context, catalog.Text) (*crs.PIN, error) {
			if n++; n > 2 {
				return nil, crs.ErrCancelled
			}
			return secret(), nil
		})
		w.login(portale)
		w.mutes = mutes{}
	}
	if _, signs := w.card.used(); signs != 200 {
		t.Fatalf("%d calls of Sign", signs)
	}
	found := func() bool { return inMemory(t, mask[:], masked[:]) }
	if found() {
		t.Error("the memory holds the PIN")
	}
	pin := secret()
	if !found() {
		t.Error("the search does not find a PIN that is there")
	}
	pin.Wipe()
}

// After a hundred unblocks the memory of the process holds no PUK and no new PIN.
func TestT11NoPUKInMemory(t *testing.T) {
	var mask, masked [8]byte
	for i := range mask {
		mask[i] = byte(rand.IntN(256))
		masked[i] = mask[i] ^ byte('0'+rand.IntN(10))
	}
	secret := func() *crs.PIN {
		b := make([]byte, len(mask))
		for i := range b {
			b[i] = mask[i] ^ masked[i]
		}
		return crs.NewPIN(b)
	}
	w := offline(t)
	for range 100 { // a wrong PUK, then one that the card does not answer
		card := w.blockedCard(&crs.PINError{PUK: true, Retries: 2}, &crs.PINError{PUK: true, Uncertain: true})
		for _, kind := range []catalog.Kind{catalog.KindPUK, catalog.KindNewPIN, catalog.KindNewAgain} {
			w.ui.OnPIN(kind, func(context.Context, catalog.Text) (*crs.PIN, error) { return secret(), nil })
		}
		w.login(portale)
		if len(card.typed) != 4 {
			t.Fatalf("%d PINs and PUKs", len(card.typed))
		}
	}
	if inMemory(t, mask[:], masked[:]) {
		t.Error("the memory holds the PUK")
	}
	puk := secret()
	if !inMemory(t, mask[:], masked[:]) {
		t.Error("the search does not find a PUK that is there")
	}
	puk.Wipe()
}

// inMemory searches the writable memory of this process for what mask and masked hide, except for
// the vast and mostly empty tables of the race detector.
func inMemory(t *testing.T, mask, masked []byte) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	page := make([]byte, 64<<10)
	defer func() { clear(page) }()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var access string
		fmt.Sscanf(line, "%x-%x %s", &from, &to, &access)
		if !strings.HasPrefix(access, "rw") || to-from > 256<<20 {
			continue
		}
		for at := from; at < to; {
			n, err := mem.ReadAt(page[:min(int64(len(page)), to-at)], at)
			if err != nil || n < len(mask) {
				break
			}
			for i := 0; i <= n-len(mask); i++ {
				skip := bytes.IndexByte(page[i:n-len(mask)+1], mask[0]^masked[0])
				if skip < 0 {
					break
				}
				i += skip
				if hides(mask, masked, page[i:]) {
					return true
				}
			}
			at += int64(max(n-len(mask)+1, 1))
		}
	}
	return false
}

func hides(mask, masked, in []byte) bool {
	for i := range mask {
		if in[i] != mask[i]^masked[i] {
			return false
		}
	}
	return true
}
