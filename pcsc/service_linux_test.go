package pcsc

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// What is at the socket of the service decides the error, for a program that asks once and for the
// monitor alike: never anything about a card.
func TestServiceThatDoesNotServe(t *testing.T) {
	ns.Need(t)
	if err := ns.Pcscd.Stop(); err != nil {
		t.Fatal(err)
	}
	defer ns.Pcscd.Start()
	os.Remove(socket())
	for name, test := range map[string]struct {
		socket func(t *testing.T, path string)
		want   error
	}{
		"nothing": {func(*testing.T, string) {}, crs.ErrNoService},
		"left behind by a service that was killed": {func(t *testing.T, path string) {
			l := listen(t, path, nil)
			l.SetUnlinkOnClose(false)
			l.Close()
		}, crs.ErrNoService},
		"closes each connection": {func(t *testing.T, path string) {
			listen(t, path, func(c net.Conn) { c.Close() })
		}, crs.ErrServiceRefuses},
		"says nothing": {func(t *testing.T, path string) {
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			listen(t, path, func(c net.Conn) { <-release; c.Close() })
		}, crs.ErrServiceStuck},
	} {
		t.Run(name, func(t *testing.T) {
			test.socket(t, socket())
			defer os.Remove(socket())
			if got := serviceListens(); got != (test.want != crs.ErrNoService) {
				t.Errorf("something listens: %v", got)
			}
			d := &Driver{Timeouts: Timeouts{Call: 300 * time.Millisecond}}
			if _, err := d.Readers(t.Context(), func(string) bool { return true }); !errors.Is(err, test.want) {
				t.Errorf("readers: %v, want %v", err, test.want)
			}
			m := &Monitor{Driver: &Driver{Timeouts: d.Timeouts}}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { m.Run(ctx); close(done) }()
			awaitReaders(t, m, name, func(r []crs.Reader) bool {
				return len(r) == 1 && r[0].Name == "" && errors.Is(r[0].Err, test.want)
			})
			cancel()
			<-done
		})
	}
}

func listen(t *testing.T, path string, serve func(net.Conn)) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o666)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l
}

// Sixteen slots are as many as pcscd has place for, and one more than it lets a program wait for together
// with news of readers.
func TestMonitorOfSixteenSlots(t *testing.T) {
	ns.PcscdWith(t, "", 8)
	m := startMonitor(t)
	awaitReaders(t, m, "sixteen slots", func(r []crs.Reader) bool {
		for _, one := range r {
			if one.Err != nil {
				return false
			}
		}
		return len(r) == 16
	})
	v := newVirtual(virtualcard.Config{})
	pull := insertInto(t, v.Card, "127.0.0.1:35978")
	awaitReaders(t, m, "a card in the last slot", func(r []crs.Reader) bool { return len(r) == 16 && r[15].Card != nil })
	pull()
	awaitReaders(t, m, "no card", func(r []crs.Reader) bool { return len(r) == 16 && r[15].Card == nil })
}

// Another program, with a connection of its own, keeps the card in a transaction for longer than a call may
// take: the card is said to be in use, at its insertion and later, and is used when it is let go.
func TestTransactionOfAnotherProgram(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	pull := insert(t, v.Card)
	defer pull()
	openInPCSCD(t, v.driver)
	pcsc, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	other, err := pcsc.Connect(ns.FirstReader, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	defer scard.Close(pcsc, other, false)
	hold := func() {
		t.Helper()
		if err := other.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	release := func() {
		t.Helper()
		if err := other.EndTransaction(scard.LeaveCard); err != nil {
			t.Fatal(err)
		}
	}
	inUse := func(r []crs.Reader) bool {
		return len(r) == 2 && r[0].Card == nil && errors.Is(r[0].Err, crs.ErrCardInUse)
	}

	hold()
	once := &Driver{Timeouts: Timeouts{Call: 300 * time.Millisecond}}
	readers, err := once.Readers(t.Context(), func(name string) bool { return name == ns.FirstReader })
	if err != nil || len(readers) != 2 || !errors.Is(readers[0].Err, crs.ErrCardInUse) {
		t.Errorf("listed once: %v, %v", readers, err)
	}
	m := startMonitor(t)
	m.Driver.mu.Lock()
	m.Driver.Timeouts.Call = 300 * time.Millisecond
	m.Driver.mu.Unlock()
	awaitReaders(t, m, "in use when it is first seen", inUse)
	release()
	card := awaitReaders(t, m, "let go", firstHas(true))[0].Card

	hold()
	v.Forget()
	pin := rightPIN
	if err := v.login(t, card, pin); !errors.Is(err, crs.ErrCardInUse) || v.Secrets() != 0 {
		t.Errorf("a login: %v, %d secrets", err, v.Secrets())
	}
	awaitReaders(t, m, "in use at a login", inUse)
	release()
	card = awaitReaders(t, m, "let go again", firstHas(true))[0].Card
	if err := v.login(t, card, pin); err != nil {
		t.Error(err)
	}
	if n := m.Driver.stuckCalls(); n != 0 {
		t.Errorf("%d calls count as abandoned", n)
	}
}
