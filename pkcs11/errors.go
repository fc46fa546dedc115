package pkcs11

import (
	"errors"
	"fmt"

	"github.com/crs-bridge/crs"
)

// Calls whose failure means something here. The first two are the worker's own.
const (
	callLoad   = "load"
	callNoKey  = "no private key"
	callLogin  = "C_Login"
	callSetPIN = "C_SetPIN"
	callLogout = "C_Logout"
)

// CK_RV of PKCS#11 v2.40, section 5.1, as far as they mean something to a user.
const (
	ckrSlotIDInvalid         = 0x03
	ckrDeviceRemoved         = 0x32
	ckrFunctionCanceled      = 0x50
	ckrPINIncorrect          = 0xA0
	ckrPINInvalid            = 0xA1
	ckrPINLenRange           = 0xA2
	ckrPINExpired            = 0xA3
	ckrPINLocked             = 0xA4
	ckrSessionClosed         = 0xB0
	ckrSessionHandleInvalid  = 0xB3
	ckrTokenNotPresent       = 0xE0
	ckrTokenNotRecognized    = 0xE1
	ckrUserPINNotInitialized = 0x102
)

// Flags of CK_TOKEN_INFO, section 3.2.
const (
	ckfProtectedPath = 0x100
	ckfPINCountLow   = 0x10000
	ckfPINFinalTry   = 0x20000
	ckfPINLocked     = 0x40000
)

func (f *failure) Error() string {
	switch {
	case f.Code != 0:
		return fmt.Sprintf("%s: CK_RV %02X", f.Call, f.Code)
	case f.Text != "":
		return f.Call + ": " + f.Text
	}
	return f.Call
}

// Is maps a failure to the closed list, and to what says more than that.
func (f *failure) Is(target error) bool {
	switch f.Code {
	case ckrSlotIDInvalid, ckrDeviceRemoved, ckrTokenNotPresent, ckrTokenNotRecognized, ckrSessionClosed, ckrSessionHandleInvalid:
		return target == crs.ErrCardRemoved || target == crs.ErrCard
	}
	if f.Call == callNoKey {
		return target == crs.ErrCardUnusable
	}
	return target == crs.ErrModule || target == crs.ErrCard
}

// died is a worker that ended, or was ended, in the middle of a request.
type died struct {
	why   string // of the process, never of what it wrote
	ended bool   // on its own, or by another program
}

func (d *died) Error() string { return "the module's process " + d.why }

func (d *died) Is(target error) bool { return target == crs.ErrModule || target == crs.ErrCard }

// pinResult is what the answer to a request with a PIN means: the status to keep and the error to
// report. The try was already counted in pending, before the PIN was sent; before is the status
// until then. Only an answer that says that the PIN was right, wrong or locked is clear
// (docs/card-safety.md, rule 4): modules differ in what they check before they ask the token.
func pinResult(r reply, err error, before, pending crs.PINStatus) (crs.PINStatus, error) {
	var f *failure
	told := errors.As(err, &f)
	switch {
	case err == nil || r.Accepted && !(told && f.Call == callLogin): // a key may want a second C_Login
		return crs.UnknownPINStatus, err
	case !told:
		return pending, &crs.PINError{Retries: -1, Uncertain: true, Err: err}
	case f.Call != callLogin && f.Call != callSetPIN:
		return before, err // it did not get as far as the PIN
	}
	switch f.Code {
	case ckrPINIncorrect:
		if r.Flags&ckfPINFinalTry != 0 {
			return crs.PINStatus{Retries: 1}, &crs.PINError{Retries: 1, Err: err}
		}
		return pending, &crs.PINError{Retries: -1, Err: err}
	case ckrPINLocked:
		// Unlike a CNS, a token has no PUK that this software knows how to use.
		return crs.PINStatus{Blocked: true}, &crs.PINError{Blocked: true, Err: errors.Join(crs.ErrPINUnsupported, err)}
	case ckrPINExpired, ckrUserPINNotInitialized:
		return before, fmt.Errorf("%w: %w", crs.ErrPINUnusable, err)
	case ckrFunctionCanceled:
		if r.Flags&ckfProtectedPath != 0 { // cancelled on the device: nothing was compared
			return before, crs.ErrPadCancelled
		}
	}
	return pending, &crs.PINError{Retries: -1, Uncertain: true, Err: err}
}

// Why is the word for why a module is not used. Programs read it (crs card list --json), and each has
// a text in the catalogue.
type Why string

// The reasons.
const (
	Missing    Why = "missing"         // there is no such file
	AtHome     Why = "at_home"         // it is below the home directory: Detail says where
	Writable   Why = "writable"        // others than administrators can change the file, or the directory in Detail
	Machine    Why = "other_machine"   // it is made for another kind of computer
	NotPKCS11  Why = "not_pkcs11"      // it is not a PKCS#11 library
	Dependency Why = "library_missing" // a library that it needs is missing: Detail names it
	Trust      Why = "no_keys"         // it is known to hold no personal keys
	Failed     Why = "failed"          // it cannot be loaded or used: Detail says what failed
)

// Unused is why a module is not used.
type Unused struct {
	Why    Why
	Detail string
}

func (u *Unused) Error() string {
	if u.Detail == "" {
		return string(u.Why)
	}
	return string(u.Why) + ": " + u.Detail
}

// Is maps the reason to the closed list.
func (u *Unused) Is(target error) bool { return target == crs.ErrModule || target == crs.ErrCard }
