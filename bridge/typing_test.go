package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/test/screen"
)

// typingCard is a card of which a flow sends nothing but what the user typed, and which takes it or, if
// it has answers left, answers so.
type typingCard struct {
	crs.Card
	info     crs.Info
	pin, puk crs.PINStatus
	answers  []error
	sent     [][]*crs.PIN
	texts    []string // what was sent, before it was wiped
}

func newTypingCard(answers ...error) *typingCard {
	return &typingCard{info: newCard().info, pin: crs.UnknownPINStatus, puk: crs.UnknownPINStatus, answers: answers}
}

func (c *typingCard) take(pins ...*crs.PIN) error {
	c.sent = append(c.sent, pins)
	for _, pin := range pins {
		b, err := pin.Spend()
		if err != nil {
			return err
		}
		c.texts = append(c.texts, string(b))
	}
	if len(c.answers) == 0 {
		return nil
	}
	err := c.answers[0]
	c.answers = c.answers[1:]
	return err
}

func (c *typingCard) Info() crs.Info                                    { return c.info }
func (c *typingCard) PINStatus(context.Context) (crs.PINStatus, error)  { return c.pin, nil }
func (c *typingCard) PUKStatus(context.Context) (crs.PINStatus, error)  { return c.puk, nil }
func (c *typingCard) VerifyPIN(_ context.Context, pin *crs.PIN) error   { return c.take(pin) }
func (c *typingCard) ChangePIN(_ context.Context, a, b *crs.PIN) error  { return c.take(a, b) }
func (c *typingCard) UnblockPIN(_ context.Context, a, b *crs.PIN) error { return c.take(a, b) }

// flows are the three things that are done with a PIN.
var flows = map[string]func(PINFlow, context.Context) error{
	"verify": PINFlow.Verify, "change": PINFlow.Change, "unblock": PINFlow.Unblock,
}

func wiped(t *testing.T, u *screen.User) {
	t.Helper()
	for i, pin := range u.Typed() {
		if pin.Len() != 0 {
			t.Errorf("answer %d is not wiped", i)
		}
	}
}

// A PIN has the form that the card needs; a new one is typed twice and is not the old one; a PUK has
// its length. What is sent is what was typed last, once, and all that was typed is wiped.
func TestT11RefusedPINsAreWiped(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flow  string
		types []string
		sent  string // "" if the user gave up
	}{
		"verify":                      {"verify", []string{"13579"}, "13579"},
		"PIN of the wrong form":       {"verify", []string{"1", "abcde", "123456789", "", "13579"}, "13579"},
		"given up at the PIN":         {"verify", []string{"1", "", "2"}, ""},
		"change":                      {"change", []string{"12345", "24680", "24680"}, "12345 24680"},
		"old PIN of the wrong form":   {"change", []string{"1", "12345", "24680", "24680"}, "12345 24680"},
		"new PIN of the wrong form":   {"change", []string{"12345", "2468", "abcde", "24680", "24680"}, "12345 24680"},
		"new PIN is the old one":      {"change", []string{"12345", "12345", "24680", "24680"}, "12345 24680"},
		"not the same twice":          {"change", []string{"12345", "24680", "24681", "13579", "13579"}, "12345 13579"},
		"given up at the old PIN":     {"change", []string{}, ""},
		"given up at the new PIN":     {"change", []string{"12345"}, ""},
		"given up at the second time": {"change", []string{"12345", "24680"}, ""},
		"unblock":                     {"unblock", []string{"87654321", "24680", "24680"}, "87654321 24680"},
		"PUK of the wrong form":       {"unblock", []string{"12345", "1234567x", "123456789", "1234567", "87654321", "24680", "24680"}, "87654321 24680"},
		"given up at the PUK":         {"unblock", []string{"12345"}, ""},
		"given up after the PUK":      {"unblock", []string{"87654321", "24680"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := &screen.User{}
			u.Types(test.types...)
			card := newTypingCard()
			err := flows[test.flow](PINFlow{Screen: u, Card: card}, t.Context())
			if sent := strings.Join(card.texts, " "); sent != test.sent || len(card.sent) > 1 {
				t.Errorf("sent %q", sent)
			}
			if want := test.sent == ""; errors.Is(err, crs.ErrCancelled) != want || want && len(u.Texts()) != len(test.types)+1 {
				t.Errorf("%v, asked %s", err, u.Log())
			}
			wiped(t, u)
		})
	}
}

// Each step says what it is about, and why it is asked again, in the language of the page.
func TestTypingSaysWhy(t *testing.T) {
	t.Parallel()
	prompt := catalog.Prompt{Lang: "de", Developer: true}
	form := func(pin string) error { return catalog.CheckPIN(crs.NewPIN([]byte(pin)), newCard().info.PINFormat) }
	u, card := &screen.User{}, newTypingCard()
	u.Types("1", "12345", "2468", "12345", "24680", "24681", "24680", "24680")
	if err := (PINFlow{Screen: u, Card: card, Prompt: prompt}).Change(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := catalog.PINFlow{Card: card.info, Lang: "de", Developer: true}
	p := catalog.PINPrompt{Prompt: prompt, Card: card.info, Status: crs.UnknownPINStatus}
	again := p
	again.Last = form("1")
	want := []catalog.Text{
		c.OldPIN(p), c.OldPIN(again), c.NewPIN(false, nil), c.NewPIN(false, form("2468")), c.NewPIN(false, catalog.ErrSame),
		c.NewPIN(true, nil), c.NewPIN(false, catalog.ErrDiffer), c.NewPIN(true, nil),
	}
	if !slices.Equal(u.Texts(), want) {
		t.Errorf("change: %+v", u.Texts())
	}

	for _, tries := range []int{-1, 2, 1, 0} {
		u, card := &screen.User{}, newTypingCard()
		card.puk.Retries = tries
		u.Types("123", "87654321", "24680", "24680")
		if err := (PINFlow{Screen: u, Card: card, Prompt: prompt}).Unblock(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := catalog.PINFlow{Card: card.info, Unblock: true, Lang: "de", Developer: true}
		p := catalog.PUKPrompt{Prompt: prompt, Card: card.info, Status: crs.PINStatus{Retries: tries}}
		again := p
		again.Last = crs.ErrPINFormat
		want := []catalog.Text{c.PUK(p), c.PUK(again), c.NewPIN(false, nil), c.NewPIN(true, nil)}
		if tries == 0 || tries == 1 {
			want = append(want, c.LastPUK())
		}
		if !slices.Equal(u.Texts(), want) {
			t.Errorf("unblock, %d tries: %+v", tries, u.Texts())
		}
	}
}

// What the card just said of the tries is still shown when the next typing has the wrong form; after
// "no, this is the PUK" nothing is said of the typing before it.
func TestComplaints(t *testing.T) {
	t.Parallel()
	u, card := &screen.User{}, newTypingCard(&crs.PINError{Retries: 1})
	u.Types("11111", "1", "12345678")
	u.OnAsk(catalog.KindPINOrPUK, func(context.Context, catalog.Text) (bool, error) { return false, nil })
	err := PINFlow{Screen: u, Card: card}.Verify(t.Context())
	var refused *crs.PINError
	if !errors.Is(err, crs.ErrCancelled) || !errors.As(err, &refused) {
		t.Fatalf("given up after a refusal: %v", err)
	}
	texts := u.Texts(catalog.KindPIN)
	if len(texts) != 4 || texts[2].After != texts[1].After || texts[1].After == texts[0].After {
		t.Fatalf("the tries: %+v", texts)
	}
	if texts[1].Before == "" || texts[2].Before == texts[1].Before || texts[3].Before != "" {
		t.Errorf("the complaints: %+v", texts)
	}
	wiped(t, u)
}

// T12: before what may be the last try of a PIN or of the PUK a no, or a closed dialog, sends nothing.
func TestT12LastTries(t *testing.T) {
	t.Parallel()
	closed := errors.New("closed")
	for name, types := range map[string][]string{
		"verify": {"12345"}, "change": {"12345", "24680", "24680"}, "unblock": {"87654321", "24680", "24680"},
	} {
		t.Run(name, func(t *testing.T) {
			for left, asks := range map[int]bool{0: true, 1: true, 2: false, -1: false} {
				for answer, test := range map[string]struct {
					yes bool
					err error
				}{"yes": {true, nil}, "no": {false, nil}, "closed": {true, crs.ErrCancelled}, "fails": {true, closed}} {
					u, card := &screen.User{}, newTypingCard()
					u.Types(types...)
					u.OnAsk(catalog.KindLastTry, func(context.Context, catalog.Text) (bool, error) { return test.yes, test.err })
					card.pin.Retries, card.puk.Retries = left, 2
					if name == "unblock" {
						card.pin.Retries, card.puk.Retries = 2, left
					}
					err := flows[name](PINFlow{Screen: u, Card: card}, t.Context())
					if asked := strings.HasSuffix(u.Log(), " last"); asked != asks {
						t.Errorf("%s, %d left: asked %s", name, left, u.Log())
					}
					sends := !asks || answer == "yes"
					if (len(card.sent) == 1) != sends || (err == nil) != sends {
						t.Errorf("%s, %d left, %s: %v, sent %q", name, left, answer, err, card.texts)
					}
					if answer == "fails" && asks && !errors.Is(err, closed) || answer == "no" && asks && !errors.Is(err, crs.ErrCancelled) {
						t.Errorf("%s, %d left, %s: %v", name, left, answer, err)
					}
					wiped(t, u)
				}
			}
		})
	}
}

// Rule 10: eight digits in a PIN field are a question, neither refused nor sent without a yes; what is
// no PUK is not taken for one.
func TestRule10PINorPUK(t *testing.T) {
	t.Parallel()
	closed := errors.New("closed")
	eight := crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}
	letters := crs.PINFormat{Min: 4, Max: 16}
	for name, test := range map[string]struct {
		flow   string
		format crs.PINFormat
		types  []string
		isPIN  bool
		err    error
		sent   string
		asked  int
	}{
		"yes":                   {"verify", crs.PINFormat{}, []string{"12345678"}, true, nil, "12345678", 1},
		"no":                    {"verify", crs.PINFormat{}, []string{"12345678", "13579"}, false, nil, "13579", 1},
		"no, and no more":       {"verify", crs.PINFormat{}, []string{"12345678"}, false, nil, "", 1},
		"closed":                {"verify", crs.PINFormat{}, []string{"12345678"}, true, crs.ErrCancelled, "", 1},
		"fails":                 {"verify", crs.PINFormat{}, []string{"12345678"}, true, closed, "", 1},
		"seven":                 {"verify", crs.PINFormat{}, []string{"1234567"}, false, nil, "1234567", 0},
		"all PINs have eight":   {"verify", eight, []string{"12345678"}, false, nil, "12345678", 0},
		"a token":               {"verify", letters, []string{"12345678"}, false, nil, "12345678", 0},
		"change, yes":           {"change", crs.PINFormat{}, []string{"87654321", "24680", "24680"}, true, nil, "87654321 24680", 1},
		"change, no":            {"change", crs.PINFormat{}, []string{"87654321", "12345", "24680", "24680"}, false, nil, "12345 24680", 1},
		"the PIN as the PUK":    {"unblock", crs.PINFormat{}, []string{"12345", "1234567", "123456789"}, true, nil, "", 0},
		"a new PIN may be long": {"unblock", crs.PINFormat{}, []string{"87654321", "11112222", "11112222"}, true, nil, "87654321 11112222", 0},
	} {
		t.Run(name, func(t *testing.T) {
			u, card := &screen.User{}, newTypingCard()
			if test.format.Max != 0 {
				card.info.PINFormat = test.format
			}
			u.Types(test.types...)
			u.OnAsk(catalog.KindPINOrPUK, func(context.Context, catalog.Text) (bool, error) { return test.isPIN, test.err })
			err := flows[test.flow](PINFlow{Screen: u, Card: card}, t.Context())
			if sent := strings.Join(card.texts, " "); sent != test.sent || (err == nil) != (sent != "") {
				t.Errorf("%v, sent %q", err, sent)
			}
			if n := len(u.Texts(catalog.KindPINOrPUK)); n != test.asked {
				t.Errorf("asked %d times", n)
			}
			wiped(t, u)
		})
	}
}

// A PIN that was pasted with a line end, or typed with a blank behind it, is taken like the digits
// alone, and so are a PUK and a new PIN. The blanks of a token's PIN are its own.
func TestBlanks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flow  string
		token bool
		types []string
		sent  string
	}{
		"PIN":     {"verify", false, []string{"13579\r\n"}, "13579"},
		"within":  {"verify", false, []string{"13 579", "\t13579\r\n"}, "13579"},
		"change":  {"change", false, []string{" 13579 ", "24680\u00a0", "24680"}, "13579 24680"},
		"unblock": {"unblock", false, []string{"87654321 ", "24680", "24680"}, "87654321 24680"},
		"token":   {"verify", true, []string{" a b c \n"}, " a b c "},
	} {
		t.Run(name, func(t *testing.T) {
			u, card := &screen.User{}, newTypingCard()
			if test.token {
				card.info.PINFormat = crs.PINFormat{Min: 4, Max: 16}
			}
			u.Types(test.types...)
			if err := flows[test.flow](PINFlow{Screen: u, Card: card}, t.Context()); err != nil || strings.Join(card.texts, " ") != test.sent {
				t.Errorf("%v, sent %q", err, card.texts)
			}
		})
	}
}

// A script wrote its lines before it was asked: one refusal ends the flow, and no line that was meant
// for something else is taken for a second PIN or PUK. A person is asked again.
func TestRule1ScriptIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][]string{
		"verify": {"11111"}, "change": {"11111", "24680", "24680"}, "unblock": {"11111111", "24680", "24680"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, script := range []bool{true, false} {
				wrong := &crs.PINError{Retries: 2, PUK: name == "unblock"}
				u, card := &screen.User{}, newTypingCard(wrong)
				u.Types(append(slices.Clone(types), types...)...)
				err := flows[name](PINFlow{Screen: u, Card: card, Script: script}, t.Context())
				var refused *crs.PINError
				if script && (len(card.sent) != 1 || !errors.As(err, &refused) || errors.Is(err, crs.ErrCancelled)) {
					t.Errorf("%s, a script: %v, %d sent", name, err, len(card.sent))
				}
				if !script && (len(card.sent) != 2 || err != nil) {
					t.Errorf("%v, %d sent", err, len(card.sent))
				}
				wiped(t, u)
			}
		})
	}
}

// What cannot be done with a card is said before anything is asked.
func TestRefusalsComeFirst(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flow   string
		change func(*typingCard)
		able   bool
		want   error
	}{
		"verify, unable":       {"verify", func(*typingCard) {}, false, crs.ErrPINUnsupported},
		"change, unable":       {"change", func(*typingCard) {}, false, crs.ErrPINUnsupported},
		"unblock, unable":      {"unblock", func(*typingCard) {}, false, crs.ErrPINUnsupported},
		"unblock, no PUK":      {"unblock", func(c *typingCard) { c.info.PUKFormat = crs.PINFormat{} }, true, crs.ErrPINUnsupported},
		"change, no PUK":       {"change", func(c *typingCard) { c.info.PUKFormat = crs.PINFormat{} }, true, nil},
		"change, contactless":  {"change", func(c *typingCard) { c.info.Contactless = true }, true, crs.ErrContactless},
		"unblock, contactless": {"unblock", func(c *typingCard) { c.info.Contactless = true }, true, crs.ErrContactless},
		"verify, contactless":  {"verify", func(c *typingCard) { c.info.Contactless = true }, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			u, card := newUser(), newTypingCard()
			test.change(card)
			flow := PINFlow{Screen: u, Card: card}
			if !test.able {
				flow.Card = struct{ crs.Card }{card}
			}
			err := flows[test.flow](flow, t.Context())
			if !errors.Is(err, test.want) || test.want != nil && (u.Log() != "" || len(card.sent) != 0) {
				t.Errorf("%v, asked %s", err, u.Log())
			}
		})
	}
}

// A screen that is not there, or answers with nothing, is an error and never an answer.
func TestFlowWithoutAScreen(t *testing.T) {
	t.Parallel()
	none := errors.New("no screen")
	nothing := &screen.User{}
	for _, k := range []catalog.Kind{catalog.KindPIN, catalog.KindOldPIN, catalog.KindPUK} {
		nothing.OnPIN(k, answers("", nil))
	}
	for what, s := range map[string]dialog.Screen{"none": dialog.Chosen(func() (dialog.Screen, error) { return nil, none }), "nothing": nothing} {
		t.Run(what, func(t *testing.T) {
			for name, do := range flows {
				card := newTypingCard()
				err := do(PINFlow{Screen: s, Card: card}, t.Context())
				if err == nil || what == "none" && !errors.Is(err, none) || errors.Is(err, crs.ErrCancelled) || len(card.sent) != 0 {
					t.Errorf("%s, %s: %v", what, name, err)
				}
			}
		})
	}
}
