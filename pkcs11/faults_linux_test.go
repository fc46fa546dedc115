package pkcs11

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/cardtest"
	"github.com/crs-bridge/crs/internal/tokentest"
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
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV} {
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

// TestT18OnlyAdministratorsModules: what others can change is refused, and told which.
func TestT18OnlyAdministratorsModules(t *testing.T) {
	f := tokentest.NewFake(t, "")
	home := t.TempDir()
	atHome := filepath.Join(home, "fake.so")
	copyFile(t, f.Path, atHome)
	writableDir := filepath.Join(filepath.Dir(f.Path), "open")
	if err := os.Mkdir(writableDir, 0o755); err != nil {
		t.Fatal(err)
	}
	inOpen := filepath.Join(writableDir, "fake.so")
	copyFile(t, f.Path, inOpen)
	if err := os.Chmod(writableDir, 0o777); err != nil {
		t.Fatal(err)
	}
	owned := filepath.Join(filepath.Dir(f.Path), "owned.so")
	copyFile(t, f.Path, owned)
	if err := os.Chown(owned, 12345, 0); err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(filepath.Dir(f.Path), "group.so")
	copyFile(t, f.Path, group)
	if err := errors.Join(os.Chown(group, 0, 50), os.Chmod(group, 0o775)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(filepath.Dir(f.Path), "link.so")
	if err := os.Symlink(inOpen, link); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(filepath.Dir(f.Path), "modules.txt")
	p := places{list: list, home: home}
	for path, want := range map[string]*Unused{
		f.Path:  nil,
		atHome:  {AtHome, "~/fake.so"},
		inOpen:  {Writable, writableDir},
		owned:   {Writable, owned},
		group:   {Writable, group},
		link:    {Writable, writableDir},
		"/none": {Why: Missing},
		"none":  {Failed, "no absolute path"},
	} {
		if err := os.WriteFile(list, []byte("# ours\n"+path+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		found := p.find("linux")
		if len(found) != 1 || (found[0].Unused == nil) != (want == nil) || want != nil && *found[0].Unused != *want {
			t.Errorf("%s: %+v, want %v", path, found, want)
			if len(found) == 1 {
				t.Error(found[0].Unused)
			}
		}
	}
	if err := os.Chmod(list, 0o666); err != nil {
		t.Fatal(err)
	}
	if found := p.find("linux"); len(found) != 1 || found[0].Unused == nil || found[0].Unused.Why != Writable {
		t.Errorf("a list that anybody can change: %+v", found)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBadModules: why a file that may be loaded cannot be.
func TestBadModules(t *testing.T) {
	f := tokentest.NewFake(t, "")
	dir := filepath.Dir(f.Path)
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte(strings.Repeat("no library\n", 10)), 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.so")
	b, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	b[18], b[19] = 0xB7, 0 // AArch64
	if err := os.WriteFile(foreign, b, 0o755); err != nil {
		t.Fatal(err)
	}
	compile := func(name, source string, args ...string) string {
		path := filepath.Join(dir, name)
		c := path + ".c"
		if err := os.WriteFile(c, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-o", path, c}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return path
	}
	other := compile("other.so", "int other(void) { return 1; }")
	needed := compile("libneeded.so", "int needed(void) { return 1; }")
	needs := compile("needs.so", "int needed(void); int C_GetFunctionList(void *p) { return needed(); }", "-L"+dir, "-lneeded")
	os.Remove(needed)
	for path, want := range map[string]Why{text: NotPKCS11, foreign: Machine, other: NotPKCS11, needs: Dependency} {
		tokens := tokensOf(t, Module{Name: "bad", Path: path})
		tokens.List(context.Background(), true)
		m := tokens.Modules()[0]
		if m.Unused == nil || m.Unused.Why != want {
			t.Errorf("%s: %v", filepath.Base(path), m.Unused)
		}
		if want == Dependency && m.Unused != nil && m.Unused.Detail != "libneeded.so" {
			t.Errorf("needs %q", m.Unused.Detail)
		}
	}
}

// TestT18ReducedWorker: a worker gets few variables, no files, no way to more rights and no dumps.
func TestT18ReducedWorker(t *testing.T) {
	t.Setenv("LD_PRELOAD", "/nowhere.so")
	t.Setenv("CRS_TEST_SECRET", "x")
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	_, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	proc := filepath.Join("/proc", strconv.Itoa(c.host.running().process.Pid))
	environ, err := os.ReadFile(proc + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(environ); strings.Contains(s, "LD_PRELOAD") || strings.Contains(s, "SECRET") || !strings.Contains(s, "HOME=") {
		t.Errorf("environment %q", s)
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Errorf("%v\n%s", err, status)
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil || !strings.Contains(string(limits), "Max core file size        0 ") {
		t.Errorf("%v\n%s", err, limits)
	}
	files, _ := os.ReadDir(proc + "/fd")
	for _, file := range files {
		if to, _ := os.Readlink(proc + "/fd/" + file.Name()); to == "/etc/passwd" {
			t.Error("a file of the parent is open")
		}
	}
}

// TestT19LoggedOut: after each login, also one that breaks off, the token is closed.
func TestT19LoggedOut(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	if err := login(t, c, rightPIN); err != nil {
		t.Fatal(err)
	}
	f.Fault("C_Sign", "5")
	login(t, c, rightPIN)
	f.Fault("C_Logout", "5")
	w := c.host.running()
	if err := login(t, c, rightPIN); err != nil {
		t.Errorf("a login whose logout fails: %v", err)
	}
	select {
	case <-w.ended:
	case <-time.After(2 * time.Second):
		t.Error("a worker that did not log out lives on")
	}
	if got := strings.Join(f.Log(), " "); got != "login:right logout login:right logout login:right" {
		t.Errorf("the module saw %s", got)
	}
}

// TestT24ThePINIsNowhere: a module that prints PINs to stderr.
func TestT24ThePINIsNowhere(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	f.Fault("C_Login", "print")
	if err := login(t, c, rightPIN); err != nil {
		t.Fatal(err)
	}
	var written string
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && !strings.Contains(written, "after it"); time.Sleep(5 * time.Millisecond) {
		written = strings.Join(tokens.Modules()[0].Output, "\n")
	}
	if !strings.Contains(written, "after it") || !strings.Contains(written, hiddenLine) {
		t.Errorf("kept of stderr:\n%s", written)
	}
	for _, form := range forms([]byte(rightPIN)) {
		if strings.Contains(strings.ToLower(written), string(form)) {
			t.Errorf("kept %q", form)
		}
	}
	c.host.stderr.mu.Lock()
	defer c.host.stderr.mu.Unlock()
	if strings.Contains(string(c.host.stderr.partial[:cap(c.host.stderr.partial)]), rightPIN) {
		t.Error("it is in the buffer")
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
	_, tokens := faked(t, token)
	c := theCard(t, tokens)
	if err := login(t, c, rightPIN); crs.CodeOf(err) != crs.ErrCardUnusable {
		t.Errorf("%v is %s", err, crs.CodeOf(err))
	}
	if r, _ := tokens.Readers(); len(r) != 1 || r[0].Card != nil || !errors.Is(r[0].Err, crs.ErrNoCNS) {
		t.Errorf("%+v", r)
	}
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
