package main

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
	webportal "github.com/crs-bridge/crs/portal"
)

// openssl says whether a token is what it claims to be, by the formula of the protocol.
func openssl(t *testing.T, l login) {
	t.Helper()
	dir := t.TempDir()
	origin, challenge := sha256.Sum256([]byte(l.origin.String())), sha256.Sum256([]byte(l.challenge.String()))
	for name, content := range map[string][]byte{
		"signed": append(origin[:], challenge[:]...), "signature": l.token.Signature, "certificate": l.token.UnverifiedCertificate,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"x509 -inform der -in certificate -pubkey -noout -out key",
		"dgst -sha256 -verify key -signature signature signed",
	} {
		cmd := exec.Command("openssl", strings.Fields(args)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("openssl %s: %v\n%s", args, err, out)
		}
	}
}

// verify is what the portal does with a token.
func verify(l login, ca *virtualcard.CA) (webportal.Identity, error) {
	issuers := x509.NewCertPool()
	issuers.AddCert(ca.Certificate)
	return (&webportal.Verifier{Origin: l.origin, Issuers: issuers}).Verify(l.tokenJSON, l.challenge)
}

// TestLogin is the job of this program: a citizen logs in, on a real reader stack.
func TestLogin(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	insertion, bytes := len(card.Log()), card.Bytes()

	site := open(t, citizen.Portale)
	for i, answers := range [][]string{{"s", citizen.PIN}, {citizen.PIN}, {citizen.PIN}} {
		card.Forget()
		serve.Answer(answers...)
		l := site.mustLogIn()
		openssl(t, l)
		id, err := verify(l, card.Person().CA)
		if err != nil || id.FullName() != "ADA ESEMPIO" || id.CodiceFiscale != card.Person().Data.CodiceFiscale {
			t.Errorf("login %d: the portal takes it for %q: %v", i, id.FullName(), err)
		}
		if n := len(card.Log()); n > 6 || card.Bytes() > 600 || card.Secrets() != 1 {
			t.Errorf("login %d: %d APDUs, %d bytes, %d PINs", i, n, card.Bytes(), card.Secrets())
		}
		if i == 0 {
			insertion, bytes = insertion+len(card.Log()), bytes+card.Bytes()
		}
	}
	if insertion > 13 || bytes > 2200 {
		t.Errorf("insertion and first login: %d APDUs, %d bytes", insertion, bytes)
	}

	// A site that the user allowed needs the PIN alone from the start; it is a site of its own.
	h.Command(t, "sites", "allow", "https://altro.example")
	serve.Answer(citizen.PIN)
	other := open(t, "https://altro.example")
	l := other.mustLogIn()
	openssl(t, l)
	l.origin = site.origin
	if _, err := verify(l, card.Person().CA); err == nil {
		t.Error("a token for one site is good for another")
	}

	// A site that the user blocked gets no word, at its next handshake and on its open one.
	h.Command(t, "sites", "block", citizen.Portale)
	if _, err := tryOpen(t, citizen.Portale); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("handshake of a blocked site: %v", err)
	}
	site.refused(crs.ErrOriginDenied)
	h.Command(t, "sites", "forget", citizen.Portale)
	serve.Answer("s", citizen.PIN)
	site.mustLogIn()
}

// TestSecondService: a user has one service at a time. A signal ends it, which is no failure,
// and makes room for the next.
func TestSecondService(t *testing.T) {
	h := citizen.NewHome(t)
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		first := h.Serve(t)
		second := h.Start(t, "crs", "serve", "--ui", "terminal")
		select {
		case <-second.Ended:
			if second.Code != 1 || !strings.Contains(second.Stderr.String(), "già in funzione") {
				t.Errorf("the second service ended with %d:\n%s", second.Code, second.Stderr)
			}
		case <-time.After(await.Limit):
			t.Error("two services run")
		}
		if code := first.Stop(s); code != 0 {
			t.Errorf("ended by %v, the service returns %d", s, code)
		}
	}
}

// TestOtherSession: what is started by cron, by su or by a confined browser has other variables than
// the service, and finds it; it starts no second one.
func TestOtherSession(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	status(t, h)
	for name, dir := range map[string]string{"cron": "", "confined browser": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			citizen.Session = []string{"XDG_RUNTIME_DIR=" + dir}
			t.Cleanup(func() { citizen.Session = nil })
			if said := runDoctor(t, h); !strings.Contains(said, "✓ Servizio") {
				t.Errorf("crs doctor says\n%s", said)
			}
			second := h.Start(t, "crs", "serve", "--ui", "terminal")
			select {
			case <-second.Ended:
			case <-time.After(await.Limit):
				t.Fatal("two services run")
			}
			if second.Code != 1 || !strings.Contains(second.Stderr.String(), "già in funzione") {
				t.Errorf("the second service ended with %d:\n%s", second.Code, second.Stderr)
			}
			host := h.Start(t, "crs", "chrome-extension://boihbeeifmdlopeeapedabhkaohbpclk/")
			host.Stdin.Close()
			select {
			case <-host.Ended:
			case <-time.After(await.Limit):
				t.Fatal("the native host does not end")
			}
			if host.Code != 0 {
				t.Errorf("the native host ended with %d:\n%s", host.Code, host.Stderr)
			}
		})
	}
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}
}

// TestStopWhileAsking: the service ends although a dialog is open and a page is connected.
func TestStopWhileAsking(t *testing.T) {
	serve := citizen.NewHome(t).Serve(t)
	citizen.Insert(t, virtualcard.Config{})
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	done := make(chan error, 1)
	go func() {
		_, err := site.login(false)
		done <- err
	}()
	serve.Next(citizen.SiteAsked)
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}
	if err := <-done; err == nil {
		t.Error("the login succeeded")
	}
}

func TestWrongPIN(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	card.Forget()

	// What cannot be the PIN is not sent.
	serve.Answer("s", "1234", "123456789", "12a45", citizen.WrongPIN, citizen.PIN)
	site.mustLogIn()
	for _, text := range []string{"troppo corto", "troppo lungo", "solo di cifre", "Il PIN era sbagliato", "Tentativi rimasti: 2."} {
		serve.Next(text)
	}
	if pin, _ := card.Tries(); card.Secrets() != 2 || pin != 3 {
		t.Errorf("%d PINs were sent, %d tries are left", card.Secrets(), pin)
	}

	// An empty line cancels; the last try takes a second yes, and its default is no.
	serve.Answer("")
	site.refused(crs.ErrCancelled)
	serve.Answer(citizen.WrongPIN, citizen.WrongPIN, citizen.PIN, "n")
	site.refused(crs.ErrCancelled)
	serve.Next("ltimo tentativo")
	if pin, _ := card.Tries(); pin != 1 || card.Secrets() != 4 {
		t.Errorf("%d PINs were sent, %d tries are left", card.Secrets(), pin)
	}
	// The tries are known to the next login, and to other commands of this user.
	if out := h.Command(t, "card", "info"); !strings.Contains(out, "tentativi rimasti: 1") {
		t.Errorf("crs card info:\n%s", out)
	}
	serve.Answer(citizen.PIN, "s")
	site.mustLogIn()

	// Another site, because a third dismissal would mute this one: the last wrong PIN blocks.
	h.Command(t, "sites", "allow", "https://altro.example")
	other := open(t, "https://altro.example")
	serve.Answer(citizen.WrongPIN, citizen.WrongPIN, citizen.WrongPIN, "s", "n")
	other.refused(crs.ErrPINBlocked)
	serve.Next("sbloccare adesso, con il PUK")
	if pin, puk := card.Tries(); pin != 0 || puk != 3 {
		t.Errorf("%d tries of the PIN and %d of the PUK are left", pin, puk)
	}

	// In the next login the user has the PUK, though not at once, and the login goes on with the
	// new PIN, which OpenSC accepts too.
	const freshPIN = "97531"
	card.Forget()
	serve.Answer(citizen.PIN, "s", "s", "11111111", freshPIN, freshPIN, virtualcard.DefaultPUK, freshPIN, freshPIN, freshPIN)
	other.mustLogIn()
	for _, text := range []string{"Il PUK era sbagliato", "Tentativi rimasti per il PUK: 2", "Il PIN è sbloccato"} {
		serve.Next(text)
	}
	if pin, puk := card.Tries(); pin != 3 || puk != 3 || card.Secrets() != 4 {
		t.Errorf("%d tries of the PIN and %d of the PUK are left, %d secrets were sent", pin, puk, card.Secrets())
	}
	if out, err := exec.Command("pkcs15-tool", "--verify-pin", "--auth-id", "01", "--pin", freshPIN).CombinedOutput(); err != nil {
		t.Errorf("OpenSC: %v\n%s", err, out)
	}
}

// TestPcscdComesAndGoes: the service is there before pcscd, and outlives it, also when pcscd
// dies while the card signs.
func TestPcscdComesAndGoes(t *testing.T) {
	t.Cleanup(func() { ns.Pcscd.Start() }) // an error, unless this test failed
	if err := ns.Pcscd.Stop(); err != nil {
		t.Fatal(err)
	}
	serve := citizen.NewHome(t).Serve(t)
	site := open(t, citizen.Portale)
	serve.Answer("s")
	done := make(chan error, 1)
	logIn := func() {
		_, err := site.login(false)
		done <- err
	}
	go logIn()
	serve.Next("non è in funzione") // and what starts it
	if err := ns.Pcscd.Start(); err != nil {
		t.Fatal(err)
	}
	serve.Next(citizen.InsertPrompt)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Answer(citizen.PIN)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	hang := make(chan struct{})
	card.Forget()
	card.Inject(virtualcard.Fault{INS: 0x2A, At: 1, Hang: hang}) // PSO
	serve.Answer(citizen.PIN)
	go logIn()
	await.That(t, "the card is asked to sign", func() bool { return card.Count(0x2A) > 0 })
	if err := ns.Pcscd.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; crs.CodeOf(err) == "" || !strings.Contains(err.Error(), "(card_error)") {
		t.Errorf("pcscd died while the card signed: %v", err)
	}
	close(hang)
	if err := ns.Pcscd.Start(); err != nil {
		t.Fatal(err)
	}
	if card.Secrets() != 1 {
		t.Errorf("%d PINs were sent", card.Secrets())
	}
	serve.Answer(citizen.PIN)
	site.mustLogIn()
}

// TestCardPulledWhileAsking: the card comes back while the dialog is open, and the login goes
// on, at the price of another typing.
func TestCardPulledWhileAsking(t *testing.T) {
	serve := citizen.NewHome(t).Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	done := make(chan login, 1)
	go func() {
		l, err := site.login(false)
		if err != nil {
			t.Error(err)
		}
		done <- l
	}()
	serve.Answer("s")
	serve.Next(citizen.PinAsked)
	if err := card.Pull(); err != nil {
		t.Fatal(err)
	}
	serve.Next("card removed")
	serve.Answer(citizen.PIN) // to a card that is gone
	serve.Next(citizen.InsertPrompt)
	again := citizen.InsertAgain(t, card.Card)
	serve.Next(citizen.PinAsked)
	serve.Answer(citizen.PIN)
	if l := <-done; !t.Failed() {
		openssl(t, l)
	}
	if again.Secrets() != 1 {
		t.Errorf("%d PINs were sent", again.Secrets())
	}
}

// TestPageClosedWhileAsking: the dialog closes with the page, and swallows no answer.
func TestPageClosedWhileAsking(t *testing.T) {
	h := citizen.NewHome(t)
	h.Command(t, "sites", "allow", citizen.Portale)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	site := open(t, citizen.Portale)
	done := make(chan error, 1)
	go func() {
		_, err := site.login(false)
		done <- err
	}()
	serve.Next(citizen.PinAsked)
	card.Forget()
	site.ws.Close()
	if err := <-done; err == nil {
		t.Error("a page that is gone logged in")
	}
	serve.Next("code=gone")
	if len(card.Log()) != 0 {
		t.Errorf("the card was sent %d APDUs for a page that is gone", len(card.Log()))
	}
	serve.Answer(citizen.PIN)
	open(t, citizen.Portale).mustLogIn()
}

// TestRefusedByThePortal: the bridge signs with what the card holds; the portal judges it.
func TestRefusedByThePortal(t *testing.T) {
	h := citizen.NewHome(t)
	h.Command(t, "sites", "allow", citizen.Portale)
	serve := h.Serve(t)
	other, err := virtualcard.NewCA("ALTRA")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		identity virtualcard.Identity
		reason   webportal.Reason
	}{
		{virtualcard.Identity{NotBefore: time.Now().AddDate(-7, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}, webportal.ReasonExpired},
		{virtualcard.Identity{CA: other}, webportal.ReasonIssuer},
		{virtualcard.Identity{}, ""},
	} {
		person, err := virtualcard.NewPerson(test.identity)
		if err != nil {
			t.Fatal(err)
		}
		card := citizen.Insert(t, virtualcard.Config{Person: person, PIN: citizen.PIN})
		serve.Next(citizen.CardReady)
		serve.Answer(citizen.PIN)
		l := open(t, citizen.Portale).mustLogIn()
		openssl(t, l)
		_, err = verify(l, virtualcard.SharedCA())
		var refusal *webportal.Error
		if test.reason == "" && err != nil || test.reason != "" && (!errors.As(err, &refusal) || refusal.Reason != test.reason) {
			t.Errorf("want %q, the portal says: %v", test.reason, err)
		}
		if err := card.Pull(); err != nil {
			t.Fatal(err)
		}
	}
}
