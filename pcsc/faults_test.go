package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// T19: the card is pulled at every APDU of insertion and login, before and after the card
// processed it: an error that says so, at most one VERIFY, and the next login works.
func TestT19PulledAtEveryAPDU(t *testing.T) {
	for _, profile := range []string{"st", "idemia", "infocamere", "v1", "t0"} {
		v := newVirtual(virtualcard.Config{Profile: profile})
		card := v.open(t)
		insertion := len(v.Log())
		v.login(t, card, rightPIN)
		login := len(v.Log()) - insertion
		for _, lost := range []virtualcard.Fault{{Remove: true}, {Remove: true, After: true}, {Mute: true}, {Mute: true, After: true}} {
			for at := 1; at <= insertion; at++ {
				v := newVirtual(virtualcard.Config{Profile: profile})
				lost.At = at
				v.Inject(lost)
				_, err := v.driver.Open(context.Background(), v.reader)
				if crs.CodeOf(err) != crs.ErrCard {
					t.Errorf("%s, insertion, %+v: %v", profile, lost, err)
				}
				v.mustLogin(t)
			}
			for at := 1; at <= login; at++ {
				v := newVirtual(virtualcard.Config{Profile: profile})
				card := v.open(t)
				v.Forget()
				lost.At = at
				v.Inject(lost)
				err := v.login(t, card, rightPIN)
				if crs.CodeOf(err) != crs.ErrCard {
					t.Errorf("%s, login, %+v: %v", profile, lost, err)
				}
				if v.Secrets() > 1 || v.tries() < 3 {
					t.Errorf("%s, login, %+v: %d secrets, %d tries", profile, lost, v.Secrets(), v.tries())
				}
				v.mustLogin(t)
			}
		}
	}
}

// Another program resets the card before the PIN was sent: the login starts over on its own.
func TestResetByAnotherProgram(t *testing.T) {
	for at := 1; at <= 6; at++ {
		v := newVirtual(virtualcard.Config{})
		card := v.open(t)
		v.Forget()
		resetting := &resettingReader{memoryReader: v.reader, at: at}
		card.(*cns).source = resetting
		err := v.login(t, card, rightPIN)
		if at <= 2 && err != nil {
			t.Errorf("reset at command %d: %v", at, err)
		}
		if at > 2 && crs.CodeOf(err) != crs.ErrCard {
			t.Errorf("reset at command %d: %v", at, err)
		}
		if v.Secrets() > 1 {
			t.Errorf("reset at command %d: %d secrets", at, v.Secrets())
		}
		card.(*cns).source = v.reader
		v.mustLogin(t)
	}
}

type resettingReader struct {
	memoryReader
	at int
}

func (r *resettingReader) Connect() (Conn, error) {
	c, err := r.memoryReader.Connect()
	return &resettingConn{c, r}, err
}

type resettingConn struct {
	Conn
	r *resettingReader
}

func (c *resettingConn) Transmit(b []byte) ([]byte, error) {
	if c.r.at--; c.r.at == 0 {
		return nil, fmt.Errorf("%w (test)", crs.ErrCardReset)
	}
	return c.Conn.Transmit(b)
}

// A reader that breaks on extended commands is not given another one.
func TestReaderThatBreaksOnExtendedCommands(t *testing.T) {
	v := newVirtual(virtualcard.Config{Profile: "idemia"})
	breaking := &breakingReader{memoryReader: v.reader, limit: 261}
	card, err := v.driver.Open(context.Background(), breaking)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.login(t, card, rightPIN); err != nil {
		t.Error(err)
	}
	// A reader that takes the small extended READ BINARY and breaks on the long PSO.
	v = newVirtual(virtualcard.Config{Profile: "idemia"})
	breaking = &breakingReader{memoryReader: v.reader, limit: 261, readsExtended: true}
	card, err = v.driver.Open(context.Background(), breaking)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.login(t, card, rightPIN); crs.CodeOf(err) != crs.ErrCard {
		t.Errorf("first login: %v", err)
	}
	if err := v.login(t, card, rightPIN); err != nil {
		t.Errorf("second login: %v", err)
	}
}

type breakingReader struct {
	memoryReader
	limit         int
	readsExtended bool
}

func (r *breakingReader) Connect() (Conn, error) {
	c, err := r.memoryReader.Connect()
	return &breakingConn{c, r}, err
}

type breakingConn struct {
	Conn
	r *breakingReader
}

func (c *breakingConn) Transmit(b []byte) ([]byte, error) {
	extended := len(b) == 7 && b[4] == 0
	if len(b) > c.r.limit || extended && !c.r.readsExtended {
		return nil, fmt.Errorf("%w: test", crs.ErrCard)
	}
	return c.Conn.Transmit(b)
}

// Budget: APDUs and bytes of insertion and login, profile st (counted, not timed).
func TestBudget(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	insertion, insertionBytes := len(v.Log()), v.Bytes()
	for range 2 {
		v.Forget()
		if err := v.login(t, card, rightPIN); err != nil {
			t.Fatal(err)
		}
		if len(v.Log()) > 6 || v.Bytes() > 600 {
			t.Errorf("a login: %d APDUs, %d bytes", len(v.Log()), v.Bytes())
		}
		if insertion+len(v.Log()) > 13 || insertionBytes+v.Bytes() > 2200 {
			t.Errorf("insertion and login: %d APDUs, %d bytes", insertion+len(v.Log()), insertionBytes+v.Bytes())
		}
	}
	v = newVirtual(virtualcard.Config{Profile: "idemia"})
	card = v.open(t)
	v.Forget()
	v.login(t, card, rightPIN)
	if len(v.Log()) > 7 {
		t.Errorf("a login with IDEMIA: %d APDUs", len(v.Log()))
	}
}

// T24: at debug level, a whole life of a card writes no PIN and nothing personal.
func TestT24LogCanaries(t *testing.T) {
	var log bytes.Buffer
	v := newVirtual(virtualcard.Config{PIN: "73914", PUK: "94407165"})
	v.driver.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	card := v.open(t)
	card.(crs.PersonalDataReader).PersonalData(context.Background())
	v.login(t, card, "73914")
	v.login(t, card, "88261")
	v.Inject(virtualcard.Fault{INS: insVerify, Mute: true})
	v.login(t, card, "73914")
	v.Inject()
	change.run(card, "88261", "60417")
	change.run(card, "73914", "60417")
	unblock.run(card, "51950382", "27716")
	unblock.run(card, "94407165", "27716")
	v.Inject(virtualcard.Fault{INS: insResetRetry, Mute: true})
	unblock.run(card, "94407165", "27716")
	p := v.Person()
	canaries := []string{"73914", "88261", "60417", "27716", "51950382", "94407165", "3630343137", "3934343037", "3733393134", p.Data.CodiceFiscale, p.CardID, p.Data.Surname, p.Data.Name,
		p.Data.BirthDate, fmt.Sprintf("%X", p.CardID), fmt.Sprintf("%x", []byte("73914"))}
	for _, canary := range canaries {
		if strings.Contains(log.String(), canary) {
			t.Errorf("the log holds %q", canary)
		}
	}
	for _, ins := range []string{"ins=20", "ins=24", "ins=2C"} {
		if !strings.Contains(log.String(), ins) {
			t.Errorf("the log lacks %s: was it at debug level?", ins)
		}
	}
}

// Hostile files end in an error, never in a panic or an endless read.
func TestHostilePersonalData(t *testing.T) {
	for name, content := range map[string][]byte{
		"one byte": {'0'}, "no padding": []byte("00002A046090" + strings.Repeat("00", 15)),
		"large": bytes.Repeat([]byte("F"), 4000), "too large": bytes.Repeat([]byte("F"), 5000),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{Files: map[string][]byte{"1100/1102": content}})
			b, err := v.open(t).(crs.PersonalDataReader).PersonalData(context.Background())
			if (err != nil) != (name == "too large") || err == nil && !bytes.Equal(b, content) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	for name, content := range map[string][]byte{
		"none": nil, "empty": {}, "zeros": make([]byte, 400), "FF": bytes.Repeat([]byte{0xFF}, 400),
		"empty fields": []byte("000026" + strings.Repeat("00", 16)),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{Files: map[string][]byte{"1100/1102": content}})
			if _, err := v.open(t).(crs.PersonalDataReader).PersonalData(context.Background()); !errors.Is(err, crs.ErrNoPersonalData) {
				t.Errorf("%v", err)
			}
		})
	}
}
