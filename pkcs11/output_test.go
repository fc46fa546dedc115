package pkcs11

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// written returns what is kept of what a worker wrote after it was sent a PIN.
func written(pin string, texts ...string) []string {
	var o output
	o.hide([][]byte{[]byte(pin)})
	for _, text := range texts {
		o.Write([]byte(text))
	}
	return o.text()
}

// TestT24FormsOfThePIN: a line with the PIN is left out, in whichever form it is printed, wherever
// it stands; other lines stay.
func TestT24FormsOfThePIN(t *testing.T) {
	const pin = "aB3é9" // bytes 61 42 33 C3 A9 39
	for _, form := range []string{
		"aB3é9", "ab3é9", "614233C3A939", "614233c3a939", "61 42 33 C3 A9 39", "61:42:33:c3:a9:39", "61-42-33-C3-A9-39",
		"0x61, 0x42, 0x33, 0xC3, 0xA9, 0x39", "0x61 0x42 0x33 0xc3 0xa9 0x39", "97 66 51 195 169 57", "{97, 66, 51, 195, 169, 57}",
		"YUIzw6k5", "a\x00B\x003\x00é\x009\x00",
	} {
		for _, line := range []string{form, "PIN=" + form, form + " was typed", strings.Repeat("9", 500) + form + strings.Repeat("9", 400)} {
			if got := written(pin, "before\n"+line+"\nafter\n"); !slices.Equal(got, []string{"before", hiddenLine, "after"}) {
				t.Errorf("%.40q: %q", line, got)
			}
		}
	}
	for _, line := range []string{"aB3é8", "B3é9", "61 42 33 C3 A9 38", "9é3Ba"} {
		if got := written(pin, line+"\n"); !slices.Equal(got, []string{line}) {
			t.Errorf("%q: %q", line, got)
		}
	}
	if got := written("58293", "5", "82", "93", "\nrest\n"); !slices.Equal(got, []string{hiddenLine, "rest"}) {
		t.Errorf("in pieces: %q", got)
	}
	if got := written("58293", "no end 58293"); !slices.Equal(got, []string{hiddenLine}) {
		t.Errorf("without an end: %q", got)
	}
}

// TestT24LongLines: what is left of a line that was cut holds no part of a PIN, and no line takes
// more memory than that.
func TestT24LongLines(t *testing.T) {
	for at := maxLine - 10; at <= maxLine; at++ {
		got := written("58293", strings.Repeat("x", at), "58293\nafter\n")
		if len(got) != 2 || got[1] != "after" || strings.ContainsAny(got[0], "58293") {
			t.Errorf("at %d: %q", at, got)
		}
	}
	var o output
	for range 100 {
		o.Write([]byte(strings.Repeat("x", maxLine-24)))
	}
	if len(o.partial) > maxLine {
		t.Errorf("%d bytes of a line without an end", len(o.partial))
	}
	o.Write([]byte("\n"))
	if strings.Trim(string(o.partial[:cap(o.partial)]), "\x00") != "" {
		t.Error("the buffer still holds a line that ended")
	}
	for i := range 2 * maxLines {
		fmt.Fprintln(&o, i)
	}
	if lines := o.text(); len(lines) != maxLines || lines[0] != fmt.Sprint(maxLines) {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

// Of many PINs the last ones are looked for; a new worker begins a new line.
func TestManyPINs(t *testing.T) {
	var o output
	for i := range 100 {
		o.hide([][]byte{fmt.Appendf(nil, "%05d", 40_000+i), nil})
	}
	if n := len(o.secrets); n > 64 {
		t.Errorf("%d are remembered", n)
	}
	o.Write([]byte("half of a line 400"))
	o.forget()
	o.Write([]byte("99\r\n40099\r\n"))
	if lines := o.text(); !slices.Equal(lines, []string{"99", hiddenLine}) {
		t.Errorf("%q", lines)
	}
}
