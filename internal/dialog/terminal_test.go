package dialog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// scripted returns a UI on a terminal that is a pipe, what to write answers to, and what it
// shows.
func scripted(t *testing.T) (ui UI, answers io.WriteCloser, shown *screen.Text) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	shown = &screen.Text{}
	stdin := NewTerminal(r, shown)
	return UI{Screen: func() (Screen, error) { return stdin, nil }}, w, shown
}

func answer(t *testing.T, to io.Writer, lines string) {
	t.Helper()
	if _, err := io.WriteString(to, lines); err != nil {
		t.Fatal(err)
	}
}

var (
	portal = func() catalog.Prompt {
		o, err := crs.ParseOrigin("https://portale.example")
		if err != nil {
			panic(err)
		}
		return catalog.Prompt{Origin: o, Lang: "it"}
	}()
	rossi  = crs.Info{Reader: "Reader 0", Kind: "CNS", Holder: "MARIO ROSSI", PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}}
	bianca = crs.Info{Reader: "Reader 1", Kind: "CNS", Holder: "BIANCA VERDI", PINFormat: rossi.PINFormat}
)

func pinPrompt() catalog.PINPrompt {
	return catalog.PINPrompt{Prompt: portal, Card: rossi, Status: crs.PINStatus{Retries: -1}}
}

func digits(t *testing.T, pin *crs.PIN) string {
	t.Helper()
	b, err := pin.Spend()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestScript answers every question of a login in advance, one line each, in the order of a
// login. A card is asked for in between, and reads nothing.
func TestScript(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	answer(t, answers, "s\n2\ny\n90817\nn\n")
	ctx := t.Context()

	if yes, err := ui.AllowSite(ctx, portal); err != nil || !yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := ui.InsertCard(short, portal, crs.ErrNoCNS); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("InsertCard = %v", err)
	}
	if i, err := ui.PickCard(ctx, portal, []crs.Info{rossi, bianca}); err != nil || i != 1 {
		t.Errorf("PickCard = %d, %v", i, err)
	}
	if yes, err := ui.SharePersonalData(ctx, portal, bianca); err != nil || !yes {
		t.Errorf("SharePersonalData = %v, %v", yes, err)
	}
	pin, err := ui.AskPIN(ctx, pinPrompt())
	if err != nil || digits(t, pin) != "90817" {
		t.Errorf("AskPIN = %v, %v", pin, err)
	}
	if yes, err := ui.ConfirmLastTry(ctx, pinPrompt()); err != nil || yes {
		t.Errorf("ConfirmLastTry = %v, %v", yes, err)
	}
	if err := ui.Report(ctx, portal, crs.ErrPINBlocked); err != nil {
		t.Errorf("Report = %v", err)
	}
	for _, want := range []string{"portale.example", "MARIO ROSSI", "2. BIANCA VERDI", "s = Sì", "PUK"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("%q is not shown:\n%s", want, shown)
		}
	}
	if strings.Contains(shown.String(), "90817") {
		t.Errorf("the PIN is shown:\n%s", shown)
	}
}

// TestCancel: an empty line and the end of input cancel every question.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"\n", "\r\n", "  \n", ""} {
		ui, answers, _ := scripted(t)
		answer(t, answers, strings.Repeat(input, 5))
		answers.Close()
		ctx := t.Context()
		_, err1 := ui.AllowSite(ctx, portal)
		_, err2 := ui.PickCard(ctx, portal, []crs.Info{rossi, bianca})
		_, err3 := ui.SharePersonalData(ctx, portal, rossi)
		pin, err4 := ui.AskPIN(ctx, pinPrompt())
		_, err5 := ui.ConfirmLastTry(ctx, pinPrompt())
		for i, err := range []error{err1, err2, err3, err4, err5} {
			if !errors.Is(err, crs.ErrCancelled) {
				t.Errorf("%q, question %d: %v", input, i+1, err)
			}
		}
		if pin != nil {
			t.Errorf("%q: a PIN of %d digits", input, pin.Len())
		}
	}
}

// TestAskedAgain: an answer that is none is asked again, and the next line answers.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	ctx := t.Context()
	answer(t, answers, "maybe\n12345\nSÌ\r\n0\n3\n-1\nx\n 1 \n")
	if yes, err := ui.AllowSite(ctx, portal); err != nil || !yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
	if i, err := ui.PickCard(ctx, portal, []crs.Info{rossi, bianca}); err != nil || i != 0 {
		t.Errorf("PickCard = %d, %v", i, err)
	}
	if n := strings.Count(shown.String(), "Questa risposta non è valida."); n != 6 {
		t.Errorf("asked again %d times, want 6", n)
	}
}

// TestYesAndNo: in whichever language the question is, yes and no may be said in all of them.
func TestYesAndNo(t *testing.T) {
	t.Parallel()
	for lang, prompt := range map[string]string{"it": "s = Sì", "en": "s or y = Yes", "de": "j = Ja"} {
		question := portal
		question.Lang = lang
		for _, word := range []string{"s", "si", "sì", "y", "yes", "j", "J", "ja", "n", "no", "nein"} {
			ui, answers, shown := scripted(t)
			answer(t, answers, word+"\n")
			answers.Close()
			yes, err := ui.AllowSite(t.Context(), question)
			if err != nil || yes != !strings.HasPrefix(word, "n") || !strings.Contains(shown.String(), prompt) {
				t.Errorf("%s, %q: AllowSite = %v, %v\n%s", lang, word, yes, err, shown)
			}
		}
	}
}

// TestPINForm: a PIN that no card could have is never handed on, and the user is told why.
// TestTerminalTakesBlanks: the blanks around digits are dropped, those of a token's PIN are its own.
func TestTerminalTakesBlanks(t *testing.T) {
	t.Parallel()
	ui, answers, _ := scripted(t)
	answer(t, answers, " 90817\t\r\nsecret \r\n")
	token := catalog.PINPrompt{Card: crs.Info{Kind: "token", PINFormat: crs.PINFormat{Min: 4, Max: 16}}, Status: crs.UnknownPINStatus}
	for _, test := range []struct {
		prompt catalog.PINPrompt
		want   string
	}{{pinPrompt(), "90817"}, {token, "secret "}} {
		pin, err := ui.AskPIN(t.Context(), test.prompt)
		if err != nil {
			t.Fatal(err)
		}
		if got := digits(t, pin); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestPINForm(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	answer(t, answers, "1234\n123456789\n12a45\n"+strings.Repeat("7", 5000)+"\n24680\n")
	p := pinPrompt()
	p.Last = &crs.PINError{Retries: 2, SW: 0x63c2}
	pin, err := ui.AskPIN(t.Context(), p)
	if err != nil || digits(t, pin) != "24680" {
		t.Fatalf("AskPIN = %v, %v", pin, err)
	}
	for text, times := range map[string]int{
		"Il PIN era sbagliato.":     1,
		"Il PIN era troppo corto.":  1,
		"Il PIN era troppo lungo.":  2,
		"Il PIN è fatto solo di":    1,
		"Tentativi rimasti: 2.":     5,
		"MARIO ROSSI":               5,
		"PIN (non si vede mentre ":  5,
		"nessun tentativo è andato": 4,
	} {
		if n := strings.Count(strings.ReplaceAll(shown.String(), "\n", " "), text); n != times {
			t.Errorf("%q is shown %d times, want %d", text, n, times)
		}
	}
}

// TestRule10PINorPUK: eight digits in a PIN field are a question, neither refused nor sent
// without a yes.
func TestRule10PINorPUK(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		input, want string
		min         int
		questions   int
	}{
		{"12345678\ns\n", "12345678", 5, 1},
		{"12345678\nn\n13579\n", "13579", 5, 1},
		{"1234567\n", "1234567", 5, 0},
		{"12345678\n", "12345678", 8, 0}, // a card whose PINs all have eight
	} {
		ui, answers, shown := scripted(t)
		answer(t, answers, test.input)
		p := pinPrompt()
		p.Card.PINFormat.Min = test.min
		pin, err := ui.AskPIN(t.Context(), p)
		if err != nil || digits(t, pin) != test.want {
			t.Errorf("%q: AskPIN = %v, %v", test.input, pin, err)
		}
		if n := strings.Count(shown.String(), "PIN o PUK?"); n != test.questions {
			t.Errorf("%q: %d questions, want %d", test.input, n, test.questions)
		}
	}

	ui, answers, _ := scripted(t)
	answer(t, answers, "12345678\n\n")
	if pin, err := ui.AskPIN(t.Context(), pinPrompt()); pin != nil || !errors.Is(err, crs.ErrCancelled) {
		t.Errorf("cancelled: AskPIN = %v, %v", pin, err)
	}
}

// TestT14CareDefaultsToNo: an empty line, or none, is no yes and no PUK in the dialogs of an unblock
// and of a change; a PUK and both PINs are shown to nobody.
func TestT14CareDefaultsToNo(t *testing.T) {
	t.Parallel()
	card := rossi
	card.PUKFormat = crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}
	puk := catalog.PUKPrompt{Card: card, Status: crs.PINStatus{Retries: 1}}
	for _, end := range []string{"\n", ""} {
		for _, typed := range []string{"", "87654321\n", "87654321\n13579\n", "87654321\n13579\n13579\n"} {
			ui, answers, shown := scripted(t)
			care := ui
			answer(t, answers, typed+end)
			answers.Close()
			if puk, fresh, err := care.AskUnblock(t.Context(), puk); puk != nil || fresh != nil || !errors.Is(err, crs.ErrCancelled) {
				t.Errorf("%q: AskUnblock = %v", typed+end, err)
			}
			for _, secret := range []string{"87654321", "13579"} {
				if strings.Contains(shown.String(), secret) {
					t.Errorf("%q is shown:\n%s", secret, shown)
				}
			}
		}
		for _, typed := range []string{"", "12345\n", "12345\n13579\n", "12345678\n"} {
			ui, answers, _ := scripted(t)
			answer(t, answers, typed+end)
			answers.Close()
			if old, fresh, err := ui.ChangePIN(t.Context(), pinPrompt()); old != nil || fresh != nil || !errors.Is(err, crs.ErrCancelled) {
				t.Errorf("%q: ChangePIN = %v", typed+end, err)
			}
		}
		ui, answers, _ := scripted(t)
		answer(t, answers, end)
		answers.Close()
		if yes, err := ui.OfferUnblock(t.Context(), portal, card); yes || !errors.Is(err, crs.ErrCancelled) {
			t.Errorf("%q: OfferUnblock = %v, %v", end, yes, err)
		}
	}
}

// TestEndedPromptSwallowsNothing: the line that comes after a prompt's context has ended is the
// answer to the next prompt.
func TestEndedPromptSwallowsNothing(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := ui.AllowSite(ctx, portal)
			ended <- err
		}()
		shown.Await(t, "annulla: ")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("AllowSite = %v", err)
		}
	}
	answer(t, answers, "86420\nn\n")
	pin, err := ui.AskPIN(t.Context(), pinPrompt())
	if err != nil || digits(t, pin) != "86420" {
		t.Errorf("AskPIN = %v, %v", pin, err)
	}
	if yes, err := ui.AllowSite(t.Context(), portal); err != nil || yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
}

// TestOnePromptAtATime: a second prompt waits for the first, and not longer than its context.
func TestOnePromptAtATime(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	first := make(chan error)
	go func() {
		_, err := ui.AllowSite(t.Context(), portal)
		first <- err
	}()
	shown.Await(t, "annulla: ")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ui.AskPIN(ctx, pinPrompt()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("AskPIN = %v", err)
	}
	if strings.Contains(shown.String(), "PIN della carta") {
		t.Error("two prompts are open")
	}
	answer(t, answers, "n\n")
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// TestEndedContext: nothing is shown, and no line read, when it is too late.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	answer(t, answers, "s\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ui.AllowSite(ctx, portal); !errors.Is(err, context.Canceled) || shown.String() != "" {
		t.Errorf("AllowSite = %v, %q", err, shown)
	}
	if yes, err := ui.AllowSite(t.Context(), portal); err != nil || !yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
}

// TestNoEscapes: what is on a card moves no cursor and rings no bell.
func TestNoEscapes(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	evil := rossi
	evil.Holder = "\x1b]0;owned\x07\x1b[2J\u009b1mMARIO\r\u202e"
	evil.Reader = "\x1b[H\nreader"
	answer(t, answers, "1\ns\n13579\nn\n")
	p := pinPrompt()
	p.Card = evil
	ctx := t.Context()
	ui.PickCard(ctx, portal, []crs.Info{evil, rossi})
	ui.SharePersonalData(ctx, portal, evil)
	ui.AskPIN(ctx, p)
	ui.ConfirmLastTry(ctx, p)
	ui.Report(ctx, portal, errors.New("\x1b[2Jevil"))
	stdin, err := ui.Screen()
	if err != nil {
		t.Fatal(err)
	}
	stdin.Tell(ctx, catalog.Text{Title: "\x1b[2J", After: "\x07"})
	for _, r := range shown.String() {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
			t.Fatalf("%U is written:\n%q", r, shown)
		}
	}
	if !strings.Contains(shown.String(), "MARIO") {
		t.Errorf("the holder is not shown:\n%s", shown)
	}
}

// TestReadLine: one line is taken and not a byte more, the last one may lack its end.
func TestReadLine(t *testing.T) {
	t.Parallel()
	r := strings.NewReader("one\n\n" + strings.Repeat("x", maxLine+10) + "\nlast")
	for _, want := range []string{"one", "", strings.Repeat("x", maxLine), "last"} {
		if line, err := readLine(r); err != nil || string(line) != want {
			t.Errorf("readLine = %q, %v, want %q", line, err, want)
		}
		if want == "one" && r.Len() != maxLine+16 {
			t.Errorf("%d bytes left", r.Len())
		}
	}
	if line, err := readLine(r); !errors.Is(err, crs.ErrCancelled) {
		t.Errorf("readLine = %q, %v", line, err)
	}
}

// TestT11LinesAreWiped: after a prompt, no copy of the typed line is left in the buffer it was
// read into.
func TestT11LinesAreWiped(t *testing.T) {
	t.Parallel()
	ui, answers, _ := scripted(t)
	stdin, err := ui.Screen()
	if err != nil {
		t.Fatal(err)
	}
	answer(t, answers, "97531\n")
	var seen []byte
	err = stdin.(*Terminal).prompt(t.Context(), catalog.PIN(pinPrompt()), nil, true, func(line []byte) bool {
		seen = line
		return string(line) == "97531"
	})
	if err != nil || len(seen) != 5 || !bytes.Equal(seen, make([]byte, 5)) {
		t.Errorf("prompt = %v, the line is %q", err, seen)
	}
}
