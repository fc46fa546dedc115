package pcsc

import (
	"context"
	"sync"
	"testing"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// memoryReader is a reader in memory as this package wants one.
type memoryReader struct{ *virtualcard.Reader }

func (r memoryReader) Connect() (Conn, error) {
	c, err := r.Reader.Connect()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// virtual is a virtual card in a reader in memory, and a driver for it.
type virtual struct {
	*virtualcard.Card
	reader memoryReader
	driver *Driver
}

func newVirtual(config virtualcard.Config) *virtual {
	card := virtualcard.New(config)
	return &virtual{card, memoryReader{virtualcard.NewReader("reader", 0, card)}, &Driver{}}
}

// withShortReader puts the card into a reader that takes short commands only.
func (v *virtual) withShortReader() *virtual {
	v.reader = memoryReader{virtualcard.NewReader("short reader", maxShort, v.Card)}
	return v
}

func (v *virtual) open(t testing.TB) crs.Card {
	t.Helper()
	card, err := v.driver.Open(context.Background(), v.reader)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

func (v *virtual) login(t testing.TB, card crs.Card, pin string) error {
	t.Helper()
	_, err := card.Sign(context.Background(), cardtest.PIN(pin), cardtest.NewStatement(t))
	return err
}

// mustLogin shows that the card and all around it are well: a login works.
func (v *virtual) mustLogin(t testing.TB) {
	t.Helper()
	v.Inject()
	if v.reader.Card() == nil {
		v.reader.Insert(v.Card)
	}
	if err := v.login(t, v.open(t), virtualcard.DefaultPIN); err != nil {
		t.Errorf("the next login: %v", err)
	}
}

func (v *virtual) tries() int {
	pin, _ := v.Tries()
	return pin
}

func (v *virtual) subject(card crs.Card, tells bool) cardtest.Subject {
	return cardtest.Subject{
		Card: card, PIN: virtualcard.DefaultPIN, WrongPIN: "99999", PUK: virtualcard.DefaultPUK,
		Tries: v.tries, Secrets: v.Secrets, Certificate: v.Person().Certificate.Raw, TellsRetries: tells,
	}
}

// variants are the cards that the suite runs on: every profile, and each option on one of them.
var variants = map[string]virtualcard.Config{
	"6300":                      {NoCount: true},
	"counts an empty VERIFY":    {CountEmptyVerify: true},
	"select forgets PIN":        {SelectForgetsPIN: true},
	"select forgets PIN idemia": {Profile: "idemia", SelectForgetsPIN: true},
	"decoy idemia":              {Profile: "idemia", Decoy: true},
	"decoy stincard":            {Profile: "stincard", Decoy: true},
	"other reference":           {Profile: "nfc", PINReference: 0x90},
	"other reference 6A86":      {Profile: "nfc", PINReference: 0x90, WrongReference: 0x6A86},
	"other reference 6B00":      {Profile: "stincard", PINReference: 0x10, WrongReference: 0x6B00},
	"chained only":              {Refuse: map[virtualcard.Feature]uint16{virtualcard.ExtendedAPDU: 0x6700}},
	"compute signature only":    {Refuse: map[virtualcard.Feature]uint16{virtualcard.Decipher: 0x6A81}},
	"compute signature, short":  {Refuse: map[virtualcard.Feature]uint16{virtualcard.ExtendedAPDU: 0x6700, virtualcard.Chaining: 0x6E00}},
}

func init() {
	for _, p := range virtualcard.Profiles {
		variants[p.Name] = virtualcard.Config{Profile: p.Name}
	}
}

func TestConformance(t *testing.T) {
	for name, config := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cardtest.Run(t, func(t *testing.T) cardtest.Subject {
				v := newVirtual(config)
				card := v.open(t)
				v.Forget()
				s := v.subject(card, !config.NoCount)
				// A VERIFY under a reference that does not exist compares nothing, and is
				// sent once an insertion at most: the card counts comparisons here.
				s.Secrets = func() int { return compared(v) }
				return s
			})
		})
	}
}

// compared counts the commands with a secret that the card compared.
func compared(v *virtual) int {
	n := 0
	for _, x := range v.Log() {
		if x.Secret && !sw(x.SW).otherReference() {
			n++
		}
	}
	return n
}

// memoryTries keeps the tries of PINs in memory.
type memoryTries struct {
	mu sync.Mutex
	m  map[string]crs.PINStatus
}

func (t *memoryTries) Load(cardID string) (crs.PINStatus, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.m[cardID]; ok {
		return s, nil
	}
	return crs.UnknownPINStatus, nil
}

func (t *memoryTries) Store(cardID string, s crs.PINStatus) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[string]crs.PINStatus)
	}
	t.m[cardID] = s
	return nil
}
