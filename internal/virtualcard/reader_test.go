package virtualcard

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
)

var selectMF = []byte{0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00}

func connect(t *testing.T, r *Reader) *Conn {
	t.Helper()
	c, err := r.Connect()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func check(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("error %v, want %v", got, want)
	}
}

func TestReaderIsEmptyOrRefuses(t *testing.T) {
	r := NewReader("reader", 0, nil)
	_, err := r.Connect()
	check(t, err, crs.ErrCardRemoved)
	r.Insert(New(Config{}))
	r.Refuse(crs.ErrCardMute)
	_, err = r.Connect()
	check(t, err, crs.ErrCardMute)
	r.Refuse(nil)
	connect(t, r)
}

func TestReaderTransactionKeepsOthersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := New(Config{Person: Shared(1024)})
		r := NewReader("reader", 0, card)
		first, second := connect(t, r), connect(t, r)
		check(t, first.Begin(), nil)
		answered := make(chan error, 2)
		go func() { _, err := second.Transmit(selectMF); answered <- err }()
		go func() {
			third := connect(t, r)
			answered <- third.Begin()
			third.End(false)
		}()
		synctest.Wait()
		select {
		case err := <-answered:
			t.Fatalf("the transaction did not keep another connection out: %v", err)
		default:
		}
		check(t, first.End(false), nil)
		check(t, <-answered, nil)
		check(t, <-answered, nil)
	})
}

func TestReaderTellsAResetToTheOthers(t *testing.T) {
	r := NewReader("reader", 0, New(Config{}))
	first, second := connect(t, r), connect(t, r)
	check(t, first.Begin(), nil)
	check(t, first.End(true), nil)
	check(t, first.Begin(), nil) // its own reset is no news
	check(t, first.End(false), nil)
	check(t, second.Begin(), crs.ErrCardReset)
	check(t, second.Begin(), nil)
	check(t, second.Close(), nil) // with a reset
	_, err := first.Transmit(selectMF)
	check(t, err, crs.ErrCardReset)
	check(t, connect(t, r).Begin(), nil)
}

func TestReaderEndsTheSecurityStatusByReset(t *testing.T) {
	card := New(Config{})
	r := NewReader("reader", 0, card)
	for name, end := range map[string]func(*Conn) error{
		"End":   func(c *Conn) error { return c.End(true) },
		"Close": (*Conn).Close,
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, r)
			check(t, c.Begin(), nil)
			transmit(t, card, "0020001008"+right)
			check(t, end(c), nil)
			if got := transmit(t, card, "00200010"); got != "63C3" {
				t.Errorf("after %s: %s", name, got)
			}
		})
	}
}

func TestReaderSwapsCards(t *testing.T) {
	one, other := New(Config{}), New(Config{})
	r := NewReader("reader", 0, one)
	c := connect(t, r)
	check(t, c.Begin(), nil)
	r.Insert(other)
	_, err := c.Transmit(selectMF)
	check(t, err, crs.ErrCardRemoved)
	check(t, c.End(true), crs.ErrCardRemoved)
	check(t, c.Begin(), crs.ErrCardRemoved)
	check(t, connect(t, r).Begin(), nil) // the transaction on the first card holds nobody up
	if len(one.Log())+len(other.Log()) != 0 {
		t.Error("a command reached a card")
	}
}

// A call that waits for a transaction learns of the removal at once.
func TestReaderRemovalWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReader("reader", 0, New(Config{Person: Shared(1024)}))
		first, second := connect(t, r), connect(t, r)
		check(t, first.Begin(), nil)
		began := make(chan error)
		go func() { began <- second.Begin() }()
		synctest.Wait()
		r.Remove()
		check(t, <-began, crs.ErrCardRemoved)
	})
}

func TestReaderOfShortCommands(t *testing.T) {
	card := New(Config{})
	c := connect(t, NewReader("reader", 255, card))
	if _, err := c.Transmit([]byte{0x00, 0xB0, 0x00, 0x00, 0x00, 0x01, 0x01}); err == nil {
		t.Error("a reader of 255 bytes took a command with Le 257")
	}
	if _, err := c.Transmit(append([]byte{0x00, 0x2A, 0x80, 0x86, 0x00, 0x01, 0x00}, make([]byte, 256)...)); err == nil {
		t.Error("a reader of 255 bytes took a command of 256")
	}
	if len(card.Log()) != 0 {
		t.Error("a command reached the card")
	}
	if _, err := c.Transmit([]byte{0x00, 0xB0, 0x00, 0x00, 0x00}); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	verify := []byte("\x00\x20\x00\x10\x0899999\xFF\xFF\xFF")
	for _, test := range []struct {
		name     string
		fault    Fault
		response string
		err      error
		tries    int // of the PIN, afterwards
	}{
		{"removed before", Fault{At: 2, Remove: true}, "", crs.ErrCardRemoved, 3},
		{"removed after", Fault{INS: 0x20, At: 1, Remove: true, After: true}, "", crs.ErrCardRemoved, 2},
		{"mute before", Fault{At: 2, Mute: true}, "", nil, 3},
		{"mute after", Fault{At: 2, Mute: true, After: true}, "", nil, 2},
		{"status word before", Fault{INS: 0x20, SW: 0x6F00}, "\x6F\x00", nil, 3},
		{"status word after", Fault{INS: 0x20, SW: 0x6F00, After: true}, "\x6F\x00", nil, 2},
		{"another command", Fault{INS: 0x20, At: 2, SW: 0x6F00}, "\x63\xC2", nil, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			card := New(Config{})
			r := NewReader("reader", 0, card)
			c := connect(t, r)
			card.Inject(test.fault)
			if _, err := c.Transmit(selectMF); err != nil {
				t.Fatal(err)
			}
			response, err := c.Transmit(verify)
			check(t, err, test.err)
			if string(response) != test.response {
				t.Errorf("response % X, want % X", response, test.response)
			}
			if pin, _ := card.Tries(); pin != test.tries {
				t.Errorf("%d tries left, want %d", pin, test.tries)
			}
			if card.Count(0x20) != 1 || card.Secrets() != 1 {
				t.Errorf("%d VERIFY, %d secrets counted", card.Count(0x20), card.Secrets())
			}
			if test.err == nil {
				return
			}
			// It stays away until somebody inserts it.
			_, err = c.Transmit(selectMF)
			check(t, err, crs.ErrCardRemoved)
			_, err = r.Connect()
			check(t, err, crs.ErrCardRemoved)
			r.Insert(card)
			if _, err := connect(t, r).Transmit(selectMF); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []bool{false, true} {
			card := New(Config{Person: Shared(1024)})
			r := NewReader("reader", 0, card)
			c := connect(t, r)
			release := make(chan struct{})
			card.Inject(Fault{INS: 0x20, Hang: release, After: after})
			done := make(chan error)
			go func() {
				_, err := c.Transmit([]byte("\x00\x20\x00\x10\x0899999\xFF\xFF\xFF"))
				done <- err
			}()
			synctest.Wait()
			pin, _ := card.Tries() // does not hang with it
			if want := map[bool]int{false: 3, true: 2}[after]; pin != want {
				t.Errorf("%d tries left while it hangs, want %d", pin, want)
			}
			if n := card.Count(0x20); n != 1 {
				t.Errorf("%d VERIFY in the log while it hangs", n)
			}
			r.Remove()
			close(release)
			check(t, <-done, crs.ErrCardRemoved)
		}
	})
}

// A caller that gave up on a command that hangs resets the card: the PIN that it carried must
// not stay verified when the card answers after all.
func TestResetOfACardThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := New(Config{Person: Shared(1024)})
		c := connect(t, NewReader("reader", 0, card))
		check(t, c.Begin(), nil)
		release, done := make(chan struct{}), make(chan struct{})
		card.Inject(Fault{INS: 0x20, At: 1, Hang: release})
		go func() {
			c.Transmit([]byte("\x00\x20\x00\x10\x0812345\xFF\xFF\xFF"))
			close(done)
		}()
		synctest.Wait()
		check(t, c.Close(), nil)
		close(release)
		<-done
		if got := transmit(t, card, "00200010"); got != "63C3" {
			t.Errorf("the PIN is still verified: %s", got)
		}
	})
}

func TestFaultCorruptsASignature(t *testing.T) {
	card := New(Config{})
	transmit(t, card, "00A4080C0410001003")
	good := transmit(t, card, "00B0000010")
	card.Inject(Fault{INS: 0xB0, Corrupt: true})
	if bad := transmit(t, card, "00B0000010"); bad == good || bad[2:] != good[2:] {
		t.Errorf("%s became %s", good, bad)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := New(Config{Person: Shared(1024), Latency: TraceLatency})
		start := time.Now()
		transmit(t, card, "0020001008"+right)
		if d, want := time.Since(start), 15*400*time.Microsecond+40*time.Millisecond; d != want {
			t.Errorf("a VERIFY took %v, want %v", d, want)
		}
	})
}

func TestLogHoldsNoData(t *testing.T) {
	card := New(Config{})
	transmit(t, card, "0020001008"+right)
	want := Exchange{INS: 0x20, P2: 0x10, Sent: 13, Received: 2, SW: 0x9000, Secret: true}
	if log := card.Log(); len(log) != 1 || log[0] != want {
		t.Errorf("%+v, want %+v", log, want)
	}
	if card.Forget(); len(card.Log()) != 0 || card.Bytes() != 0 {
		t.Error("Forget forgets nothing")
	}
}
