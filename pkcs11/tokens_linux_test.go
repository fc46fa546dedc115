package pkcs11

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// Tokens may be used from everywhere at once: the race detector finds where they may not.
func TestManyAtOnce(t *testing.T) {
	tokens := tokensOf(t)
	var busy sync.WaitGroup
	for _, use := range []func(){
		func() { tokens.List(context.Background(), true) },
		func() { tokens.List(context.Background(), false) },
		func() { tokens.Check(context.Background()) },
		func() { tokens.Modules() },
		tokens.Close,
	} {
		busy.Go(func() {
			for range 1000 {
				use()
			}
		})
	}
	busy.Wait()
}

// followed runs Tokens over what found returns, until the test ends.
func followed(t *testing.T, found func() []Module) (tokens *Tokens, end func()) {
	t.Helper()
	tokens = tokensOf(t)
	tokens.Find = found
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		tokens.Run(ctx)
		close(done)
	}()
	end = func() {
		cancel()
		<-done
	}
	t.Cleanup(end)
	return tokens, end
}

// shows waits until there are exactly n cards, woken only by changes.
func shows(t *testing.T, tokens *Tokens, n int) (cards []*card) {
	t.Helper()
	late := time.After(await.Limit)
	for {
		readers, changed := tokens.Seen()
		cards = nil
		for _, r := range readers {
			if c, ok := r.Card.(*card); ok {
				cards = append(cards, c)
			}
		}
		if len(cards) == n && len(readers) == n {
			return cards
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%+v, not %d cards", readers, n)
		}
	}
}

// TestFollow: a module's token shows when it is inserted, and goes when it is pulled, for all who
// wait; a file that another one replaces is loaded anew, and one that may not be used any more is
// ended.
func TestFollow(t *testing.T) {
	f := tokentest.NewFake(t, "")
	f.Insert()
	var modules atomic.Pointer[[]Module]
	modules.Store(&[]Module{{Name: "fake", Path: f.Path}})
	tokens, end := followed(t, func() []Module { return *modules.Load() })
	look := func() {
		tokens.mu.Lock()
		tokens.scanned = time.Time{} // long ago
		tokens.mu.Unlock()
		tokens.Readers()
	}
	look()
	f.Insert(oneToken())
	c := shows(t, tokens, 1)[0]
	first := c.host.running()
	f.Insert()
	shows(t, tokens, 0)
	if !c.removed.Load() {
		t.Error("the card is not told that it was pulled")
	}
	f.Insert(oneToken())
	shows(t, tokens, 1)

	modules.Store(&[]Module{{Name: "fake", Path: f.Path}, {Name: "bad", Path: "/none", Unused: &Unused{Why: Missing}}})
	for range 2 {
		look()
	}
	await.That(t, "the bad one is found", func() bool { return len(tokens.Modules()) == 2 })
	if now := shows(t, tokens, 1)[0].host.running(); now != first {
		t.Error("a module that stayed is loaded anew")
	}
	if err := os.Chtimes(f.Path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	look()
	isEnded(t, "of the file before", first)
	second := shows(t, tokens, 1)[0].host.running()

	modules.Store(&[]Module{{Name: "fake", Path: f.Path, Unused: &Unused{Why: Writable}}})
	look()
	shows(t, tokens, 0)
	isEnded(t, "of what may not be used", second)
	if m := tokens.Modules(); len(m) != 1 || m[0].Unused == nil {
		t.Errorf("modules %+v", m)
	}
	modules.Store(&[]Module{{Name: "fake", Path: f.Path}})
	look()
	third := shows(t, tokens, 1)[0].host.running()
	end()
	isEnded(t, "of a program that ends", third)
}

// TestFollowReaders: a module that looks into readers runs while there is a card that it is needed for,
// and what cannot be read is not announced to be in reading again and again.
func TestFollowReaders(t *testing.T) {
	f := tokentest.NewFake(t, "")
	f.Insert(oneToken())
	tokens, _ := followed(t, func() []Module { return []Module{{Name: "fake", Path: f.Path, readers: true}} })
	await.That(t, "it is found", func() bool { return len(tokens.used()) == 1 })
	m := tokens.used()[0]
	tokens.Readers()
	tokens.Refresh(false)
	time.Sleep(100 * time.Millisecond)
	if m.host.running() != nil {
		t.Error("a worker runs without need")
	}
	tokens.Refresh(true)
	shows(t, tokens, 1)
	f.Fault("C_GetSlotList", "5")
	tokens.Refresh(true)
	shows(t, tokens, 0)
	f.Fault("", "")
	tokens.Refresh(true)
	w := shows(t, tokens, 1)[0].host.running()
	tokens.Refresh(false)
	shows(t, tokens, 0)
	isEnded(t, "one that is not needed any more", w)

	f.Fault("C_GetSlotList", "5")
	tokens.Refresh(true)
	if readers, _ := tokens.Seen(); len(readers) != 1 || !readers[0].Reading {
		t.Errorf("while it is read: %+v", readers)
	}
	shows(t, tokens, 0)
	if m := tokens.Modules()[0]; m.Unused == nil {
		t.Error("a module that fails has no reason not to be used")
	}
	f.Fault("", "")
	tokens.Refresh(true)
	shows(t, tokens, 1)
	if m := tokens.Modules()[0]; m.Unused != nil {
		t.Errorf("a module that works again: %+v", m.Unused)
	}
}

// TestCheck: a module that looks into readers is not listed without need, and checked without being
// initialised; what was listed is not checked.
func TestCheck(t *testing.T) {
	quiet, listed, bad := tokentest.NewFake(t, ""), tokentest.NewFake(t, ""), tokentest.NewFake(t, "")
	quiet.Insert(oneToken())
	listed.Insert()
	listed.Fault("C_GetSlotList", "5")
	if err := os.WriteFile(bad.Path, []byte("no library, whatever its name says, and a little longer than a header"), 0o755); err != nil {
		t.Fatal(err)
	}
	tokens := tokensOf(t, Module{Name: "quiet", Path: quiet.Path, readers: true}, Module{Name: "listed", Path: listed.Path}, Module{Name: "bad", Path: bad.Path, readers: true})
	tokens.List(context.Background(), false)
	for i, runs := range []bool{false, true, false} {
		if m := tokens.used()[i]; (m.host.running() != nil) != runs {
			t.Errorf("%s runs: %v", m.Name, !runs)
		}
	}
	quiet.Fault("C_Initialize", "exit")
	tokens.Check(context.Background())
	for i, want := range []Why{NotPKCS11, Failed, ""} { // by name
		m := tokens.Modules()[i]
		if got := m.Unused; got == nil && want != "" || got != nil && got.Why != want {
			t.Errorf("%s: %v", m.Name, got)
		}
	}
}
