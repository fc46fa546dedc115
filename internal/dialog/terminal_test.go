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

// scripted returns a terminal that is a pipe, what to write answers to, and what it shows.
func scripted(t *testing.T) (ui *Terminal, answers io.WriteCloser, shown *screen.Text) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); r.Close() })
	shown = &screen.Text{}
	return NewTerminal(r, shown), w, shown
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

func pickCard(ctx context.Context, on *Terminal, cards []crs.Info) (int, error) {
	text, rows := catalog.PickCard(portal, cards)
	return on.Choose(ctx, text, rows)
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

	if yes, err := ui.Ask(ctx, catalog.AllowSite(portal)); err != nil || !yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := ui.Wait(short, catalog.InsertCard(portal, []crs.Reader{{Name: "Reader 0", Err: crs.ErrNoCNS}})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("InsertCard = %v", err)
	}
	if i, err := pickCard(ctx, ui, []crs.Info{rossi, bianca}); err != nil || i != 1 {
		t.Errorf("PickCard = %d, %v", i, err)
	}
	if yes, err := ui.Ask(ctx, catalog.SharePersonalData(portal, bianca)); err != nil || !yes {
		t.Errorf("SharePersonalData = %v, %v", yes, err)
	}
	pin, err := ui.AskPIN(ctx, catalog.PIN(pinPrompt()))
	if err != nil || digits(t, pin) != "90817" {
		t.Errorf("AskPIN = %v, %v", pin, err)
	}
	if yes, err := ui.Ask(ctx, catalog.LastTry(pinPrompt())); err != nil || yes {
		t.Errorf("ConfirmLastTry = %v, %v", yes, err)
	}
	if err := ui.Tell(ctx, catalog.Report(portal, crs.ErrPINBlocked)); err != nil {
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
		_, err1 := ui.Ask(ctx, catalog.AllowSite(portal))
		_, err2 := pickCard(ctx, ui, []crs.Info{rossi, bianca})
		_, err3 := ui.Ask(ctx, catalog.SharePersonalData(portal, rossi))
		pin, err4 := ui.AskPIN(ctx, catalog.PIN(pinPrompt()))
		_, err5 := ui.Ask(ctx, catalog.LastTry(pinPrompt()))
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
	if yes, err := ui.Ask(ctx, catalog.AllowSite(portal)); err != nil || !yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
	if i, err := pickCard(ctx, ui, []crs.Info{rossi, bianca}); err != nil || i != 0 {
		t.Errorf("PickCard = %d, %v", i, err)
	}
	if n := strings.Count(shown.String(), "Questa risposta non è valida."); n != 6 {
		t.Errorf("asked again %d times, want 6", n)
	}
}

// TestYesAndNo: yes and no may be said in any of the languages, no matter which one the question is
// in.
func TestYesAndNo(t *testing.T) {
	t.Parallel()
	for lang, prompt := range map[string]string{"it": "s = Sì", "en": "s or y = Yes", "de": "j = Ja"} {
		question := portal
		question.Lang = lang
		for _, word := range []string{"s", "si", "sì", "y", "yes", "j", "J", "ja", "n", "no", "nein"} {
			ui, answers, shown := scripted(t)
			answer(t, answers, word+"\n")
			answers.Close()
			yes, err := ui.Ask(t.Context(), catalog.AllowSite(question))
			if err != nil || yes != !strings.HasPrefix(word, "n") || !strings.Contains(shown.String(), prompt) {
				t.Errorf("%s, %q: AllowSite = %v, %v\n%s", lang, word, yes, err, shown)
			}
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
			_, err := ui.Ask(ctx, catalog.AllowSite(portal))
			ended <- err
		}()
		shown.Await(t, "annulla: ")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("AllowSite = %v", err)
		}
	}
	answer(t, answers, "86420\nn\n")
	pin, err := ui.AskPIN(t.Context(), catalog.PIN(pinPrompt()))
	if err != nil || digits(t, pin) != "86420" {
		t.Errorf("AskPIN = %v, %v", pin, err)
	}
	if yes, err := ui.Ask(t.Context(), catalog.AllowSite(portal)); err != nil || yes {
		t.Errorf("AllowSite = %v, %v", yes, err)
	}
}

// TestOnePromptAtATime: a second prompt waits for the first, and not longer than its context.
func TestOnePromptAtATime(t *testing.T) {
	t.Parallel()
	ui, answers, shown := scripted(t)
	first := make(chan error)
	go func() {
		_, err := ui.Ask(t.Context(), catalog.AllowSite(portal))
		first <- err
	}()
	shown.Await(t, "annulla: ")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ui.AskPIN(ctx, catalog.PIN(pinPrompt())); !errors.Is(err, context.DeadlineExceeded) {
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
	if _, err := ui.Ask(ctx, catalog.AllowSite(portal)); !errors.Is(err, context.Canceled) || shown.String() != "" {
		t.Errorf("AllowSite = %v, %q", err, shown)
	}
	if yes, err := ui.Ask(t.Context(), catalog.AllowSite(portal)); err != nil || !yes {
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
	pickCard(ctx, ui, []crs.Info{evil, rossi})
	ui.Ask(ctx, catalog.SharePersonalData(portal, evil))
	ui.AskPIN(ctx, catalog.PIN(p))
	ui.Ask(ctx, catalog.LastTry(p))
	ui.Tell(ctx, catalog.Report(portal, errors.New("\x1b[2Jevil")))
	ui.Tell(ctx, catalog.Text{Title: "\x1b[2J", After: "\x07"})
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
	answer(t, answers, "97531\n")
	var seen []byte
	err := ui.prompt(t.Context(), catalog.PIN(pinPrompt()), nil, true, func(line []byte) bool {
		seen = line
		return string(line) == "97531"
	})
	if err != nil || len(seen) != 5 || !bytes.Equal(seen, make([]byte, 5)) {
		t.Errorf("prompt = %v, the line is %q", err, seen)
	}
}
