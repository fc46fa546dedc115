package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

const (
	rightPIN = virtualcard.DefaultPIN
	wrongPIN = "99999"
)

// Rule 1: whatever happens after the bytes went out, one typing is one VERIFY, and the user is
// told that the try may have been counted.
func TestRule1OneTypingOneVERIFY(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	for name, fault := range map[string]virtualcard.Fault{
		"no bytes":            {INS: insVerify, Mute: true},
		"no bytes, counted":   {INS: insVerify, Mute: true, After: true},
		"6C08":                {INS: insVerify, SW: 0x6C08},
		"6C08, counted":       {INS: insVerify, SW: 0x6C08, After: true},
		"6110":                {INS: insVerify, SW: 0x6110},
		"6F00":                {INS: insVerify, SW: 0x6F00, After: true},
		"6982":                {INS: insVerify, SW: 0x6982},
		"6985":                {INS: insVerify, SW: 0x6985},
		"6700":                {INS: insVerify, SW: 0x6700},
		"6A80":                {INS: insVerify, SW: 0x6A80},
		"pulled before":       {INS: insVerify, Remove: true},
		"pulled after":        {INS: insVerify, Remove: true, After: true},
		"never answers":       {INS: insVerify, Hang: never},
		"never answers after": {INS: insVerify, Hang: never, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{})
			v.driver.Timeouts = Timeouts{PIN: 50 * time.Millisecond}
			card := v.open(t)
			v.Forget()
			v.Inject(fault)
			err := v.login(t, card, rightPIN)
			var refused *crs.PINError
			if !errors.As(err, &refused) || !refused.Uncertain || refused.Blocked || refused.Retries != -1 {
				t.Errorf("error %v", err)
			}
			if v.Count(insVerify) != 1 || v.Secrets() != 1 {
				t.Errorf("%d VERIFY, %d secrets", v.Count(insVerify), v.Secrets())
			}
			if n := v.Count(insPSO); n != 0 {
				t.Errorf("%d PSO after it", n)
			}
			if status, _ := card.PINStatus(context.Background()); status != (crs.PINStatus{Retries: 2, Doubtful: true}) {
				t.Errorf("kept %+v", status)
			}
		})
	}
}

// Rule 1: after a lost answer the login begins again at the identity check, with a new typing.
func TestRule1BeginsAgainAtTheIdentityCheck(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.Inject(virtualcard.Fault{INS: insVerify, Mute: true, At: 1})
	if err := v.login(t, card, rightPIN); err == nil {
		t.Fatal("no error")
	}
	v.Forget()
	if err := v.login(t, card, rightPIN); err != nil {
		t.Fatal(err)
	}
	log := v.Log()
	if log[0].INS != insSelect || log[1].INS != insReadBinary || log[2].INS != insVerify {
		t.Errorf("the second login began with %+v", log[:3])
	}
}

// Rule 2: a VERIFY goes only to a card that proved to be a CNS with this very certificate.
func TestRule2NoVERIFYOnAForeignCard(t *testing.T) {
	person := func(id virtualcard.Identity) *virtualcard.Person {
		id.Key = virtualcard.Shared(2048).Key
		p, err := virtualcard.NewPerson(id)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	der := virtualcard.Shared(2048).Certificate.Raw
	for name, config := range map[string]virtualcard.Config{
		"bare card behind a CNS ATR": {Foreign: virtualcard.ForeignBare},
		"IAS card with a PIN 10h":    {Foreign: virtualcard.ForeignIAS},
		"IAS card, contactless":      {Foreign: virtualcard.ForeignIAS, Profile: "nfc"},
		"IAS card, STIncard":         {Foreign: virtualcard.ForeignIAS, Profile: "stincard"},
		"signature certificate": {Person: person(virtualcard.Identity{
			KeyUsage: 1<<0 | 1<<1})}, // digitalSignature and nonRepudiation
		"no CNS policy":          {Person: person(virtualcard.Identity{Policies: []string{"1.3.76.47.4"}})},
		"another card's id":      {Files: map[string][]byte{"1000/1003": []byte("6999999999999999")}},
		"id too short":           {Files: map[string][]byte{"1000/1003": []byte("6999999")}},
		"id not of text":         {Files: map[string][]byte{"1000/1003": []byte("69999990000000\xe0\n")}},
		"id of no characters":    {Files: map[string][]byte{"1000/1003": make([]byte, 16)}},
		"no id":                  {Files: map[string][]byte{"1000/1003": nil}},
		"no certificate":         {Files: map[string][]byte{"1100/1101": nil}},
		"empty certificate":      {Files: map[string][]byte{"1100/1101": {}}},
		"zeroes":                 {Files: map[string][]byte{"1100/1101": make([]byte, 2048)}},
		"cut off":                {Files: map[string][]byte{"1100/1101": der[:len(der)-1]}},
		"one bit":                {Files: map[string][]byte{"1100/1101": flip(der, 9)}},
		"length lies":            {Files: map[string][]byte{"1100/1101": flip(der, 3)}},
		"length beyond all":      {Files: map[string][]byte{"1100/1101": {0x30, 0x82, 0xFF, 0xFF, 0, 0}}},
		"length of length lies":  {Files: map[string][]byte{"1100/1101": {0x30, 0x84, 0xFF, 0xFF, 0, 0}}},
		"wrapper length lies":    {Profile: "infocamere", Files: map[string][]byte{"2FFF/8228": append([]byte{0, 0, 9, 0, 0}, der...)}},
		"wrapper without inside": {Profile: "infocamere", Files: map[string][]byte{"2FFF/8228": {0, 5, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(config)
			want := crs.ErrNoCNS
			for err, names := range rule2Others {
				if slices.Contains(names, name) {
					want = err
				}
			}
			card, err := v.driver.Open(context.Background(), v.reader)
			if card != nil || !errors.Is(err, want) || crs.CodeOf(err) != crs.ErrCardUnusable {
				t.Errorf("opened as %v, %v", card, err)
			}
			// It is logged, and may say nothing of whose card it is (T24).
			if text := fmt.Sprint(err); strings.Contains(text, "6999999") || strings.Contains(text, v.Person().CardID) {
				t.Errorf("error %q", text)
			}
			for _, x := range v.Log() {
				if x.INS != insSelect && x.INS != insReadBinary {
					t.Errorf("INS %02X was sent", x.INS)
				}
			}
			if v.tries() != 3 {
				t.Error("a try was spent")
			}
		})
	}
}

// rule2Others are the cards of TestRule2NoVERIFYOnAForeignCard that are not called foreign: the ATR says
// that they are health cards, or EF_IDCarta does.
var rule2Others = map[error][]string{
	crs.ErrUnknownModel: {"bare card behind a CNS ATR", "IAS card with a PIN 10h", "IAS card, STIncard", "id too short",
		"id not of text", "id of no characters", "no id", "no certificate"},
	crs.ErrCertificate: {"empty certificate", "zeroes", "cut off", "one bit", "length lies", "length beyond all",
		"length of length lies", "wrapper length lies", "wrapper without inside"},
}

func flip(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 0x40
	return c
}

// Rule 2 and T21: the card is swapped for another of the same ATR between dialog and VERIFY.
func TestT21SwappedCard(t *testing.T) {
	other, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "BRUNA", Surname: "MODELLO", Key: virtualcard.Shared(2048).Key})
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]virtualcard.Config{
		"another citizen's": {Person: other},
		"a foreign one":     {Foreign: virtualcard.ForeignIAS},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{})
			card := v.open(t)
			swapped := virtualcard.New(config)
			v.reader.Insert(swapped)
			if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCardRemoved) {
				t.Errorf("error %v", err)
			}
			if swapped.Secrets() != 0 || v.Secrets() != 0 {
				t.Error("a PIN was sent")
			}
			if _, err := card.(crs.PersonalDataReader).PersonalData(context.Background()); !errors.Is(err, crs.ErrCardRemoved) {
				t.Errorf("personal data: %v", err)
			}
			v.reader.Remove()
			v.mustLogin(t)
		})
	}
}

// Rule 3: the other reference only after an answer that says "no such PIN", once, and it is
// remembered for the insertion.
func TestRule3OtherReference(t *testing.T) {
	for _, none := range []uint16{0x6A88, 0x6A86, 0x6B00} {
		v := newVirtual(virtualcard.Config{Profile: "stincard", PINReference: 0x10, WrongReference: none})
		card := v.open(t)
		for login := range 3 {
			v.Forget()
			if err := v.login(t, card, rightPIN); err != nil {
				t.Fatal(err)
			}
			var refs []byte
			for _, x := range v.Log() {
				if x.INS == insVerify {
					refs = append(refs, x.P2)
				}
			}
			want := []byte{0x10}
			if login == 0 {
				want = []byte{0x90, 0x10}
			}
			if !bytes.Equal(refs, want) {
				t.Errorf("%04X, login %d: references % X", none, login, refs)
			}
		}
	}
	for _, status := range []uint16{0x6300, 0x63C2, 0x63C0, 0x6982, 0x6983, 0x6984, 0x6985, 0x6700, 0x6A80, 0x6F00} {
		v := newVirtual(virtualcard.Config{})
		card := v.open(t)
		v.Forget()
		v.Inject(virtualcard.Fault{INS: insVerify, SW: status})
		if err := v.login(t, card, rightPIN); err == nil {
			t.Errorf("%04X: no error", status)
		}
		if v.Count(insVerify) != 1 {
			t.Errorf("%04X: %d VERIFY", status, v.Count(insVerify))
		}
	}
	// A 6300 compared the PIN: from then on that reference is the only one, also after a 6A88.
	v := newVirtual(virtualcard.Config{NoCount: true})
	card := v.open(t)
	v.login(t, card, wrongPIN)
	v.Forget()
	v.Inject(virtualcard.Fault{INS: insVerify, SW: 0x6A88})
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrPINUnusable) || v.Count(insVerify) != 1 {
		t.Errorf("6A88 after 6300: %v, %d VERIFY", err, v.Count(insVerify))
	}
	// Neither reference exists: no try was spent, and nothing is kept.
	v = newVirtual(virtualcard.Config{})
	card = v.open(t)
	v.Forget()
	v.Inject(virtualcard.Fault{INS: insVerify, SW: 0x6A88})
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrPINUnusable) || crs.CodeOf(err) != crs.ErrCardUnusable {
		t.Error(err)
	}
	if status, _ := card.PINStatus(context.Background()); status != crs.UnknownPINStatus || v.Count(insVerify) != 2 {
		t.Errorf("kept %+v after %d VERIFY", status, v.Count(insVerify))
	}
}

// Rule 3: under the signature DF a second PIN 10h waits for those who search upwards.
func TestRule3DecoyUnderTheSignatureDF(t *testing.T) {
	for _, profile := range []string{"idemia", "stincard", "infocamere", "st"} {
		v := newVirtual(virtualcard.Config{Profile: profile, Decoy: true})
		card := v.open(t)
		v.login(t, card, wrongPIN)
		if err := v.login(t, card, rightPIN); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		if v.DecoyTries() != 3 {
			t.Errorf("%s: the signature PIN lost a try", profile)
		}
	}
	// A card that refuses 10h although its key is under 1400 is not asked for 90h there.
	v := newVirtual(virtualcard.Config{Profile: "idemia", PINReference: 0x90, Decoy: true})
	if err := v.login(t, v.open(t), rightPIN); !errors.Is(err, crs.ErrPINUnusable) {
		t.Error(err)
	}
	if v.DecoyTries() != 3 || v.Count(insVerify) != 1 {
		t.Errorf("decoy has %d tries, %d VERIFY", v.DecoyTries(), v.Count(insVerify))
	}
}

// Rule 3: nothing is selected between VERIFY and PSO, and the DF before VERIFY is the row's.
func TestRule3NothingSelectedAfterVERIFY(t *testing.T) {
	for name, config := range variants {
		v := newVirtual(config)
		card := v.open(t)
		v.Forget()
		if err := v.login(t, card, rightPIN); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		verified := false
		for _, x := range v.Log() {
			verified = verified || x.INS == insVerify && x.SW == 0x9000
			if verified && (x.INS == insSelect || x.INS == insReadBinary) {
				t.Errorf("%s: INS %02X after VERIFY", name, x.INS)
			}
		}
	}
}

// Rule 4: no VERIFY without data, on any card, by any of the driver's functions.
func TestRule4NoEmptyVERIFY(t *testing.T) {
	v := newVirtual(virtualcard.Config{CountEmptyVerify: true})
	card := v.open(t)
	card.Certificate(context.Background())
	card.PINStatus(context.Background())
	card.(crs.PersonalDataReader).PersonalData(context.Background())
	v.login(t, card, "1234")
	v.login(t, card, rightPIN)
	for _, x := range v.Log() {
		if x.INS == insVerify && !x.Secret {
			t.Error("an empty VERIFY was sent")
		}
	}
	if v.tries() != 3 {
		t.Errorf("%d tries left", v.tries())
	}
}

// Rule 4: the bound outlives the card object, is the smaller of what is kept and what the card
// tells, and is cleared by 9000.
func TestRule4BoundIsKept(t *testing.T) {
	status := func(card crs.Card) crs.PINStatus {
		s, err := card.PINStatus(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	v := newVirtual(virtualcard.Config{NoCount: true})
	v.login(t, v.open(t), wrongPIN)
	if s := status(v.open(t)); s != (crs.PINStatus{Retries: 2, Doubtful: true}) || s.LastTry() {
		t.Errorf("after one 6300: %+v", s)
	}
	v.login(t, v.open(t), wrongPIN)
	// The extra yes is asked after a second wrong PIN without a number.
	if s := status(v.open(t)); s != (crs.PINStatus{Retries: 1, Doubtful: true}) || !s.LastTry() {
		t.Errorf("after two 6300: %+v", s)
	}
	if err := v.login(t, v.open(t), rightPIN); err != nil {
		t.Fatal(err)
	}
	if s := status(v.open(t)); s != crs.UnknownPINStatus {
		t.Errorf("after 9000: %+v", s)
	}

	v = newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.login(t, card, wrongPIN)
	if s := status(card); s != (crs.PINStatus{Retries: 2}) {
		t.Errorf("after 63C2: %+v", s)
	}
	v.Inject(virtualcard.Fault{INS: insVerify, SW: 0x6984})
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrPINUnusable) || crs.CodeOf(err) == crs.ErrPINBlocked {
		t.Errorf("6984: %v", err)
	}
}

// storeOnce fails after the first write, as a disk that fills up.
type storeOnce struct {
	memoryTries
	writes int
}

func (s *storeOnce) Store(id string, status crs.PINStatus) error {
	if s.writes++; s.writes > 1 {
		return errors.New("disk full")
	}
	return s.memoryTries.Store(id, status)
}

// Rule 4: the try is kept before the command leaves: a process that dies in between, or a disk
// that fills up, does not hide it.
func TestRule4TheTryIsCountedBeforeItIsSent(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	store := &storeOnce{}
	v.driver.Tries = &tries.Book{Store: store}
	card := v.open(t)
	v.login(t, card, wrongPIN)
	if s, _ := store.Load(card.Info().ID); s.Retries != 2 {
		t.Errorf("kept %+v", s)
	}
}

// Rule 5: the order of methods, on which answers the next is tried, and that one is remembered.
func TestRule5SignatureMethods(t *testing.T) {
	pso := func(v *virtual) (methods []string) {
		for _, x := range v.Log() {
			switch {
			case x.INS == insPSO && x.P1 == 0x9E:
				methods = append(methods, "compute")
			case x.INS == insPSO && x.CLA == claChained:
				methods = append(methods, "chained")
			case x.INS == insPSO && x.Sent > 260:
				methods = append(methods, "extended")
			case x.INS == insPSO:
				methods = append(methods, "short")
			}
		}
		return methods
	}
	type refuse = map[virtualcard.Feature]uint16
	for name, test := range map[string]struct {
		config        virtualcard.Config
		short         bool // reader
		first, second string
	}{
		"extended":                    {virtualcard.Config{}, false, "extended", "extended"},
		"idemia":                      {virtualcard.Config{Profile: "idemia"}, false, "extended", "extended"},
		"RSA-1024":                    {virtualcard.Config{Profile: "v1"}, false, "short", "short"},
		"T=0":                         {virtualcard.Config{Profile: "t0"}, false, "chained short", "chained short"},
		"short reader":                {virtualcard.Config{Profile: "idemia"}, true, "chained short", "chained short"},
		"refuses 80 86":               {virtualcard.Config{Refuse: refuse{virtualcard.Decipher: 0x6A81}}, false, "extended chained short compute", "compute"},
		"refuses 80 86 and chaining":  {virtualcard.Config{Refuse: refuse{virtualcard.Decipher: 0x6D00, virtualcard.Chaining: 0x6884}}, false, "extended chained compute", "compute"},
		"short reader, no chaining":   {virtualcard.Config{Refuse: refuse{virtualcard.Chaining: 0x6E00}}, true, "chained compute", "compute"},
		"extended for reading only":   {virtualcard.Config{Refuse: refuse{virtualcard.ExtendedAPDU: 0x6700}}, false, "chained short", "chained short"},
		"no key under B8":             {virtualcard.Config{Refuse: refuse{virtualcard.Confidentiality: 0x6A88}}, false, "compute", "compute"},
		"no key under B8, chaining":   {virtualcard.Config{Profile: "t0", Refuse: refuse{virtualcard.Confidentiality: 0x6A80}}, false, "compute", "compute"},
		"B8 not under this DF":        {virtualcard.Config{Profile: "idemia", Refuse: refuse{virtualcard.Confidentiality: 0x6981}}, false, "compute", "compute"},
		"B8 unknown":                  {virtualcard.Config{Refuse: refuse{virtualcard.Confidentiality: 0x6A86}}, false, "compute", "compute"},
		"B8 unknown, RSA-1024":        {virtualcard.Config{Profile: "v1", Refuse: refuse{virtualcard.Confidentiality: 0x6A81}}, false, "compute", "compute"},
		"RSA-1024, compute signature": {virtualcard.Config{Profile: "v1", Refuse: refuse{virtualcard.Decipher: 0x6A86, virtualcard.Chaining: 0x6883}}, false, "short short compute", "compute"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(test.config)
			if test.short {
				v = v.withShortReader()
			}
			card := v.open(t)
			for i, want := range []string{test.first, test.second} {
				v.Forget()
				if err := v.login(t, card, rightPIN); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(pso(v), " "); got != want {
					t.Errorf("login %d: %s", i+1, got)
				}
				if n := v.Secrets(); n != 1 {
					t.Errorf("login %d: %d secrets for one typing", i+1, n)
				}
			}
		})
	}
}

// Rule 5: a refusal of PIN or key, an odd answer and a lost connection end the login at once.
func TestRule5NoNextMethod(t *testing.T) {
	for name, fault := range map[string]virtualcard.Fault{
		"6982": {INS: insPSO, SW: 0x6982}, "6983": {INS: insPSO, SW: 0x6983}, "6984": {INS: insPSO, SW: 0x6984},
		"6985": {INS: insPSO, SW: 0x6985}, "6A80": {INS: insPSO, SW: 0x6A80}, "6F00": {INS: insPSO, SW: 0x6F00},
		"6C80": {INS: insPSO, SW: 0x6C80}, "no bytes": {INS: insPSO, Mute: true}, "pulled": {INS: insPSO, Remove: true},
		"wrong signature": {INS: insPSO, Corrupt: true},
		"MSE refused":     {INS: insMSE, SW: 0x6A88},
		// The answers of a PIN to the MSE SET, which is the second MSE.
		"MSE SET 6982": {INS: insMSE, At: 2, SW: 0x6982}, "MSE SET 6983": {INS: insMSE, At: 2, SW: 0x6983},
		"MSE SET 6984": {INS: insMSE, At: 2, SW: 0x6984}, "MSE SET 6985": {INS: insMSE, At: 2, SW: 0x6985},
		"MSE SET 63C2": {INS: insMSE, At: 2, SW: 0x63C2}, "MSE SET 6300": {INS: insMSE, At: 2, SW: 0x6300},
		"MSE SET 6F00": {INS: insMSE, At: 2, SW: 0x6F00}, "MSE SET pulled": {INS: insMSE, At: 2, Remove: true},
		"MSE SET no bytes": {INS: insMSE, At: 2, Mute: true},
		// What an MSE SET may answer and a PSO may not.
		"PSO 6A88": {INS: insPSO, SW: 0x6A88}, "PSO 6981": {INS: insPSO, SW: 0x6981},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{Profile: "idemia"})
			card := v.open(t)
			v.Forget()
			v.Inject(fault)
			err := v.login(t, card, rightPIN)
			var refused *crs.PINError
			if err == nil || errors.As(err, &refused) || crs.CodeOf(err) != crs.ErrCard {
				t.Errorf("error %v", err)
			}
			if v.Count(insPSO) > 1 || v.Count(insMSE) > 2 || v.Secrets() != 1 {
				t.Errorf("%d PSO, %d MSE, %d secrets", v.Count(insPSO), v.Count(insMSE), v.Secrets())
			}
			v.mustLogin(t)
		})
	}
}

// Rule 5: at most three PSO a login, and the card may be asked again in the next.
func TestRule5AtMostThreeMethods(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.Forget()
	v.Inject(virtualcard.Fault{INS: insPSO, SW: 0x6A81})
	if err := v.login(t, card, rightPIN); crs.CodeOf(err) != crs.ErrCard {
		t.Error(err)
	}
	if n := v.Count(insPSO); n != 3 {
		t.Errorf("%d PSO", n)
	}
	v.Inject()
	if err := v.login(t, card, rightPIN); err != nil {
		t.Error(err)
	}
}

// Rule 5: a key that is under neither template ends the login before any PSO, and is said to be a card
// that cannot sign.
func TestRule5KeyUnderNoTemplate(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	card := v.open(t)
	v.Forget()
	v.Inject(virtualcard.Fault{INS: insMSE, At: 2, SW: 0x6A88}, virtualcard.Fault{INS: insMSE, At: 3, SW: 0x6A80})
	if err := v.login(t, card, rightPIN); !errors.Is(err, crs.ErrCannotSign) {
		t.Error(err)
	}
	if v.Count(insMSE) != 3 || v.Count(insPSO) != 0 || v.Secrets() != 1 {
		t.Errorf("%d MSE, %d PSO, %d secrets", v.Count(insMSE), v.Count(insPSO), v.Secrets())
	}
	v.Inject()
	v.mustLogin(t)
}

// Rule 8, T19: after a login of any outcome, a second program finds no PIN state on the card.
func TestRule8NoStateIsLeft(t *testing.T) {
	for name, fault := range map[string]virtualcard.Fault{
		"login": {}, "PSO refused": {INS: insPSO, SW: 0x6985}, "MSE refused": {INS: insMSE, SW: 0x6A88},
		"PSO lost": {INS: insPSO, Mute: true}, "VERIFY lost": {INS: insVerify, Mute: true, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtual(virtualcard.Config{})
			card := v.open(t)
			v.Inject(fault)
			v.login(t, card, rightPIN)
			v.Inject()
			if got := signWithoutPIN(t, v.reader); got != 0x6982 {
				t.Errorf("a second program got %v", got)
			}
			v.mustLogin(t)
		})
	}
}

// signWithoutPIN is a second program that hopes for a card left open.
func signWithoutPIN(t *testing.T, r Reader) (status sw) {
	t.Helper()
	for {
		err := new(Driver).transaction(context.Background(), r, txn{}, func(s *session) error {
			s.identified = true
			c := &cns{driver: new(Driver), layout: layouts[0], keySize: 256, extended: true}
			_, err := c.signDigest(s, make([]byte, 32))
			return err
		})
		switch {
		case errors.As(err, &status):
			return status
		case err == nil:
			return swOK
		case !errors.Is(err, crs.ErrCardReset): // a reset may still be on its way
			t.Fatal(err)
		}
	}
}

// Rule 8: the reading at insertion, also of a card that is none, and of the personal data change
// nothing, reset nothing, and end at the MF.
func TestRule8ReadingLeavesTheCardAtTheMF(t *testing.T) {
	configs := maps.Clone(variants)
	configs["no certificate"] = virtualcard.Config{Files: map[string][]byte{"1100/1101": nil}}
	configs["foreign"] = virtualcard.Config{Foreign: virtualcard.ForeignIAS}
	for name, config := range configs {
		v := newVirtual(config)
		second, err := v.reader.Connect()
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		left := func(after string) {
			t.Helper()
			log := v.Log()
			last := log[len(log)-1]
			if last.INS != insSelect || last.P1 != 0 || last.Sent != 7 || last.SW != 0x9000 {
				t.Errorf("%s, %s: last command %+v", name, after, last)
			}
			for _, x := range log {
				if !beforeIdentification[x.INS] {
					t.Errorf("%s, %s: INS %02X", name, after, x.INS)
				}
			}
			if err := errors.Join(second.Begin(), second.End(false)); err != nil {
				t.Errorf("%s, %s: a second program: %v", name, after, err)
			}
		}
		card, _ := v.driver.Open(context.Background(), v.reader)
		left("insertion")
		if card != nil {
			if _, err := card.(crs.PersonalDataReader).PersonalData(context.Background()); err != nil {
				t.Error(err)
			}
			left("personal data")
		}
	}
}
