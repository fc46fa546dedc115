package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// These tests run on a real pcscd, in which the virtual card sits through vpcd. They share its
// one slot, so none of them is parallel.

// insert puts a card into the first slot of pcscd; the returned function pulls it.
func insert(t testing.TB, card *virtualcard.Card) (pull func()) {
	t.Helper()
	return insertInto(t, card, ns.FirstSlot)
}

func insertInto(t testing.TB, card *virtualcard.Card, slot string) (pull func()) {
	t.Helper()
	ns.NeedPcscd(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- card.ServeVPCD(ctx, slot) }()
	pulled := false
	pull = func() {
		if pulled {
			return
		}
		pulled = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, crs.ErrCardRemoved) {
			t.Error(err)
		}
	}
	t.Cleanup(pull)
	return pull
}

// openInPCSCD waits until pcscd sees the card and opens it.
func openInPCSCD(t testing.TB, d *Driver) crs.Card {
	t.Helper()
	return openReader(t, d, ns.FirstReader)
}

func openReader(t testing.TB, d *Driver, reader string) crs.Card {
	t.Helper()
	var last error
	for range 1000 {
		card, err := d.Open(context.Background(), pcscReader(reader))
		if err == nil {
			return card
		}
		if crs.CodeOf(err) != crs.ErrCard && !errors.Is(err, crs.ErrCardMute) {
			t.Fatal(err)
		}
		last = err
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("pcscd does not show the card: %v", last)
	return nil
}

// unnoticed is longer than pcscd's look-out for cards, every 400 ms. No hand swaps cards faster,
// but a test does, and pcscd takes the second for the first.
const unnoticed = 500 * time.Millisecond

func TestConformanceInPCSCD(t *testing.T) {
	for _, profile := range virtualcard.Profiles {
		t.Run(profile.Name, func(t *testing.T) {
			time.Sleep(unnoticed) // else the ATR is that of the profile before
			cardtest.Run(t, func(t *testing.T) cardtest.Subject {
				v := newVirtual(virtualcard.Config{Profile: profile.Name})
				insert(t, v.Card)
				card := openInPCSCD(t, v.driver)
				v.Forget()
				s := v.subject(card, true)
				s.Secrets = func() int { return compared(v) }
				return s
			})
		})
	}
}

// The budget, through pcscd: what pcscd adds is not the driver's, and it adds nothing.
func TestBudgetInPCSCD(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	card := openInPCSCD(t, v.driver)
	insertion, insertionBytes := len(v.Log()), v.Bytes()
	v.Forget()
	if err := v.login(t, card, rightPIN); err != nil {
		t.Fatal(err)
	}
	t.Logf("insertion %d APDUs, %d bytes; login %d APDUs, %d bytes", insertion, insertionBytes, len(v.Log()), v.Bytes())
	if len(v.Log()) > 6 || v.Bytes() > 600 || insertion+len(v.Log()) > 13 || insertionBytes+v.Bytes() > 2200 {
		t.Error("over the budget")
	}
}

// A second program on the same card, through pcscd.
func TestPcscd8NoStateIsLeft(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	card := openInPCSCD(t, v.driver)
	second, err := pcscReader(ns.FirstReader).Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, pin := range []string{rightPIN, wrongPIN, rightPIN} {
		v.login(t, card, pin)
		// It was connected all the time, and is told of the reset once.
		if err := second.Begin(); !errors.Is(err, crs.ErrCardReset) {
			t.Errorf("second program: %v", err)
		}
		if err := second.Begin(); err != nil {
			t.Fatal(err)
		}
		if _, err := second.Transmit([]byte{0x00, 0x22, 0xF3, 0x03, 0x00}); err != nil {
			t.Error(err)
		}
		if _, err := second.Transmit([]byte{0x00, 0x22, 0xF1, 0xB8, 0x03, 0x83, 0x01, 0x01}); err != nil {
			t.Error(err)
		}
		command := append([]byte{0x00, 0x2A, 0x80, 0x86, 0x00, 0x01, 0x01, 0x00}, make([]byte, 256)...)
		answer, err := second.Transmit(append(command, 0x00, 0x00))
		if err != nil || !bytes.Equal(answer, []byte{0x69, 0x82}) {
			t.Errorf("second program signs: %X %v", answer, err)
		}
		if err := second.End(false); err != nil {
			t.Error(err)
		}
	}
}

// What a connection leaves behind: Close gives the card back as it is, and within a transaction
// resets it; to hear of a reset resets nothing.
func TestPcscd8Close(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	openInPCSCD(t, v.driver)
	connect := func() Conn {
		c, err := pcscReader(ns.FirstReader).Connect()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := connect(), connect()
	defer first.Close()
	defer second.Close()
	begin := func(c Conn, want error) {
		t.Helper()
		err := c.Begin()
		if !errors.Is(err, want) {
			t.Fatalf("begin: %v, want %v", err, want)
		}
		if err == nil {
			if err := c.End(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin(first, nil)
	begin(second, nil)
	if err := connect().Close(); err != nil {
		t.Error(err)
	}
	begin(first, nil)

	within := connect()
	if err := within.Begin(); err != nil {
		t.Fatal(err)
	}
	verify := append([]byte{0x00, insVerify, 0x00, 0x10, 0x08}, rightPIN+"\xff\xff\xff"...)
	if answer, err := within.Transmit(verify); err != nil || !bytes.Equal(answer, []byte{0x90, 0x00}) {
		t.Fatalf("% X, %v", answer, err)
	}
	if _, err := within.Transmit(nil); err == nil {
		t.Error("an empty command was sent")
	}
	for range 2 {
		if err := within.Close(); err != nil {
			t.Error(err)
		}
	}
	begin(first, crs.ErrCardReset)
	begin(second, crs.ErrCardReset)
	begin(first, nil)
	begin(second, nil)
	if got := signWithoutPIN(t, pcscReader(ns.FirstReader)); got != 0x6982 {
		t.Errorf("a second program got %v", got)
	}
}

// victim is what TestSIGKILL runs as a process of its own: a login that is killed.
func TestVictim(t *testing.T) {
	if os.Getenv(victimVariable) == "" {
		return // only kill runs it
	}
	d := &Driver{Timeouts: Timeouts{PIN: time.Minute, Sign: time.Minute}}
	card := openInPCSCD(t, d)
	var err error
	switch os.Getenv(victimVariable) {
	case "24":
		err = change.run(card, rightPIN, freshPIN)
	case "2C":
		err = unblock.run(card, rightPUK, freshPIN)
	default:
		_, err = card.Sign(context.Background(), cardtest.PIN(rightPIN), cardtest.NewStatement(t))
	}
	t.Log("the victim survived:", err)
}

// kill runs TestVictim, and kills it while the card works on an instruction.
func kill(t *testing.T, v *virtual, ins byte, after bool) {
	t.Helper()
	hang := make(chan struct{})
	v.Inject(virtualcard.Fault{INS: ins, At: 1, Hang: hang, After: after})
	insert(t, v.Card)
	openInPCSCD(t, v.driver)
	victim := startVictim(t, v, ins)
	victim.Process.Signal(syscall.SIGKILL)
	victim.Wait()
	close(hang)
	if got := signWithoutPIN(t, pcscReader(ns.FirstReader)); got != 0x6982 {
		t.Errorf("a second program got %v", got)
	}
	if v.Secrets() != 1 {
		t.Errorf("%d secrets", v.Secrets())
	}
}

// startVictim runs TestVictim until the card has its instruction.
func startVictim(t *testing.T, v *virtual, ins byte) *exec.Cmd {
	t.Helper()
	victim := exec.Command("/proc/self/exe", "-test.run=^TestVictim$", "-test.v")
	victim.Env = append(os.Environ(), fmt.Sprintf("%s=%02X", victimVariable, ins))
	var out bytes.Buffer
	victim.Stdout, victim.Stderr = &out, &out
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	for i := 0; v.Count(ins) == 0; i++ {
		if i == 500 {
			victim.Process.Kill()
			victim.Wait()
			t.Fatalf("the victim sends no INS %02X: %s", ins, out.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return victim
}

// A login that is killed within VERIFY or between VERIFY and PSO leaves no PIN state: a second
// program gets 6982, and the next login works.
func TestPcscd8SIGKILL(t *testing.T) {
	for _, ins := range []byte{insVerify, insPSO} {
		t.Run(fmt.Sprintf("%02X", ins), func(t *testing.T) {
			v := newVirtual(virtualcard.Config{})
			kill(t, v, ins, ins == insVerify)
			if err := v.login(t, openInPCSCD(t, v.driver), rightPIN); err != nil {
				t.Errorf("the next login: %v", err)
			}
		})
	}
}

// pcscd dies within a login, at the VERIFY and at the PSO: an error, one VERIFY, and the next
// login works.
func TestPCSCDKilledWithinALogin(t *testing.T) {
	for _, ins := range []byte{insVerify, insPSO} {
		hang := make(chan struct{})
		v := newVirtual(virtualcard.Config{})
		v.Inject(virtualcard.Fault{INS: ins, At: 1, Hang: hang})
		pull := insert(t, v.Card)
		card := openInPCSCD(t, v.driver)
		done := make(chan error, 1)
		go func() { done <- v.login(t, card, rightPIN) }()
		for v.Count(ins) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		if err := ns.Pcscd.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; crs.CodeOf(err) != crs.ErrCard {
			t.Errorf("INS %02X: %v", ins, err)
		}
		close(hang)
		if v.Secrets() != 1 {
			t.Errorf("INS %02X: %d secrets", ins, v.Secrets())
		}
		if err := ns.Pcscd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := v.login(t, openInPCSCD(t, v.driver), rightPIN); err != nil {
			t.Errorf("INS %02X, the next login: %v", ins, err)
		}
		pull()
	}
}

// The card is pulled at every APDU of a login, in a real pcscd: what a pull looks like there is
// not what it looks like in memory.
func TestT19PulledAtEveryAPDUInPCSCD(t *testing.T) {
	for at := 1; at <= 6; at++ {
		v := newVirtual(virtualcard.Config{})
		pull := insert(t, v.Card)
		card := openInPCSCD(t, v.driver)
		v.Forget()
		v.Inject(virtualcard.Fault{At: at, Remove: true, After: true})
		if err := v.login(t, card, rightPIN); crs.CodeOf(err) != crs.ErrCard {
			t.Errorf("pulled at %d: %v", at, err)
		}
		if v.Secrets() > 1 {
			t.Errorf("pulled at %d: %d secrets", at, v.Secrets())
		}
		pull()
		time.Sleep(unnoticed) // else it is taken for the card that failed
		v.Inject()
		pull = insert(t, v.Card)
		if err := v.login(t, openInPCSCD(t, v.driver), rightPIN); err != nil {
			t.Errorf("after the pull at %d: %v", at, err)
		}
		pull()
	}
}

// Every login gives its context back: pcscd has 200 for all programs of the PC.
func TestContextsAreReleased(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	card := openInPCSCD(t, v.driver)
	for i := range 450 {
		pin := rightPIN
		if i%2 == 1 {
			pin = "1" // refused before anything is sent
		}
		if err := v.login(t, card, pin); err != nil && !errors.Is(err, crs.ErrPINFormat) {
			t.Fatalf("login %d: %v", i, err)
		}
		if i%2 == 1 {
			if _, err := v.driver.Open(context.Background(), pcscReader("no such reader")); !errors.Is(err, crs.ErrCardRemoved) {
				t.Fatalf("login %d: %v", i, err)
			}
		}
	}
}

// A program that resets the card again and again, as some do when they let it go, keeps nobody
// from connecting.
func TestResetsByAnotherProgramInPCSCD(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	openInPCSCD(t, v.driver)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			ctx, err := scard.EstablishContext()
			if err != nil {
				t.Error(err)
				return
			}
			other, err := ctx.Connect(ns.FirstReader, scard.ShareShared, scard.ProtocolAny)
			if err != nil {
				ctx.Release()
				continue
			}
			scard.Close(ctx, other, true)
		}
	}()
	for range 300 {
		c, err := pcscReader(ns.FirstReader).Connect()
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
	close(stop)
	<-done
}

func TestExclusiveUseByAnotherProgram(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	pull := insert(t, v.Card)
	card := openInPCSCD(t, v.driver)
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	other, err := ctx.Connect(ns.FirstReader, scard.ShareExclusive, scard.ProtocolAny)
	if err != nil {
		ctx.Release()
		t.Fatal(err)
	}
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardInUse) {
		t.Errorf("error %v", err)
	}
	// A monitor that meets the card like that reads it when it is free.
	m := startMonitor(t)
	awaitReaders(t, m, "card in use", func(r []crs.Reader) bool { return len(r) == 2 && errors.Is(r[0].Err, crs.ErrCardInUse) })
	if err := scard.Close(ctx, other, false); err != nil {
		t.Fatal(err)
	}
	awaitReaders(t, m, "card free", firstHas(true))
	if err := v.login(t, card, rightPIN); err != nil {
		t.Error(err)
	}
	pull()
}
