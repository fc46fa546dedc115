package virtualcard

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// PIN blocks of the tests.
const (
	right = "3132333435FFFFFF" // DefaultPIN
	wrong = "3939393939FFFFFF"
	fresh = "3234363830FFFFFF"
	puk   = "3837363534333231" // DefaultPUK
	noPUK = "3131313131313131"
)

// transmit sends a command in hexadecimal and returns the response so.
func transmit(t testing.TB, c *Card, command string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(command, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Transmit(b)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return fmt.Sprintf("%X", r)
}

// Each line is a command and its response; ".." stands for any data.
func TestStatusWords(t *testing.T) {
	card, idemiaKey := Config{}, Config{Profile: "idemia"}
	for _, test := range []struct {
		name   string
		config Config
		script string
	}{
		{"malformed", card, `
			00             6700
			00A408         6700
			00A4080C05     6700
			00A4080C0510   6700
			00B0000000     6986
			00B00000       6700
			00B000000000   6700
			00B00000000000 6986
			00A4080C0000   6700
			00A4080C00000410001003 9000
			00A4080C00000510001003 6700`},
		{"class and instruction", card, `
			80A4080C0410001003 6E00
			01A4080C0410001003 6E00
			00CA0000 6D00
			00C0000000 6D00
			1022F1B803830101 6E00`},
		{"chaining", idemiaKey, `
			1020001008` + right + ` 6884
			102A80860100 9000
			0020001008` + right + ` 6883
			0020001008` + right + ` 9000`},
		{"select", card, `
			00A408000410001003   9000
			00A40800041000100300 ..9000
			00A4080C0410001003   9000
			00A4080C0410001009   6A82
			00A4080C0110         6700
			00A40808041000100300 6A86
			00A4020C021000       6A86
			00A4040C05A000000001 6A82
			00A4080C043F001003   6A82
			00A4000C023F00       9000
			00A4000C021000       9000
			00A4000C021003       9000
			00A4000C021102       6A82
			00A4000C021100       9000
			00A4000C021102       9000
			00A4000C021000       9000
			00A4000C023F00       9000
			00A4000C021003       6A82
			00A4000C             9000
			00A4090C0411001102   9000
			00A4090C0411001102   6A82`},
		{"FCI", card, `
			00A40800041000100300 6F38 80020010 8203010000 83021003 850101 860900FFFFFFFFFFFFFFFF 8A0105 CB18FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF 9000
			00A4080002100000     6F38 80020000 8203380000 83021000 850101 860900FFFFFFFFFFFFFFFF 8A0105 CB18FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF 9000
			00A4080002100010     6C3A`},
		{"read", card, `
			00B0000010 6986
			00A4080C0411001102 9000
			00B0000006 303030303736 9000
			00B0018F01 00 9000
			00B0018F02 00 9000
			00B0019001 6B00
			00B07FFF01 6B00
			00B0800001 6A86
			00B000000102 6700
			00B00000000006 303030303736 9000`},
		{"end of file by warning", Config{Profile: "infocamere"}, `
			00A4080C0411001102 9000
			00B0018F02 00 6282`},
		{"verify", card, `
			0020001008` + wrong + ` 63C2
			0020001008` + right + ` 9000
			0020001008` + wrong + ` 63C2
			0020001008` + wrong + ` 63C1
			0020001008` + wrong + ` 63C0
			0020001008` + right + ` 6983
			00200010   6983`},
		{"verify that cannot be", card, `
			0020001005` + right[:10] + ` 6700
			00200010 63C3
			0020009008` + right + ` 6A88
			0020001208` + right + ` 6A88
			0020003008` + right + ` 6A86
			0020011008` + right + ` 6A86
			0020001008` + right + ` 9000
			00200010 9000`},
		{"number not told", Config{NoCount: true}, `
			0020001008` + wrong + ` 6300
			00200010 6300
			0020001008` + wrong + ` 6300
			0020001008` + wrong + ` 6300
			0020001008` + right + ` 6983`},
		{"an empty VERIFY counts", Config{CountEmptyVerify: true}, `
			00200010 63C2
			00200010 63C1
			00200010 63C0
			00200010 6983`},
		{"the other reference", Config{WrongReference: 0x6B00, PINReference: 0x90}, `
			0020001008` + right + ` 6B00
			0020009008` + right + ` 9000`},
		{"decoy", Config{Profile: "stincard", Decoy: true}, `
			0020009008` + right + ` 9000
			00A4080C021400 9000
			0020009008` + right + ` 63C2
			0020009A08` + right + ` 63C1
			00A4000C023F00 9000
			0020009008` + right + ` 9000`},
		{"change", card, `
			0024001010` + wrong + fresh + ` 63C2
			0024001010` + right + right[:8] + `FFFFFFFF 6A80
			0024001008` + right + ` 6700
			0024021010` + right + fresh + ` 6A86
			0024011008` + fresh + ` 6982
			0024001010` + right + fresh + ` 9000
			0020001008` + right + ` 63C2
			0020001008` + fresh + ` 9000
			0024011008` + right + ` 9000
			0020001008` + right + ` 9000`},
		{"unblock", Config{PINTries: 1}, `
			0020001008` + wrong + ` 63C0
			0020001008` + right + ` 6983
			002C001010` + noPUK + fresh + ` 63C2
			002C001010` + puk + `41` + fresh[2:] + ` 6A80
			002C021008` + fresh + ` 6A86
			002C001008` + puk + ` 6700
			002C001010` + puk + fresh + ` 9000
			0020001008` + right + ` 63C0
			002C011008` + puk + ` 9000
			0020001008` + fresh + ` 9000
			002C0310 6982
			0020001108` + puk + ` 9000
			002C0310 9000
			002C0310 6982`},
		{"PUK used up", card, `
			002C001010` + noPUK + fresh + ` 63C2
			002C001010` + noPUK + fresh + ` 63C1
			002C001010` + noPUK + fresh + ` 63C0
			002C001010` + puk + fresh + ` 6983
			0020001108` + puk + ` 6983
			0020001008` + right + ` 9000`},
		{"no signature without environment, PIN, key", card, `
			002A808600 6985
			0022F1B803830101 6985
			0022F303 6700
			0022F30400 6A88
			0022410000 6A86
			0022F30300 9000
			0022F1A403830101 6A86
			0022F1B803800101 6A80
			0022F1B803830101 9000
			002A808600 6982
			0020001008` + right + ` 9000
			002A808600 6700
			002A8086010000 6700
			002A9E9A010000 6A86
			002A000000 6A86
			0022F1B803830102 9000
			002A808600 6A88
			0022F30300 9000
			002A808600 6985`},
		{"IDEMIA: key only in its DF", idemiaKey, `
			0020001008` + right + ` 9000
			0022F30300 9000
			0022F1B803830102 9000
			002A808600 6984
			00A4080C0414009002 9000
			002A808600 6700`},
		{"challenge", card, `
			0084000008 ..9000
			0084000021 6700
			00840000 6700
			0084010008 6A86`},
		{"T=0", Config{Profile: "t0"}, `
			00A40800041000100300 613A
			00C000003B 6C3A
			00C0000010 ..612A
			00C000002A ..9000
			00C0000001 6985
			00A4080C0410001003 9000
			00B0000011 6C10
			00B0000010 ..9000
			00C0000001 6985
			00B00000000010 6700`},
		{"foreign, bare", Config{Foreign: ForeignBare}, `
			00A4080C0410001003 6A82
			0020001008` + right + ` 6A88`},
		{"foreign, IAS", Config{Foreign: ForeignIAS}, `
			00A4080C0410001003 6A82
			0020001008` + wrong + ` 63C2
			0020009008` + wrong + ` 63C1`},
		{"a SELECT that ends the VERIFY", Config{SelectForgetsPIN: true}, `
			0020001008` + right + ` 9000
			00200010 9000
			00A4080C0410001003 9000
			00200010 63C3`},
		{"files replaced and removed", Config{Files: map[string][]byte{"1100/1102": {0xAB}, "1100/1101": nil}}, `
			00A4080C0411001102 9000
			00B0000000 AB9000
			00A4080C0411001101 6A82`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := New(test.config)
			for _, line := range strings.Split(strings.TrimSpace(test.script), "\n") {
				command, want, _ := strings.Cut(strings.TrimSpace(line), " ")
				want = strings.ReplaceAll(want, " ", "")
				got := transmit(t, c, command)
				if end, any := strings.CutPrefix(want, ".."); got != want && !(any && len(got) > 4 && strings.HasSuffix(got, end)) {
					t.Errorf("%s: %s, want %s", command, got, want)
				}
			}
		})
	}
}

// What a VERIFY allowed ends with a reset, and so does the environment.
func TestResetForgets(t *testing.T) {
	c := New(Config{})
	for range 2 {
		if got := transmit(t, c, "00200010"); got != "63C3" {
			t.Errorf("not verified: %s", got)
		}
		for _, command := range []string{"0020001008" + right, "0022F30300", "0022F1B803830101", "00200010"} {
			if got := transmit(t, c, command); got != "9000" {
				t.Errorf("%s: %s", command, got)
			}
		}
		c.Reset()
		if got := transmit(t, c, "002A808600"); got != "6985" {
			t.Errorf("the environment outlives a reset: %s", got)
		}
	}
}

// A login as the budget has it: six commands, 590 bytes.
func TestLoginSignsInEveryWay(t *testing.T) {
	digest := sha256.Sum256([]byte("to be signed"))
	digestInfo := append([]byte("\x30\x31\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"), digest[:]...)
	all := map[Feature]uint16{}
	for _, test := range []struct {
		profile         string
		refuse          map[Feature]uint16
		way             string
		commands, bytes int
	}{
		{"st", nil, "extended", 6, 590},
		{"stincard", nil, "extended", 6, 590},
		{"nfc", nil, "chained", 7, 594},
		{"idemia", nil, "chained", 8, 605},
		{"idemia", nil, "extended", 7, 601},
		{"infocamere", nil, "extended", 7, 599},
		{"v1", nil, "short", 6, 331},
		{"t0", nil, "chained", 8, 601},
		{"st", all, "compute", 6, 381},
		{"t0", all, "compute", 7, 388},
	} {
		t.Run(test.profile+" "+test.way, func(t *testing.T) {
			t.Parallel()
			c := New(Config{Profile: test.profile, Refuse: test.refuse})
			size := c.key.Size()
			block := append([]byte{0x00}, padPKCS1(digestInfo, size)...)
			expect := func(command, want string) {
				t.Helper()
				if got := transmit(t, c, command); got != want {
					t.Fatalf("%s: %s, want %s", command, got, want)
				}
			}
			expect("00A4080C0410001003", "9000")
			expect("00B0000010", fmt.Sprintf("%X9000", c.Person().CardID))
			switch test.profile {
			case "idemia":
				expect("00A4080C0414009002", "9000")
			case "infocamere":
				expect("00A4080C022FFF", "9000")
			}
			expect(fmt.Sprintf("002000%02X08%s", c.profile.PINReference, right), "9000")
			expect("0022F30300", "9000")
			template := templateConfidentiality
			if test.way == "compute" {
				template = templateSignature
			}
			expect(fmt.Sprintf("0022F1%02X038301%02X", template, c.profile.layout.keyRef), "9000")
			var got string
			switch test.way {
			case "extended":
				got = transmit(t, c, fmt.Sprintf("002A808600%04X%X0000", len(block), block))
			case "chained":
				expect(fmt.Sprintf("102A8086FF%X", block[:255]), "9000")
				got = transmit(t, c, fmt.Sprintf("002A8086%02X%X00", len(block)-255, block[255:]))
			case "short":
				got = transmit(t, c, fmt.Sprintf("002A8086%02X%X00", len(block), block))
			case "compute":
				got = transmit(t, c, fmt.Sprintf("002A9E9A%02X%X00", len(digestInfo), digestInfo))
			}
			if c.Protocol() == 0 {
				if got != "6100" {
					t.Fatalf("PSO on T=0: %s", got)
				}
				got = transmit(t, c, "00C0000000")
			}
			signature, err := hex.DecodeString(strings.TrimSuffix(got, "9000"))
			if err != nil || rsa.VerifyPKCS1v15(&c.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
				t.Errorf("no signature: %s", got)
			}
			if n := len(c.Log()); n != test.commands || c.Bytes() != test.bytes {
				t.Errorf("%d commands, %d bytes, want %d and %d", n, c.Bytes(), test.commands, test.bytes)
			}
			if c.Secrets() != 1 || c.Count(insVerify) != 1 {
				t.Errorf("%d secrets, %d VERIFY", c.Secrets(), c.Count(insVerify))
			}
		})
	}
}

// The card answers any input with a status word.
func FuzzProcess(f *testing.F) {
	f.Add([]byte("\x09\x00\xA4\x08\x0C\x04\x11\x00\x11\x01\x05\x00\xB0\x00\x00\x00"), uint8(0))
	f.Add([]byte("\x0D\x00\x20\x00\x10\x0812345\xFF\xFF\xFF\x05\x00\x22\xF3\x03\x00\x08\x00\x22\xF1\xB8\x03\x83\x01\x01\x05\x00\x2A\x80\x86\x00"), uint8(0))
	f.Add([]byte("\x06\x10\x2A\x80\x86\x01\x00\x06\x00\x2A\x80\x86\x01\x00"), uint8(5))
	f.Add([]byte("\x0A\x00\xA4\x08\x00\x04\x11\x00\x11\x02\x00\x05\x00\xC0\x00\x00\x38"), uint8(5))
	f.Fuzz(func(t *testing.T, commands []byte, profile uint8) {
		c := New(Config{Profile: Profiles[int(profile)%len(Profiles)].Name, Decoy: profile >= 128, Person: Shared(1024)})
		// Each command stands behind its length.
		for len(commands) > 0 {
			n := min(int(commands[0]), len(commands)-1)
			r, err := c.Transmit(commands[1 : 1+n])
			if err != nil || len(r) < 2 {
				t.Fatalf("%X: % X, %v", commands[1:1+n], r, err)
			}
			commands = commands[1+n:]
		}
	})
}
