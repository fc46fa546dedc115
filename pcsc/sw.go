package pcsc

import (
	"fmt"

	"github.com/crs-bridge/crs"
)

// sw is a status word (ISO/IEC 7816-4, section 5.6).
type sw uint16

const (
	swOK           sw = 0x9000
	swEndOfFile    sw = 0x6282 // the file ended before Le bytes
	swWrongUnknown sw = 0x6300 // verification failed, no count
	swWrongLength  sw = 0x6700
	swNoChaining1  sw = 0x6883 // last command of the chain expected
	swNoChaining2  sw = 0x6884 // chaining not supported
	swIncompatible sw = 0x6981 // command incompatible with the file's structure
	swNotAllowed   sw = 0x6982 // security status
	swBlocked      sw = 0x6983
	swDataUnusable sw = 0x6984 // reference data not usable
	swWrongData    sw = 0x6A80
	swNoFunction   sw = 0x6A81
	swNotFound     sw = 0x6A82
	swWrongP1P2    sw = 0x6A86
	swNoReference  sw = 0x6A88
	swOutside      sw = 0x6B00 // offset outside the file, or wrong P1 P2
	swNoINS        sw = 0x6D00
	swNoCLA        sw = 0x6E00
)

func (s sw) String() string { return fmt.Sprintf("%04X", uint16(s)) }

// Error makes a status word an error where a command had to succeed.
func (s sw) Error() string { return "card answered " + s.String() }

// Is maps a status word to the closed list.
func (s sw) Is(target error) bool { return target == crs.ErrCard }

// more reports 61xx: the response waits on the card, and how much of it (256 for 00).
func (s sw) more() (int, bool) { return lengthOf(s), s>>8 == 0x61 }

// exactly reports 6Cxx: Le was wrong, and what it should be (256 for 00).
func (s sw) exactly() (int, bool) { return lengthOf(s), s>>8 == 0x6C }

func lengthOf(s sw) int {
	if s&0xFF == 0 {
		return maxShortResponse
	}
	return int(s & 0xFF)
}

// otherReference reports whether VERIFY failed because the card has no PIN under the reference
// it was asked for: nothing was compared (docs/card-safety.md, rule 3).
func (s sw) otherReference() bool {
	return s == swNoReference || s == swWrongP1P2 || s == swOutside
}

// otherMethod reports whether a signature failed for a reason that another method may avoid
// (docs/card-safety.md, rule 5).
func (s sw) otherMethod() bool {
	switch s {
	case swWrongLength, swNoCLA, swNoChaining1, swNoChaining2, swNoINS, swNoFunction, swWrongP1P2:
		return true
	}
	return false
}

// otherTemplate reports whether MSE SET failed because the key is not under the template that it was
// asked for, or because the card does not know the command: nothing was compared, and the key may sign
// under another one (docs/card-safety.md, rule 5).
func (s sw) otherTemplate() bool {
	return s.otherMethod() || s == swNoReference || s == swWrongData || s == swIncompatible
}

// refExists reports whether the answer to a VERIFY shows that there is a PIN under its reference,
// so that the other one is not tried again while the card is in.
func (s sw) refExists() bool { return s.refCertain() || s == swWrongUnknown }

// refCertain reports whether the answer proves that the reference holds a PIN, so that a PUK may be
// sent there. 6300 does not: to other commands it is a warning without a meaning (docs/card-safety.md,
// rule 6).
func (s sw) refCertain() bool {
	return s == swOK || s == swBlocked || s&0xFFF0 == 0x63C0
}

// notSupported reports whether a command that replaces a PIN was refused before anything was
// compared: the card knows it in no form, or not in this one (docs/card-safety.md, rule 6).
func (s sw) notSupported() bool {
	return s == swNoINS || s == swNoCLA || s == swWrongP1P2 || s == swOutside
}

// verifyResult is what the answer to a VERIFY means: the status to keep and the error to
// report. The try was already counted in pending, before the command was sent; before is the
// status until then. Rule 4: only 63Cx gives a number; 6300 is wrong, number unknown; after any
// answer that is not understood the try may have been counted.
func verifyResult(s sw, before, pending crs.PINStatus) (crs.PINStatus, error) {
	switch {
	case s == swOK:
		return crs.UnknownPINStatus, nil
	case s == 0x63C0 || s == swBlocked:
		return crs.PINStatus{Blocked: true}, &crs.PINError{Blocked: true, SW: uint16(s)}
	case s&0xFFF0 == 0x63C0:
		left := int(s & 0xF)
		refused := &crs.PINError{Retries: left, SW: uint16(s)}
		if pending.Retries >= 0 && left > pending.Retries && !before.Blocked {
			return pending, refused // the smaller of what the card says and what was counted
		}
		return crs.PINStatus{Retries: left}, refused
	case s == swWrongUnknown:
		return pending, &crs.PINError{Retries: -1, SW: uint16(s)}
	case s == swDataUnusable:
		return pending, fmt.Errorf("%w (SW %04X)", crs.ErrPINUnusable, uint16(s))
	case s.otherReference():
		return before, fmt.Errorf("%w (SW %04X)", crs.ErrPINUnusable, uint16(s))
	}
	return pending, &crs.PINError{Retries: -1, Uncertain: true, SW: uint16(s)}
}
