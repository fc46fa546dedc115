package bridge

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// onPipe is a flow in a terminal that is a pipe, on which these lines were written before, and what it
// shows.
func onPipe(t *testing.T, card crs.Card, lines string) (PINFlow, *screen.Text) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	_, err = io.WriteString(w, lines)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	shown := &screen.Text{}
	return PINFlow{Screen: dialog.NewTerminal(r, shown), Card: card, Prompt: catalog.Prompt{Lang: "it"}, Script: true}, shown
}

// TestPINForm: a PIN that no card could have is never passed on, and the user is told why.
func TestPINForm(t *testing.T) {
	t.Parallel()
	card := newTypingCard()
	card.pin.Retries = 2
	flow, shown := onPipe(t, card, "1234\n123456789\n12a45\n"+strings.Repeat("7", 5000)+"\n24680\n")
	if err := flow.Verify(t.Context()); err != nil || strings.Join(card.texts, " ") != "24680" {
		t.Fatalf("%v, sent %q", err, card.texts)
	}
	for text, times := range map[string]int{
		"Il PIN era troppo corto.":  1,
		"Il PIN era troppo lungo.":  2,
		"Il PIN è fatto solo di":    1,
		"Tentativi rimasti: 2.":     5,
		testHolder:                  5,
		"PIN (non si vede mentre ":  5,
		"nessun tentativo è andato": 4,
	} {
		t.Run(text, func(t *testing.T) {
			if n := strings.Count(strings.ReplaceAll(shown.String(), "\n", " "), text); n != times {
				t.Errorf("%q is shown %d times, want %d", text, n, times)
			}
		})
	}
}

// TestTerminalTakesBlanks: the blanks around digits are dropped, those of a token's PIN are its own.
func TestTerminalTakesBlanks(t *testing.T) {
	t.Parallel()
	token := newTypingCard()
	token.info.PINFormat = crs.PINFormat{Min: 4, Max: 16}
	for _, test := range []struct {
		card        *typingCard
		typed, want string
	}{{newTypingCard(), " 90817\t\r\n", "90817"}, {token, "secret \r\n", "secret "}} {
		flow, _ := onPipe(t, test.card, test.typed)
		if err := flow.Verify(t.Context()); err != nil || strings.Join(test.card.texts, " ") != test.want {
			t.Errorf("%q: %v, sent %q", test.typed, err, test.card.texts)
		}
	}
}

// TestT14DefaultsToNo: an empty line, or none, is no yes, no PIN and no PUK in the dialogs of a flow,
// and nothing is sent; what was typed is shown to nobody.
func TestT14DefaultsToNo(t *testing.T) {
	t.Parallel()
	for name, inputs := range map[string][]string{
		"verify":  {"", "13579\n", "87654321\n"},
		"change":  {"", "12345\n", "12345\n13579\n", "12345\n13579\n13579\n", "87654321\n"},
		"unblock": {"", "87654321\n", "87654321\n13579\n", "87654321\n13579\n13579\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, typed := range inputs {
				for _, end := range []string{"\n", ""} {
					card := newTypingCard()
					card.pin.Retries, card.puk.Retries = 1, 1
					flow, shown := onPipe(t, card, typed+end)
					if err := flows[name](flow, t.Context()); !errors.Is(err, crs.ErrCancelled) || len(card.sent) != 0 {
						t.Errorf("%s, %q: %v, %d sent", name, typed+end, err, len(card.sent))
					}
					for _, secret := range []string{"87654321", "12345", "13579"} {
						if strings.Contains(shown.String(), secret) {
							t.Errorf("%s is shown:\n%s", secret, shown)
						}
					}
				}
			}
		})
	}
}
