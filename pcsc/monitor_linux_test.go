package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// logBuffer is a log that is read while somebody may still write to it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startMonitor runs a monitor until the test ends, and waits then until it is gone. Its log may
// say nothing of whose card it is (T24).
func startMonitor(t *testing.T) *Monitor {
	t.Helper()
	ns.NeedPcscd(t)
	var log logBuffer
	m := &Monitor{Driver: &Driver{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(await.Limit):
			t.Error("the monitor does not end")
		}
		p := virtualcard.Shared(2048)
		for _, canary := range []string{p.CardID, p.Data.Surname, p.Data.CodiceFiscale, fmt.Sprintf("%X", p.CardID)} {
			if strings.Contains(log.String(), canary) {
				t.Errorf("the log holds %q", canary)
			}
		}
	})
	return m
}

// awaitReaders waits until the readers are as wanted.
func awaitReaders(t *testing.T, m *Monitor, what string, wanted func([]crs.Reader) bool) []crs.Reader {
	t.Helper()
	limit := time.After(await.Limit)
	for {
		readers, changed := m.Readers()
		if wanted(readers) {
			return readers
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%s: %+v", what, readers)
		}
	}
}

func firstHas(card bool) func([]crs.Reader) bool {
	return func(readers []crs.Reader) bool {
		return len(readers) == 2 && !readers[0].Reading && (readers[0].Card != nil) == card && readers[0].Err == nil
	}
}

func noService(readers []crs.Reader) bool {
	return len(readers) == 1 && errors.Is(readers[0].Err, crs.ErrNoService)
}

func TestMonitor(t *testing.T) {
	m := startMonitor(t)
	awaitReaders(t, m, "two empty readers", firstHas(false))

	v := newVirtual(virtualcard.Config{})
	pull := insert(t, v.Card)
	card := awaitReaders(t, m, "card inserted", firstHas(true))[0].Card
	if v.Secrets() != 0 {
		t.Error("the monitor sent a secret")
	}
	read := len(v.Log())
	for range 3 {
		if err := v.login(t, card, rightPIN); err != nil {
			t.Fatal(err)
		}
	}
	if again := awaitReaders(t, m, "same card", firstHas(true))[0].Card; again != card {
		t.Error("a login made the monitor read the card again")
	}
	if n := len(v.Log()) - read; n != 3*6 {
		t.Errorf("three logins took %d APDUs", n)
	}

	pull()
	awaitReaders(t, m, "card pulled", firstHas(false))
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("the pulled card: %v", err)
	}
	if _, err := card.Certificate(context.Background()); !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("certificate of the pulled card: %v", err)
	}

	foreign := newVirtual(virtualcard.Config{Foreign: virtualcard.ForeignIAS})
	pull = insert(t, foreign.Card)
	awaitReaders(t, m, "foreign card", func(r []crs.Reader) bool { return len(r) == 2 && errors.Is(r[0].Err, crs.ErrUnknownModel) })
	pull()
	awaitReaders(t, m, "foreign card pulled", firstHas(false))

	v.Forget()
	insert(t, v.Card)
	again := awaitReaders(t, m, "card inserted again", firstHas(true))[0].Card
	if again == card {
		t.Error("what was read of an earlier insertion is used")
	}
	v.Forget()
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardRemoved) || v.Secrets() != 0 {
		t.Errorf("what was read of an earlier insertion: %v, %d secrets", err, v.Secrets())
	}
	if err := v.login(t, again, rightPIN); err != nil {
		t.Error(err)
	}
}

// pcscd is killed and restarted while a card is in: the card is gone, and comes back.
func TestMonitorOutlivesPCSCD(t *testing.T) {
	m := startMonitor(t)
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	card := awaitReaders(t, m, "card", firstHas(true))[0].Card
	for _, end := range []func() error{ns.Pcscd.Kill, ns.Pcscd.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		awaitReaders(t, m, "no pcscd", noService)
		if err := v.login(t, card, rightPIN); crs.CodeOf(err) != crs.ErrCard {
			t.Errorf("without pcscd: %v", err)
		}
		// Long enough that no retry is left: only the socket's directory shows the return.
		time.Sleep(4 * time.Second)
		if err := ns.Pcscd.Start(); err != nil {
			t.Fatal(err)
		}
		card = awaitReaders(t, m, "card again", firstHas(true))[0].Card
		if err := v.login(t, card, rightPIN); err != nil {
			t.Errorf("after the restart: %v", err)
		}
	}
}

// A wait that is cancelled before it began ends too: pcscd forgets a Cancel that comes early.
func TestWaitThatIsCancelledAtOnce(t *testing.T) {
	ns.NeedPcscd(t)
	pcsc, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	defer pcsc.Release()
	states := []scard.ReaderState{{Reader: ns.FirstReader}}
	if err := pcsc.GetStatusChange(states, time.Second); err != nil {
		t.Fatal(err)
	}
	states[0].CurrentState = states[0].EventState &^ scard.StateChanged
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5 {
			wait(ctx, pcsc, states, -1)
		}
	}()
	select {
	case <-done:
	case <-time.After(await.Limit):
		t.Fatal("it waits for a card")
	}
}

func TestMonitorWithoutPCSCDAtStart(t *testing.T) {
	ns.NeedPcscd(t)
	if err := ns.Pcscd.Stop(); err != nil {
		t.Fatal(err)
	}
	m := startMonitor(t)
	time.Sleep(100 * time.Millisecond)
	awaitReaders(t, m, "no service", noService)
	if _, err := (&Driver{}).Readers(context.Background(), func(string) bool { return true }); !errors.Is(err, crs.ErrNoService) {
		t.Errorf("readers once: %v", err)
	}
	if err := ns.Pcscd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitReaders(t, m, "readers", firstHas(false))
}

// Other programs use up pcscd's contexts, and give them back: the monitor sees the card then.
func TestMonitorOutlivesAFullPCSCD(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	pull := insert(t, v.Card)
	openInPCSCD(t, v.driver)
	var held []*scard.Context
	for {
		ctx, err := scard.EstablishContext()
		if err != nil {
			break
		}
		held = append(held, ctx)
	}
	m := startMonitor(t)
	awaitReaders(t, m, "no context", func(r []crs.Reader) bool { return len(r) == 1 && r[0].Err != nil })
	time.Sleep(4 * time.Second) // longer than the quick retries
	for _, ctx := range held {
		ctx.Release()
	}
	awaitReaders(t, m, "card", firstHas(true))
	pull()
}

// A pcscd that does not answer keeps neither a monitor nor a program that wants to end.
func TestStuckPCSCD(t *testing.T) {
	ns.NeedPcscd(t)
	m := &Monitor{Driver: &Driver{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	awaitReaders(t, m, "readers", firstHas(false))
	if err := ns.Pcscd.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer ns.Pcscd.Signal(syscall.SIGCONT)
	d := &Driver{Timeouts: Timeouts{Call: 100 * time.Millisecond}}
	if _, err := d.Readers(context.Background(), func(string) bool { return true }); !errors.Is(err, crs.ErrServiceStuck) {
		t.Errorf("readers: %v", err)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(await.Limit):
		t.Error("the monitor does not end")
	}
}

// A reader's name is what its driver says, in any encoding. It is text from here on, and the
// service is still asked for what it said.
func TestReaderNameThatIsNoUTF8(t *testing.T) {
	ns.PcscdWith(t, "Lettore carit\xe0", 1)
	const name = "Lettore carità 00 00"
	m := startMonitor(t)
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	reader := awaitReaders(t, m, "card inserted", firstHas(true))[0]
	if reader.Name != name || reader.Card.Info().Reader != name {
		t.Errorf("the reader is called %q, by its card %q", reader.Name, reader.Card.Info().Reader)
	}
	if err := v.login(t, reader.Card, rightPIN); err != nil {
		t.Error(err)
	}

	d := &Driver{}
	all, err := d.Readers(t.Context(), func(name string) bool { return strings.Contains(name, "carità") })
	if err != nil || len(all) != 2 || all[0].Name != name || all[0].Card == nil {
		t.Errorf("looked for once: %+v, %v", all, err)
	}
	// Only the card in the reader of that name is reset, by the name that is shown.
	other := newVirtual(virtualcard.Config{})
	insertInto(t, other.Card, ns.SecondSlot)
	second := pcscReader(ns.Pcscd.Name + " 00 01")
	openReader(t, other.driver, string(second))
	verify := append([]byte{0x00, insVerify, 0x00, 0x10, 0x08}, rightPIN+"\xff\xff\xff"...)
	for _, r := range []pcscReader{pcscReader(ns.Pcscd.Name + " 00 00"), second} {
		c, err := r.Connect()
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := c.Transmit(verify); err != nil || !bytes.Equal(answer, []byte{0x90, 0x00}) {
			t.Fatalf("VERIFY: % X, %v", answer, err)
		}
		defer c.Close()
	}
	var log logBuffer
	(&Driver{Log: slog.New(slog.NewTextHandler(&log, nil))}).Reset(name)
	if log.String() != "" {
		t.Errorf("reset by its name: %s", log.String())
	}
	if got := signWithoutPIN(t, pcscReader(ns.Pcscd.Name+" 00 00")); got != 0x6982 {
		t.Errorf("the card that was to be reset: %v", got)
	}
	if got := signWithoutPIN(t, second); got != swOK {
		t.Errorf("the card in the other reader: %v", got)
	}
}

func TestReaderNamesStayDifferent(t *testing.T) {
	var n readerNames
	for range 2 {
		for _, test := range []struct{ raw, want string }{
			{"Lettore carit\xe0", "Lettore carità"},
			{"Lettore carità", "Lettore carità (2)"},
			{"\x80", "\uFFFD"},
			{"\x81", "\uFFFD (2)"},
			{"\x82", "\uFFFD (3)"},
			{"Virtual PCD 00 00", "Virtual PCD 00 00"},
		} {
			if got := n.of(test.raw); got != test.want {
				t.Errorf("%q is called %q, want %q", test.raw, got, test.want)
			}
		}
	}
}
