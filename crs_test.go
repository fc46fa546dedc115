package crs

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestPINHidesItself(t *testing.T) {
	const secret = "73914"
	p := NewPIN([]byte(secret))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "pin", p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "pin", p)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		fmt.Fprintf(&log, verb, p)
		fmt.Fprintf(&log, verb, struct{ P *PIN }{p})
	}
	if _, err := json.Marshal(p); err == nil {
		t.Error("JSON accepted a PIN")
	}
	if _, err := json.Marshal(map[string]any{"pin": p}); err == nil {
		t.Error("JSON accepted a PIN in a map")
	}
	if err := gob.NewEncoder(&log).Encode(p); err == nil {
		t.Error("gob accepted a PIN")
	}
	log.WriteString(p.String() + p.GoString() + p.LogValue().String())
	for name, marshal := range map[string]func() ([]byte, error){"text": p.MarshalText, "JSON": p.MarshalJSON, "gob": p.GobEncode} {
		if b, err := marshal(); err == nil || len(b) != 0 {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, form := range []string{secret, "3733393134", "[55 51 57 49 52]", "0x37"} {
		if strings.Contains(log.String(), form) {
			t.Errorf("PIN printed as %s: %s", form, log.String())
		}
	}
}

func TestPINIsSpentOnce(t *testing.T) {
	source := []byte("12345")
	p := NewPIN(source)
	if !bytes.Equal(source, make([]byte, 5)) {
		t.Error("NewPIN left the caller's copy")
	}
	digits, err := p.Spend()
	if err != nil || string(digits) != "12345" {
		t.Fatalf("Spend: %v", err)
	}
	if _, err := p.Spend(); !errors.Is(err, ErrPINSpent) {
		t.Errorf("second Spend: %v", err)
	}
	p.Refund()
	if _, err := p.Spend(); err != nil {
		t.Errorf("Spend after Refund: %v", err)
	}
	p.Wipe()
	p.Wipe()
	if !bytes.Equal(digits, make([]byte, 5)) {
		t.Error("Wipe left the digits")
	}
	p.Refund()
	if _, err := p.Spend(); !errors.Is(err, ErrPINSpent) {
		t.Errorf("Spend after Wipe: %v", err)
	}
	(*PIN)(nil).Wipe()
}

func TestPINEqual(t *testing.T) {
	a, b, c := NewPIN([]byte("12345")), NewPIN([]byte("12345")), NewPIN([]byte("123456"))
	if !a.Equal(b) || !a.Equal(a) || a.Equal(c) || c.Equal(a) || a.Equal(NewPIN([]byte("12346"))) {
		t.Error("wrong")
	}
	if _, err := a.Spend(); err != nil {
		t.Error("a comparison spent the PIN")
	}
}

func TestPINTrim(t *testing.T) {
	cns := PINFormat{Min: 5, Max: 8, DigitsOnly: true}
	token := PINFormat{Min: 4, Max: 16}
	for _, test := range []struct {
		typed  string
		format PINFormat
		want   string
	}{
		{"12345", cns, "12345"},
		{"12345\n", cns, "12345"},
		{"12345\r\n", cns, "12345"},
		{"12345 ", cns, "12345"},
		{" \t12345\u00a0\u2003", cns, "12345"},
		{"\n\n", cns, ""},
		{"", cns, ""},
		{"12 345", cns, "12 345"},
		{"12345\u200b", cns, "12345\u200b"}, // no white space
		{"12345.", cns, "12345."},
		{"\xa012345", cns, "\xa012345"}, // no UTF-8
		{"secret ", token, "secret "},
		{" secret\r\n", token, " secret"},
		{"secret\n\n", token, "secret\n"},
		{"secret\r", token, "secret"},
		{"12345 ", token, "12345 "},
	} {
		t.Run(fmt.Sprintf("%q", test.typed), func(t *testing.T) {
			p := NewPIN([]byte(test.typed))
			all := p.digits
			p.Trim(test.format)
			if string(p.digits) != test.want {
				t.Errorf("%q is left, want %q", p.digits, test.want)
			}
			if rest := all[len(p.digits):]; !bytes.Equal(rest, make([]byte, len(rest))) {
				t.Errorf("%q stays behind it in memory", rest)
			}
			p.Wipe()
			if !bytes.Equal(all, make([]byte, len(all))) {
				t.Errorf("Wipe left %q", all)
			}
		})
	}
}

func TestPINFormat(t *testing.T) {
	cns := PINFormat{Min: 5, Max: 8, DigitsOnly: true}
	for pin, ok := range map[string]bool{
		"12345": true, "12345678": true, "": false, "1234": false, "123456789": false,
		"1234a": false, "12 45": false, "１２３４５": false, "1234\n": false,
	} {
		t.Run(fmt.Sprintf("%q", pin), func(t *testing.T) {
			if err := NewPIN([]byte(pin)).Check(cns); (err == nil) != ok {
				t.Errorf("%v", err)
			}
		})
	}
	if NewPIN(nil).Check(PINFormat{}) == nil || new(PIN).Check(PINFormat{}) == nil {
		t.Error("an empty PIN was accepted")
	}
}

// isModule is an error of another package that says of itself which one it is.
type isModule struct{ error }

func (isModule) Is(target error) bool { return target == ErrModule || target == ErrCard }

func TestWord(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{ErrCardInUse, "in_use"},
		{fmt.Errorf("connect: %w", ErrCardInUse), "in_use"},
		{fmt.Errorf("%w: %w", ErrCardRemoved, ErrNoCNS), "removed"},
		{&PINError{Retries: -1, Uncertain: true, Err: ErrCardStuck}, "stuck"},
		{isModule{errors.New("?")}, "module"},
		{&PINError{Blocked: true}, "pin_blocked"},
		{&PINError{Retries: 2}, "card_error"},
		{ErrCardUnusable, "card_unusable"},
		{errors.New("?"), "internal"},
		{context.Canceled, "user_cancelled"},
	} {
		t.Run(fmt.Sprint(test.err), func(t *testing.T) {
			if got := Word(test.err); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	seen := map[string]bool{}
	for _, d := range details {
		if seen[d.word] || sentences[Code(d.word)] != "" {
			t.Errorf("%q is the word of two", d.word)
		}
		seen[d.word] = true
	}
}

func TestCodeOf(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("while signing: %w", err) }
	for _, test := range []struct {
		err  error
		want Code
	}{
		{nil, ""},
		{ErrBusy, ErrBusy},
		{ErrCardRemoved, ErrCard}, {ErrCardReset, ErrCard}, {ErrCardInUse, ErrCard},
		{ErrCardStuck, ErrCard}, {ErrNoService, ErrCard},
		{ErrCardMute, ErrCardUnusable}, {ErrNoCNS, ErrCardUnusable}, {ErrPINUnusable, ErrCardUnusable},
		{ErrPINFormat, ErrInternal}, {ErrPINSpent, ErrInternal}, {ErrPINFirst, ErrInternal}, {ErrNoPersonalData, ErrInternal},
		{context.Canceled, ErrCancelled}, {context.DeadlineExceeded, ErrTimeout},
		{&PINError{Blocked: true}, ErrPINBlocked},
		{&PINError{Retries: 2}, ErrCard}, {&PINError{Retries: -1}, ErrCard},
		{&PINError{Retries: -1, Uncertain: true, Err: ErrCardRemoved}, ErrCard},
		{fmt.Errorf("%w: %w", ErrCancelled, ErrCardUnusable), ErrCancelled},
		{fmt.Errorf("%w: %w", ErrCard, ErrCardUnusable), ErrCardUnusable},
		{fmt.Errorf("%w: %w", ErrCardUnusable, &PINError{Blocked: true}), ErrPINBlocked},
		{errors.New("anything else"), ErrInternal},
	} {
		t.Run(fmt.Sprint(test.err), func(t *testing.T) {
			if got := CodeOf(test.err); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if test.err != nil && CodeOf(wrapped(test.err)) != test.want {
				t.Error("lost when wrapped")
			}
		})
	}
	if len(precedence) != len(sentences) {
		t.Error("precedence does not list every code")
	}
	for _, code := range precedence {
		if sentences[code] == "" {
			t.Errorf("%s has no sentence", code)
		}
	}
}

// Wrong, blocked, unknown and perhaps counted are never confused.
func TestPINErrorText(t *testing.T) {
	cause := errors.New("cable")
	for want, e := range map[string]*PINError{
		"wrong PIN, tries left: 2 (SW 63C2)":                               {Retries: 2, SW: 0x63C2},
		"wrong PIN, tries left not known (SW 6300)":                        {Retries: -1, SW: 0x6300},
		"the PIN is blocked (SW 6983)":                                     {Blocked: true, SW: 0x6983},
		"no clear answer to the PIN, the try is perhaps counted (SW 6F00)": {Retries: -1, Uncertain: true, SW: 0x6F00},
		"no clear answer to the PIN, the try is perhaps counted: cable":    {Retries: -1, Uncertain: true, Err: cause},
	} {
		t.Run(want, func(t *testing.T) {
			if e.Error() != want {
				t.Errorf("%q, want %q", e, want)
			}
			if errors.Is(e, cause) != (e.Err != nil) {
				t.Error("its cause is lost")
			}
		})
	}
	if Code("<script>").Error() != ErrInternal.Error() {
		t.Error("a code that is none has a sentence of its own")
	}
}

func TestLastTry(t *testing.T) {
	for retries, want := range map[int]bool{-1: false, 0: true, 1: true, 2: false, 3: false} {
		if (PINStatus{Retries: retries}).LastTry() != want {
			t.Errorf("%d", retries)
		}
	}
}

func TestOrigin(t *testing.T) {
	for _, s := range []string{
		"https://portale.example", "https://portale.example:8443", "https://a.b.c.example",
		"https://xn--caff-8oa.example", "https://192.0.2.7", "https://[2001:db8::1]:8443", "https://[::1]",
		"https://under_score.example", "https://localhost", "https://1.example", "https://0x7f.example",
		"https://" + strings.Repeat("a", 63) + ".example",
		"https://" + strings.Repeat("a.", 120) + "example", // 255 bytes
	} {
		t.Run(fmt.Sprintf("%.40q", s), func(t *testing.T) {
			o, err := ParseOrigin(s)
			if err != nil || o.String() != s || o.IsZero() {
				t.Errorf("%v", err)
			}
		})
	}
	for _, s := range []string{
		"", "null", "https://", "https:///", "https://portale.example/", "https://portale.example/x",
		"http://portale.example", "HTTPS://portale.example", "https://Portale.example", "wss://portale.example",
		"https://portale.example.", "https://portale.example:443", "https://portale.example:0",
		"https://portale.example:08443", "https://portale.example:65536", "https://portale.example:",
		"https://portale.example:+8443", "https://utente@portale.example", "https://utente:x@portale.example",
		"https://portale.example?x", "https://portale.example#x", "https://caffè.example", "https://a b.example",
		"https://.example", "https://a..example", "https://" + strings.Repeat("a", 64) + ".example",
		"https://192.0.2.07", "https://192.0.2", "https://0x7f.1", "https://1.2.3.4.5", "https://2130706433",
		"https://[2001:DB8::1]", "https://[2001:db8:0::1]", "https://[::1", "https://::1", "https://[fe80::1%25eth0]",
		"https://[::ffff:192.0.2.1]", "https://%70ortale.example", "https://portale.example\x00", " https://portale.example",
		"https://" + strings.Repeat("a.", 120) + "examples", "moz-extension://0a", "file://",
		"https://[192.0.2.1]", "https://0x7f", "https://192.0.2.0x7", "https://:8443",
		"https://" + strings.Repeat("a", 1000),
	} {
		t.Run(fmt.Sprintf("refuses %.40q", s), func(t *testing.T) {
			if o, err := ParseOrigin(s); err == nil || !o.IsZero() || len(err.Error()) > 300 {
				t.Errorf("%q was accepted, or its error is long", s)
			}
		})
	}
}

func TestDeveloperOrigin(t *testing.T) {
	for s, ok := range map[string]bool{
		"http://localhost:27780": true, "http://127.0.0.1:27780": true, "https://portale.example": true,
		"http://localhost:27781": false, "http://localhost": false, "http://[::1]:27780": false,
		"http://localhost:027780": false, "http://portale.example:27780": false, "http://LOCALHOST:27780": false,
	} {
		t.Run(s, func(t *testing.T) {
			if _, err := ParseDeveloperOrigin(s, 27780); (err == nil) != ok {
				t.Errorf("%v", err)
			}
		})
	}
	for _, port := range []int{0, -1, 80, 65536} {
		if _, err := ParseDeveloperOrigin(fmt.Sprintf("http://localhost:%d", port), port); err == nil {
			t.Errorf("port %d was accepted", port)
		}
	}
}

func TestOriginHost(t *testing.T) {
	for s, want := range map[string][2]string{
		"https://portale.example":      {"portale.example", "portale.example"},
		"https://portale.example:8443": {"portale.example:8443", "portale.example"},
		"https://[2001:db8::1]:8443":   {"[2001:db8::1]:8443", "2001:db8::1"},
		"https://[2001:db8::1]":        {"[2001:db8::1]", "2001:db8::1"},
		"https://xn--caff-8oa.example": {"xn--caff-8oa.example", "xn--caff-8oa.example"},
	} {
		t.Run(s, func(t *testing.T) {
			o, err := ParseOrigin(s)
			if err != nil || o.Host() != want[0] || o.Hostname() != want[1] {
				t.Errorf("%q %q %v", o.Host(), o.Hostname(), err)
			}
		})
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://portale.example:8443", "https://[::1]:1", "https://1.2.3.4", "null"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOrigin(s)
		if err != nil {
			if !o.IsZero() {
				t.Error("an origin beside an error")
			}
			return
		}
		if o.String() != s {
			t.Errorf("%q became %q", s, o)
		}
		if o.Hostname() == "" || strings.ToLower(s) != s || strings.ContainsAny(s, " @?#%\\") {
			t.Errorf("%q was accepted", s)
		}
	})
}

func TestChallenge(t *testing.T) {
	good := strings.Repeat("QUJD", 11)
	for s, ok := range map[string]bool{
		good: true, good[:43] + "=": false, strings.Repeat("A", 43) + "=": true, good + good: true,
		strings.Repeat("QUJD", 32): true, strings.Repeat("QUJD", 33): false, "": false, good[:40]: false,
		good[:43]: false, good[:43] + "-": false, good[:43] + "\n": false, good[:42] + "==": false,
		strings.Repeat("A", 42) + "B=": false, good + "A": false, good + "\n": false, strings.Repeat("A", 42) + "==": false,
	} {
		t.Run(fmt.Sprintf("%q", s), func(t *testing.T) {
			c, err := ParseChallenge(s)
			if (err == nil) != ok || ok && c.String() != s || !ok && c != (Challenge{}) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestStatementNeedsBoth(t *testing.T) {
	o, _ := ParseOrigin("https://portale.example")
	c, _ := ParseChallenge(strings.Repeat("QUJD", 11))
	if _, err := NewStatement(Origin{}, c); err == nil {
		t.Error("statement without origin")
	}
	if _, err := NewStatement(o, Challenge{}); err == nil {
		t.Error("statement without challenge")
	}
	if _, err := (Statement{}).Digest(RS256); err == nil {
		t.Error("digest of nothing")
	}
	s, err := NewStatement(o, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Digest("RS1"); err == nil {
		t.Error("SHA-1 was accepted")
	}
	for alg, size := range map[Algorithm]int{RS256: 32, PS256: 32, ES256: 32, ES384: 48} {
		if d, err := s.Digest(alg); err != nil || len(d) != size {
			t.Errorf("%s: %d bytes, %v", alg, len(d), err)
		}
	}
	if err := (Signature{Algorithm: RS256}).Verify(s); err == nil {
		t.Error("a signature without certificate verifies")
	}
}

func FuzzToken(f *testing.F) {
	good, err := json.Marshal(Token{make([]byte, 60), RS256, make([]byte, 60), TokenFormat, "https://example.org"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"unverifiedCertificate":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := ParseToken(b)
		if err != nil {
			if token.Signature != nil || token.UnverifiedCertificate != nil {
				t.Error("a token beside an error")
			}
			return
		}
		again, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > maxTokenJSON || len(again) < minTokenJSON {
			return // other spelling of the same token
		}
		second, err := ParseToken(again)
		if err != nil || !bytes.Equal(second.Signature, token.Signature) || !bytes.Equal(second.UnverifiedCertificate, token.UnverifiedCertificate) {
			t.Errorf("not stable: %v", err)
		}
	})
}
