package pkcs11

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// TestT18AModuleCannotHurt: whatever a module does in whichever call, the login ends with an error
// of the card in time, and the next one works.
func TestT18AModuleCannotHurt(t *testing.T) {
	for _, test := range []struct {
		call, fault string
		uncertain   bool // the PIN was on its way
	}{
		{"C_Sign", "crash", false},
		{"C_Sign", "hang", false},
		{"C_Sign", "exit", false},
		{"C_Sign", "eat", false},
		{"C_Sign", "lie", false},
		{"C_Sign", "5", false},
		{"C_SignInit", "crash", false},
		{"C_Login", "crash", true},
		{"C_Login", "hang", true},
		{"C_Login", "exit", true},
		{"C_Login", "5", true},
		{"C_OpenSession", "crash", true},
		{"C_FindObjects", "lie", true},
		{"C_GetAttributeValue", "lie", true},
		{"C_GetTokenInfo", "crash", true},
	} {
		t.Run(test.call+" "+test.fault, func(t *testing.T) {
			f, tokens := faked(t, oneToken())
			c := theCard(t, tokens)
			patient := c.host.timeouts // starting a worker may take long on a busy computer
			c.host.timeouts = Timeouts{Call: time.Second, PIN: time.Second}
			f.Fault(test.call, test.fault)
			began := time.Now()
			err := login(t, c, rightPIN)
			if crs.CodeOf(err) != crs.ErrCard {
				t.Errorf("%v is %s", err, crs.CodeOf(err))
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			var pin *crs.PINError
			if errors.As(err, &pin) && (!test.uncertain || !pin.Uncertain || pin.Blocked) {
				t.Errorf("the PIN: %v", err)
			}
			f.Fault(test.call, "")
			c.host.timeouts = patient
			if err := login(t, c, rightPIN); err != nil {
				t.Errorf("the next login: %v", err)
			}
		})
	}
}

// A worker that is killed between two logins, or in one.
func TestKilledWorker(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	signals := []syscall.Signal{syscall.SIGKILL}
	if runtime.GOOS != "windows" { // where a process can be ended in one way
		signals = append(signals, syscall.SIGSEGV)
	}
	for _, signal := range signals {
		c.host.running().process.Signal(signal)
		<-c.host.running().ended
		if err := login(t, c, rightPIN); err != nil {
			t.Errorf("after %v: %v", signal, err)
		}
		f.Fault("C_Sign", "hang")
		w := c.host.running()
		time.AfterFunc(200*time.Millisecond, func() { w.process.Signal(signal) })
		if err := login(t, c, rightPIN); crs.CodeOf(err) != crs.ErrCard || !errors.Is(err, crs.ErrModule) {
			t.Errorf("%v during C_Sign: %v", signal, err)
		}
		f.Fault("C_Sign", "")
		if err := login(t, c, rightPIN); err != nil {
			t.Errorf("after %v during C_Sign: %v", signal, err)
		}
	}
}

// What fails while it is listed is left alone for longer and longer.
func TestBackOff(t *testing.T) {
	f, tokens := faked(t, oneToken())
	f.Fault("C_GetSlotList", "exit")
	tokens.List(context.Background(), true)
	h := tokens.modules[0].host
	for range 3 {
		tokens.List(context.Background(), true)
	}
	if wait := h.again(); wait < firstDelay/2 || h.failures < 2 {
		t.Errorf("after %d failures: again in %v", h.failures, wait)
	}
	if m := tokens.Modules()[0]; m.Unused == nil || m.Unused.Why != Failed {
		t.Errorf("%+v", m)
	}
}

// TestT19LoggedOut: after each login, also one that breaks off, the token is closed.
func TestT19LoggedOut(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	if err := login(t, c, rightPIN); err != nil {
		t.Fatal(err)
	}
	endsWorker := func(call string) (err error) {
		t.Helper()
		f.Fault(call, "5")
		w := c.host.running()
		err = login(t, c, rightPIN)
		select {
		case <-w.ended:
		case <-time.After(await.Limit):
			t.Errorf("a worker whose %s failed lives on", call)
		}
		return err
	}
	if err := endsWorker("C_Sign"); err == nil { // its C_Logout may have failed too
		t.Error("a login whose signature fails")
	}
	f.Fault("", "")
	if err := login(t, c, rightPIN); err != nil {
		t.Error(err)
	}
	if err := endsWorker("C_Logout"); err != nil {
		t.Errorf("a login whose logout fails: %v", err)
	}
	if got := strings.Join(f.Log(), " "); got != "login:right logout login:right logout login:right logout login:right" {
		t.Errorf("the module saw %s", got)
	}
	f.Fault("C_Logout", "lie")
	for range 2 {
		if err := login(t, c, rightPIN); err != nil {
			t.Errorf("after a logout that was none: %v", err)
		}
	}
}

// TestT24ThePINIsNowhere: a module that prints PINs to stdout and stderr. Of a worker that
// was sent none, what it writes is kept, also when another one was before it.
func TestT24ThePINIsNowhere(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	f.Fault("C_Login", "print")
	if err := login(t, c, rightPIN); err != nil {
		t.Fatal(err)
	}
	output := func() string { return strings.Join(tokens.Modules()[0].Output, "\n") }
	await.That(t, "it printed", func() bool { return strings.Contains(output(), droppedLine) })
	if err := login(t, c, rightPIN); err != nil { // by now the first PIN's output has come in
		t.Fatal(err)
	}
	c.host.running().kill() // and now that of the second
	await.That(t, "the next one starts", func() bool {
		tokens.List(context.Background(), true)
		return strings.Count(output(), "the fake module starts") == 2
	})
	if lines := strings.Split(output(), "\n"); !slices.Equal(lines, []string{"the fake module starts", droppedLine, "the fake module starts"}) {
		t.Errorf("kept of stdout and stderr: %q", lines)
	}
}

// Tokens that are pulled, and pairs of objects that do not fit.
func TestPulled(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	f.Fault("C_Login", "gone")
	if e := refused(t, login(t, c, rightPIN)); !e.Uncertain || !errors.Is(e, crs.ErrCardRemoved) {
		t.Errorf("during C_Login: %v", e)
	}
	f.Fault("C_Sign", "gone")
	if err := login(t, c, rightPIN); !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("during C_Sign: %v", err)
	}
	f.Fault("", "")
	f.Insert()
	if readers := tokens.List(context.Background(), true); len(readers) != 0 {
		t.Errorf("after it was pulled: %+v", readers)
	}
	if err := login(t, c, rightPIN); !errors.Is(err, crs.ErrCardRemoved) {
		t.Errorf("a card that was pulled: %v", err)
	}
	other := oneToken()
	other.Serial = "2"
	f.Insert(other) // another token in the same slot, of the same label
	if n := f.Secrets(); n != 1 {
		t.Errorf("%d PINs", n)
	}
	d := theCard(t, tokens)
	if err := login(t, d, rightPIN); err != nil || d == c {
		t.Errorf("the other token: %v", err)
	}
}

func TestTwoTokensOfOneLabel(t *testing.T) {
	second := oneToken()
	second.Serial = "2"
	f, tokens := faked(t, oneToken(), second)
	readers := tokens.List(context.Background(), true)
	if len(readers) != 2 || readers[0].Card == readers[1].Card || readers[0].Name == readers[1].Name {
		t.Fatalf("%+v", readers)
	}
	for _, r := range readers {
		if err := login(t, r.Card, rightPIN); err != nil {
			t.Error(err)
		}
	}
	login(t, readers[1].Card, wrongPIN)
	if f.Tries(0) != 3 || f.Tries(1) != 2 {
		t.Errorf("tries %d and %d", f.Tries(0), f.Tries(1))
	}
}

// A certificate whose key is missing is not chosen again, and the PIN was asked for once.
func TestCertificateWithoutKey(t *testing.T) {
	token := oneToken()
	token.Objects = []tokentest.Object{{ID: []byte{7}, Certificate: person().Certificate}, {ID: []byte{8}, Key: person().Key}}
	f, tokens := faked(t, token)
	c := theCard(t, tokens)
	if err := login(t, c, rightPIN); crs.CodeOf(err) != crs.ErrCardUnusable {
		t.Errorf("%v is %s", err, crs.CodeOf(err))
	}
	f.SetTries(0, 2, rightPIN) // the token is the same, and says something else of its PIN
	for _, r := range [][]crs.Reader{tokens.List(context.Background(), true), tokens.List(context.Background(), true)} {
		if len(r) != 1 || r[0].Card != nil || !errors.Is(r[0].Err, crs.ErrNoCNS) {
			t.Errorf("%+v", r)
		}
	}
	f.Insert()
	tokens.List(context.Background(), true)
	f.Insert(token)
	theCard(t, tokens) // the certificate may have a key now
}

// The flags of a token: shown, and no reason to refuse.
func TestFlags(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	for tries, want := range map[int]crs.PINStatus{
		3: crs.UnknownPINStatus, 2: {Retries: 2, Doubtful: true}, 1: {Retries: 1}, 0: {Retries: -1, Blocked: true},
	} {
		f.SetTries(0, tries, rightPIN)
		if got, err := c.PINStatus(context.Background()); got != want || err != nil {
			t.Errorf("%d tries: %+v %v", tries, got, err)
		}
	}
	f.SetTries(0, 3, rightPIN)
	theCard(t, tokens)
	f.SetTries(0, 1, rightPIN) // by another program
	_, changed := tokens.Seen()
	if again := theCard(t, tokens); again != c || c.KeptPINStatus() != (crs.PINStatus{Retries: 1}) {
		t.Errorf("listed again: %+v", c.KeptPINStatus())
	}
	select {
	case <-changed:
	default:
		t.Error("nobody is told")
	}
	f.SetTries(0, 3, rightPIN)
	if err := login(t, theCard(t, tokens), rightPIN); err != nil || c.KeptPINStatus() != crs.UnknownPINStatus {
		t.Errorf("after a login: %+v %v", c.KeptPINStatus(), err)
	}
	token := oneToken()
	token.Flags = ckfPINLocked // of a healthy token
	f.Insert(token)
	if err := login(t, theCard(t, tokens), rightPIN); err != nil {
		t.Errorf("a token that is called locked: %v", err)
	}
}

// CKA_ALWAYS_AUTHENTICATE, a PIN that is typed on the device, and a PIN with letters.
func TestKindsOfPIN(t *testing.T) {
	always := oneToken()
	always.Objects[0].Always = true
	f, tokens := faked(t, always)
	if err := login(t, theCard(t, tokens), rightPIN); err != nil {
		t.Errorf("always authenticate: %v", err)
	}
	if got := strings.Join(f.Log(), " "); got != "login:right again:right logout" {
		t.Errorf("always authenticate: the module saw %s", got)
	}

	pad := oneToken()
	pad.Flags, pad.Serial = ckfProtectedPath, "2"
	f.Insert(pad)
	c := theCard(t, tokens)
	if !c.Info().PINPad {
		t.Error("the token has no keys")
	}
	f.Type(rightPIN)
	statement := cardtest.NewStatement(t)
	if sig, err := c.Sign(context.Background(), nil, statement); err != nil || sig.Verify(statement) != nil {
		t.Errorf("typed on the device: %v", err)
	}
	f.Type(wrongPIN)
	if _, err := c.Sign(context.Background(), nil, statement); refused(t, err).Uncertain {
		t.Errorf("a wrong one: %v", err)
	}

	letters := oneToken()
	letters.PIN, letters.Serial = "aB3é", "3"
	letters.MinPIN, letters.MaxPIN = 4, 12
	f.Insert(letters)
	if err := login(t, theCard(t, tokens), "aB3é"); err != nil {
		t.Errorf("letters: %v", err)
	}
}
