package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/crs-bridge/crs/pcsc"
	"github.com/crs-bridge/crs/pkcs11"
)

// OpenSC's module is installed where tests run, and drives the cards that the native driver does.
const openscModel = "PKCS#11: OpenSC"

// withOpenSC makes a copy of the module where a test's root may load it, if that is not the root of the
// computer, and so not whom the installed one belongs to.
func withOpenSC(t *testing.T) {
	t.Helper()
	const name = "opensc-pkcs11.so"
	var installed string
	for _, m := range pkcs11.Find() {
		if filepath.Base(m.Path) == name {
			installed = m.Path
			if m.Unused == nil {
				return
			}
		}
	}
	module, err := os.ReadFile(installed)
	if err != nil {
		t.Fatalf("OpenSC's module is not installed: %v", err)
	}
	dir, err := os.MkdirTemp(ns.Modules, "opensc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, module, 0o755); err != nil {
		t.Fatal(err)
	}
	register(t, "OpenSC", path)
}

// chaining is a card whose signature OpenSC can ask for through vpcd, where it believes in short
// commands.
func chaining() virtualcard.Config {
	return virtualcard.Config{PIN: citizen.PIN, Refuse: map[virtualcard.Feature]uint16{virtualcard.ComputeSignature: 0x6A86}}
}

// TestNativeCardIsListedOnce: a card that OpenSC's module would drive too is listed once, with its
// own driver, and what the module would send is not sent: neither to list it nor to see whether the
// module can be used, nor while it is in the reader.
func TestNativeCardIsListedOnce(t *testing.T) {
	withOpenSC(t)
	h := citizen.NewHome(t)
	card := citizen.Insert(t, chaining())
	if _, err := (&pcsc.Driver{}).Readers(context.Background(), func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	native := card.Log()
	for _, args := range [][]string{{}, {"--all"}, {"--all", "--reader", "pcd"}} {
		card.Forget()
		rows, module := tellCards(t, h, args...)
		if len(rows) != 1 || rows[0].Reader != card.Reader || rows[0].Model == openscModel {
			t.Errorf("crs card list %v: %+v", args, rows)
		}
		if wanted := len(args) > 0; module != wanted {
			t.Errorf("crs card list %v: it is %v that it names the module", args, module)
		}
		if n := len(card.Log()); n != len(native) {
			t.Errorf("crs card list %v: %d APDUs, of which %d are the native driver's", args, n, len(native))
		}
	}

	card.Forget()
	serve := h.Serve(t)
	serve.Next(citizen.CardReady)
	shows(t, h, card.Reader, "classic")
	serve.Answer("s", citizen.PIN)
	if _, err := verify(open(t, citizen.Portale).mustLogIn(), card.Person().CA); err != nil {
		t.Error(err)
	}
	if n := len(card.Log()); n != len(native)+6 { // of a login: see TestLogin
		t.Errorf("the service: %d APDUs, of which %d are the native driver's", n, len(native)+6)
	}
	if workers := workers(serve); len(workers) > 0 {
		t.Errorf("%d workers", len(workers))
	}
}

// TestPinnedToItsModule: the configuration gives the cards of a reader to a module. They are listed
// once, and log in through it.
func TestPinnedToItsModule(t *testing.T) {
	withOpenSC(t)
	h := citizen.NewHome(t)
	configure(t, h, `{"cards":{"pcd 00 00":"module"}}`)
	card := citizen.Insert(t, chaining())
	if rows, _ := tellCards(t, h); len(rows) != 1 || rows[0].Reader != card.Reader || rows[0].Model != openscModel {
		t.Errorf("crs card list: %+v", rows)
	}
	serve := h.Serve(t, "--log", "debug")
	shows(t, h, card.Reader, openscModel)
	site := open(t, citizen.Portale)
	for i, answers := range [][]string{{"s", citizen.PIN}, {citizen.PIN}} {
		card.Forget()
		serve.Answer(answers...)
		if _, err := verify(site.mustLogIn(), card.Person().CA); err != nil {
			t.Errorf("login %d: %v", i, err)
		}
		if card.Secrets() != 1 {
			t.Errorf("login %d: one PIN was typed, and %d were sent", i, card.Secrets())
		}
	}
	card.Forget()
	serve.Answer(citizen.WrongPIN, citizen.PIN)
	if site.mustLogIn(); card.Secrets() != 2 {
		t.Errorf("two PINs were typed, and %d were sent", card.Secrets())
	}
	if n := verified(serve); n != 0 {
		t.Errorf("the native driver sent %d of the PINs", n)
	}
}

// TestModuleWhereNativeCannotSign: a card that the native driver finds no way to sign with is
// driven by the module from then on, and no PIN is sent that was not typed for it.
func TestModuleWhereNativeCannotSign(t *testing.T) {
	withOpenSC(t)
	h := citizen.NewHome(t)
	serve := h.Serve(t, "--log", "debug")
	card := citizen.Insert(t, chaining())
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	card.Forget()
	card.Inject(virtualcard.Fault{INS: 0x2A, SW: 0x6D00})
	serve.Answer("s", citizen.PIN)
	site.refused(crs.ErrCard)
	serve.Next("La prossima volta userà il")
	card.Inject()
	shows(t, h, card.Reader, openscModel)
	serve.Answer("s", citizen.PIN)
	if _, err := verify(site.mustLogIn(), card.Person().CA); err != nil {
		t.Error(err)
	}
	if card.Secrets() != 2 || verified(serve) != 1 {
		t.Errorf("two PINs were typed, and %d were sent, %d by the native driver", card.Secrets(), verified(serve))
	}
}

// verified returns how many PINs the native driver sent, by its log at debug level.
func verified(p *citizen.Program) int { return strings.Count(logLines(p), "ins=20") }

// configure writes the configuration of a user.
func configure(t testing.TB, h citizen.Home, text string) {
	t.Helper()
	dir := filepath.Join(string(h), "config", "crs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tellCards returns the cards of `crs card list`, and whether it names OpenSC's module.
func tellCards(t *testing.T, h citizen.Home, args ...string) (cards []listed, module bool) {
	t.Helper()
	var rows []listed
	text := h.Command(t, append([]string{"card", "list", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, row := range rows {
		if row.Kind != "" {
			cards = append(cards, row)
		}
		module = module || strings.Contains(row.Path, "opensc-pkcs11")
	}
	return cards, module
}

// status asks the service of a user.
func status(t *testing.T, h citizen.Home) ipc.Status {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(string(h), "run"))
	var c *ipc.Client
	await.That(t, "the service answers its owner", func() bool { // some time after pages
		var err error
		c, err = ipc.Dial(context.Background())
		return err == nil
	})
	defer c.Close()
	s, err := c.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shows waits until the service has one card, in this reader and with this driver. Its PIN is not
// blocked, though OpenSC says so of each CNS.
func shows(t *testing.T, h citizen.Home, reader, model string) {
	t.Helper()
	await.That(t, reader+" shows "+model, func() bool {
		var cards []string
		for _, r := range status(t, h).Readers {
			if r.Card != nil && !r.Card.Blocked {
				cards = append(cards, r.Name+" "+r.Card.Model)
			}
		}
		return strings.Join(cards, ", ") == reader+" "+model
	})
}

// TestT19TheCardIsClosed: whatever OpenSC's module did with a PIN, another program finds the card as
// it was before it, although the module's C_Logout sends the card nothing.
func TestT19TheCardIsClosed(t *testing.T) {
	withOpenSC(t)
	h := citizen.NewHome(t)
	configure(t, h, `{"cards":{"pcd 00 00":"module"}}`)
	card := citizen.Insert(t, chaining())
	closed := func(after string) {
		t.Helper()
		if n := card.Secrets(); n != 1 {
			t.Errorf("%s: one PIN was typed, and %d were sent", after, n)
		}
		if got := signWithoutPIN(t, card.Reader); got != 0x6982 {
			t.Errorf("%s: another program gets %04X", after, got)
		}
		card.Forget()
	}
	for _, args := range [][]string{{"verify"}, {"change"}} {
		p := h.Start(t, "crs", append([]string{"pin"}, args...)...)
		p.Answer(citizen.PIN, citizen.PIN+"1", citizen.PIN+"1")
		p.Stdin.Close()
		if <-p.Ended; p.Code != 0 {
			t.Errorf("crs pin %v: exit code %d", args, p.Code)
		}
		closed("crs pin " + args[0])
	}
	serve := h.Serve(t)
	shows(t, h, card.Reader, openscModel)
	site := open(t, citizen.Portale)
	serve.Answer("s", citizen.PIN+"1")
	site.mustLogIn()
	closed("a login")
	card.Inject(virtualcard.Fault{INS: 0x2A, SW: 0x6985})
	serve.Answer(citizen.PIN + "1")
	site.refused(crs.ErrCard)
	card.Inject()
	closed("a login that was refused")
	hang := make(chan struct{})
	card.Inject(virtualcard.Fault{INS: 0x2A, Hang: hang})
	serve.Answer(citizen.PIN + "1")
	go func() {
		await.That(t, "the card signs", func() bool { return card.Count(0x2A) > 0 })
		for _, pid := range workers(serve) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		close(hang)
	}()
	site.refused(crs.ErrCard)
	card.Inject()
	closed("a login whose worker was killed")
	serve.Answer(citizen.PIN + "1")
	site.mustLogIn()
	closed("the next login")
}

// signWithoutPIN is another program that hopes for a card left open. It returns the answer to a PSO
// that is too short: a card that is open says so.
func signWithoutPIN(t *testing.T, reader string) (status uint16) {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	card, err := ctx.Connect(reader, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		ctx.Release()
		t.Fatal(err)
	}
	defer scard.Close(ctx, card, false)
	for _, command := range [][]byte{
		{0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00},
		{0x00, 0x22, 0xF3, 0x03, 0x00},
		{0x00, 0x22, 0xF1, 0xB8, 0x03, 0x83, 0x01, 0x01},
		{0x00, 0x2A, 0x80, 0x86, 0x01, 0x00, 0x00},
	} {
		r, err := card.Transmit(command)
		if err != nil || len(r) < 2 {
			t.Fatalf("% X: % X %v", command, r, err)
		}
		status = uint16(r[len(r)-2])<<8 | uint16(r[len(r)-1])
	}
	return status
}
