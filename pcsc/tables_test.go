package pcsc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The public list of ATRs (pcsc-tools, smartcard_list.txt) and the mask manufacturer in each.
var knownATRs = []struct {
	atr            string
	mask, firmware byte
}{
	{"3B DF 18 00 81 31 FE 7D 00 6B 02 0C 01 82 01 11 01 43 4E 53 10 31 80 FC", 0x0C, 0x01},
	{"3B DF 18 00 81 31 FE 7D 00 6B 04 0C 01 84 01 11 01 43 4E 53 10 31 80 FC", 0x0C, 0x01},
	{"3B DF 18 00 81 31 FE 7D 00 6B 15 0C 01 80 01 11 01 43 4E 53 10 31 80 E9", 0x0C, 0x01},
	{"3B FF 18 00 00 81 31 FE 45 00 6B 04 05 01 00 01 11 01 43 4E 53 10 31 80 69", 0x05, 0x01},
	{"3B FF 18 00 00 81 31 FE 45 00 6B 05 05 10 17 01 21 01 43 4E 53 10 31 80 5E", 0x05, 0x10},
	{"3B FF 18 00 00 81 31 FE 45 00 6B 05 05 20 00 01 21 01 43 4E 53 10 31 80 79", 0x05, 0x20},
	{"3B FF 18 00 00 81 31 FE 45 00 6B 05 05 91 20 01 F1 01 43 4E 53 10 31 80 38", 0x05, 0x91},
	{"3B FF 18 00 00 81 31 FE 55 00 6B 02 09 04 03 01 01 01 43 4E 53 10 31 80 65", 0x09, 0x04},
	{"3B FF 18 00 FF 81 31 FE 55 00 6B 02 09 02 00 01 11 01 43 4E 53 11 31 80 8E", 0x09, 0x02},
	{"3B FF 18 00 FF 81 31 FE 55 00 6B 02 09 16 17 01 11 01 43 4E 53 11 31 80 8D", 0x09, 0x16},
	{"3B FF 18 00 FF C1 0A 31 FE 55 00 6B 05 08 C8 05 01 11 01 43 4E 53 10 31 80 0C", 0x08, 0xC8},
	{"3B FF 96 00 FF 81 31 FE 55 00 6B 02 09 04 03 01 01 01 43 4E 53 10 31 80 14", 0x09, 0x04},
	{"3B FF 18 00 FF 81 31 FE 4D 00 6B 04 04 B8 5B 01 F1 01 43 4E 53 10 31 80 9D", 0x04, 0xB8},
	{"3B 80 80 01 01", 0, 0}, // contactless, without the marker
	{"3B 8B 80 01 00 31 C1 64 00 00 00 00 00 00 00 00", 0, 0},
	{"3B FF 18 00 FF 81 31 FE 55 00 6B 02 09 04 03 01 01 01 48 50 43 10 31 80 00", 0, 0}, // HPC
	{"3B FF 18 00 FF 81 31 FE 55 00 6B 02 09 04 03 01 01 01 44 53 44 10 31 80 00", 0, 0}, // DSD
}

func TestATRs(t *testing.T) {
	for _, test := range knownATRs {
		a, err := parseATR(unhex(t, test.atr))
		if err != nil {
			t.Errorf("%s: %v", test.atr, err)
			continue
		}
		if mask, firmware := a.cnsMask(); mask != test.mask || firmware != test.firmware {
			t.Errorf("%s: mask %02X firmware %02X", test.atr, mask, firmware)
		}
		if !a.t1 {
			t.Errorf("%s: no T=1", test.atr)
		}
	}
	for _, bad := range []string{"", "3B", "3A 00", "3B 80", "3B 8F 80 01 01", "3B 80 80 01", "3B 80 80 01 01 00", "3B F0", "3B 10"} {
		if _, err := parseATR(unhex(t, bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if a, err := parseATR(unhex(t, "3B 02 14 50")); err != nil || a.t1 || len(a.historical) != 2 {
		t.Errorf("T=0 ATR: %+v %v", a, err)
	}
}

func FuzzT17ATR(f *testing.F) {
	for _, test := range knownATRs {
		f.Add(unhex(f, test.atr))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseATR(b)
		if err == nil && !bytes.Contains(b, a.historical) {
			t.Error("historical bytes from nowhere")
		}
		a.cnsMask()
		if len(layoutsFor(a)) != len(layouts) {
			t.Error("a layout was lost")
		}
	})
}

func TestLayoutOrder(t *testing.T) {
	for _, test := range knownATRs {
		a, _ := parseATR(unhex(t, test.atr))
		want := "classic"
		if test.mask == maskOberthur && test.firmware >= 0x20 {
			want = "idemia"
		}
		if got := layoutsFor(a)[0].name; got != want {
			t.Errorf("%s: %s first", test.atr, got)
		}
	}
}

// Rule 3: the mask byte decides, and 90h never meets the signature DF.
func TestRule3PINReference(t *testing.T) {
	for _, test := range knownATRs {
		a, _ := parseATR(unhex(t, test.atr))
		for _, l := range layouts {
			want := []byte{0x10, 0x90}
			if test.mask == 9 {
				want = []byte{0x90, 0x10}
			}
			if l.name == "idemia" {
				want = []byte{0x10}
			}
			if got := l.pinReferences(a); !bytes.Equal(got, want) {
				t.Errorf("%s, %s: % X", test.atr, l.name, got)
			}
		}
	}
}

// Rule 3: a row with its key under the DF of the document signature names its reference, which is not
// 90h, and every row has at most two.
func TestRule3RowsUnderTheSignature(t *testing.T) {
	for _, l := range layouts {
		if bytes.HasPrefix(l.keyDF, []byte{0x14, 0x00}) && (len(l.pinRefs) == 0 || bytes.Contains(l.pinRefs, []byte{pinSearch})) {
			t.Errorf("%s: % X", l.name, l.pinRefs)
		}
		if len(l.pinRefs) > 2 {
			t.Errorf("%s: % X", l.name, l.pinRefs)
		}
	}
}

func TestVerifyStatusWords(t *testing.T) {
	before := crs.PINStatus{Retries: 3}
	pending := tries.Spend(before)
	if pending != (crs.PINStatus{Retries: 2, Doubtful: true}) {
		t.Fatalf("pending %+v", pending)
	}
	type pinError = crs.PINError
	for status, want := range map[sw]struct {
		keep crs.PINStatus
		err  *pinError // nil: no PIN error
		code crs.Code
	}{
		0x9000: {keep: crs.UnknownPINStatus},
		0x63C1: {crs.PINStatus{Retries: 1}, &pinError{Retries: 1}, crs.ErrCard},
		0x63C2: {crs.PINStatus{Retries: 2}, &pinError{Retries: 2}, crs.ErrCard},
		0x63C3: {pending, &pinError{Retries: 3}, crs.ErrCard}, // the smaller is kept
		0x63CF: {pending, &pinError{Retries: 15}, crs.ErrCard},
		0x63C0: {crs.PINStatus{Blocked: true}, &pinError{Blocked: true}, crs.ErrPINBlocked},
		0x6983: {crs.PINStatus{Blocked: true}, &pinError{Blocked: true}, crs.ErrPINBlocked},
		0x6300: {pending, &pinError{Retries: -1}, crs.ErrCard},
		0x6984: {pending, nil, crs.ErrCardUnusable},
		0x6A88: {before, nil, crs.ErrCardUnusable},
		0x6A86: {before, nil, crs.ErrCardUnusable},
		0x6B00: {before, nil, crs.ErrCardUnusable},
		0x6982: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x6985: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x6700: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x6A80: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x6C08: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x6110: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x6F00: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
		0x0000: {pending, &pinError{Retries: -1, Uncertain: true}, crs.ErrCard},
	} {
		keep, err := verifyResult(status, before, pending)
		if keep != want.keep {
			t.Errorf("%v: keeps %+v", status, keep)
		}
		if crs.CodeOf(err) != want.code {
			t.Errorf("%v: code %q", status, crs.CodeOf(err))
		}
		var got *pinError
		if errors.As(err, &got) != (want.err != nil) {
			t.Errorf("%v: %v", status, err)
		} else if got != nil {
			want.err.SW = uint16(status)
			if *got != *want.err {
				t.Errorf("%v: %+v", status, *got)
			}
		}
	}
}

// A card that blocked its PIN and now reports a number was unblocked by another program.
func TestVerifyAfterAnUnblockElsewhere(t *testing.T) {
	before := crs.PINStatus{Blocked: true}
	if keep, _ := verifyResult(0x63C2, before, tries.Spend(before)); keep != (crs.PINStatus{Retries: 2}) {
		t.Errorf("keeps %+v", keep)
	}
}

func TestOtherMethodStatusWords(t *testing.T) {
	yes := []sw{0x6700, 0x6E00, 0x6883, 0x6884, 0x6D00, 0x6A81, 0x6A86}
	for s := range 0x10000 {
		if sw(s).otherMethod() != slices.Contains(yes, sw(s)) {
			t.Errorf("%04X", s)
		}
	}
}

func TestCommandEncoding(t *testing.T) {
	long := bytes.Repeat([]byte{0xAA}, 257)
	for _, test := range []struct {
		c    command
		t0   bool
		want string
	}{
		{command{ins: 0xA4, p1: 8, p2: 0x0C, data: []byte{0x10, 0x00, 0x10, 0x03}}, false, "00A4080C0410001003"},
		{command{ins: 0xB0, le: 16}, false, "00B0000010"},
		{command{ins: 0xB0, le: 256}, false, "00B0000000"},
		{command{ins: 0xB0, p2: 0xFF, le: 1195, extended: true}, false, "00B000FF0004AB"},
		{command{ins: 0xA4, p1: 8, data: []byte{1, 2}, le: 256}, false, "00A408000201 0200"},
		{command{ins: 0xA4, p1: 8, data: []byte{1, 2}, le: 256}, true, "00A408000201 02"},
		{command{ins: 0x22, p1: 0xF3, p2: 3, le: 256}, true, "0022F30300"},
		{command{ins: 0x2A, p1: 0x80, p2: 0x86, data: long, le: 65536, extended: true}, false, "002A808600 0101" + hex.EncodeToString(long) + "0000"},
		{command{ins: 0x20}, false, "00200000"},
	} {
		got, err := test.c.encode(test.t0)
		if err != nil || !bytes.Equal(got, unhex(t, test.want)) {
			t.Errorf("%+v: %X %v", test.c, got, err)
		}
	}
	for _, c := range []command{{data: long}, {le: 257}, {data: make([]byte, 65536), extended: true}, {le: 65537, extended: true}} {
		if _, err := c.encode(false); err == nil {
			t.Errorf("%d bytes, %d expected: encoded", len(c.data), c.le)
		}
	}
}

func FuzzT17Response(f *testing.F) {
	f.Add([]byte{0x90, 0x00})
	f.Add([]byte{1, 2, 0x61, 0x00})
	f.Add([]byte{0x90})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseResponse(b)
		if (err == nil) != (len(b) >= 2) {
			t.Fatal(err)
		}
		if err == nil && !bytes.Equal(append(bytes.Clone(r.data), byte(r.sw>>8), byte(r.sw)), b) {
			t.Error("not the same again")
		}
	})
}

func TestFileSize(t *testing.T) {
	for fci, want := range map[string]int{
		"6F 19 80 02 01 90 82 03 01 00 00 83 02 11 02 86 09 00 FF FF FF FF FF FF FF FF": -1, // cut short
		"6F 0D 80 02 01 90 82 03 01 00 00 83 02 11 02":                                  400,
		"6F 81 04 80 02 08 00":    2048,
		"6F 82 00 04 80 02 08 00": 2048,
		"6F 00":                   -1,
		"6F 04 80 01 08":          -1,
		"6F 03 80 01 08":          -1,
		"6F 84 00":                -1,
		"62 04 80 02 08 00":       -1,
		"6F 80 80 02 08 00" + strings.Repeat(" 83 00", 62): -1, // no length of DER that ISO 7816-4 knows
		"": -1,
	} {
		t.Run(fci, func(t *testing.T) {
			if got := fileSize(unhex(t, fci)); got != want {
				t.Errorf("%d", got)
			}
		})
	}
}

func FuzzT17FCI(f *testing.F) {
	f.Add(unhex(f, "6F0D80020190820301000083021102"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := fileSize(b); n < -1 || n > 0xFFFF {
			t.Error(n)
		}
	})
}

func FuzzT17DERLength(f *testing.F) {
	f.Add([]byte{0x30, 0x82, 0x05, 0x00}, 0)
	f.Add([]byte{0x31, 0x82, 0x05, 0x00}, 0)
	f.Add([]byte{0x30, 0x82, 0x20, 0x00}, 0) // beyond the bound
	f.Add([]byte{0, 0, 0, 0, 0, 0x30, 0x82}, 5)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			return
		}
		if n, err := derLength(b, at); err == nil && (n < 3 || n > maxCertificate || b[at] != 0x30) {
			t.Error(n)
		}
	})
}

func TestReaderProperties(t *testing.T) {
	list := unhex(t, "12 04 42 33 00 12 06 04 42 33 00 06")
	if got := property(list, 0x12); !bytes.Equal(got, unhex(t, "42330012")) {
		t.Errorf("%X", got)
	}
	for _, bad := range []string{"", "12", "12 05 00", "06 04 42 33 00 06 12"} {
		if got := property(unhex(t, bad), 0x12); got != nil {
			t.Errorf("%s: %X", bad, got)
		}
	}
}

func TestMaxDataField(t *testing.T) {
	for properties, want := range map[string]int{
		"":                              0,        // not told
		"0B 02 00 00":                   0,        // not told
		"0A 02 00 01":                   0,        // not of this form
		"0A 04 00 00 00 00":             maxShort, // told: short commands only
		"0A 04 05 01 00 00":             261,
		"0B 02 00 00 0A 04 00 00 01 00": 65536,
		"0A 04 FF FF FF FF":             65536,
	} {
		t.Run(properties, func(t *testing.T) {
			if got := maxDataField(unhex(t, properties)); got != want {
				t.Errorf("%d", got)
			}
		})
	}
}

// What a command that carries a PIN or makes a signature may take is never less than 30 s.
func TestTimeouts(t *testing.T) {
	usual := Timeouts{Call: 10 * time.Second, PIN: 30 * time.Second, Sign: 30 * time.Second, Pad: 40 * time.Second}
	short := usual
	short.Call = time.Second
	for name, test := range map[string]struct{ set, want Timeouts }{
		"none set": {Timeouts{}, usual},
		"one set":  {Timeouts{Call: time.Second}, short},
		"all set":  {Timeouts{1, 2, 3, 4}, Timeouts{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.set.withDefaults(); got != test.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
