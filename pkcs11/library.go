//go:build cgo

package pkcs11

/*
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#pragma pack(push, 1) // PKCS#11 v2.40, section 2.1: structures are packed on Windows
#else
#include <dlfcn.h>
#endif

typedef unsigned long ulong;
typedef ulong (*login_function)(ulong session, ulong user, unsigned char *pin, ulong len);
typedef ulong (*set_pin_function)(ulong session, unsigned char *old, ulong old_len, unsigned char *fresh, ulong fresh_len);

// CK_FUNCTION_LIST, of which two functions take PINs.
typedef struct {
	unsigned char version[2];
	void *before[11];
	set_pin_function set_pin;
	void *between[6];
	login_function login;
} function_list;

#ifdef _WIN32
#pragma pack(pop)
#endif

typedef ulong (*get_list_function)(function_list **);

// load returns the functions of a module, or NULL and why.
static function_list *load(const char *path, char *why, size_t most) {
	get_list_function get = NULL;
	function_list *list = NULL;
#ifdef _WIN32
	WCHAR wide[1024];
	if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, sizeof wide / sizeof *wide)) {
		snprintf(why, most, "error %lu", GetLastError());
		return NULL;
	}
	// The libraries that it needs are beside it or the system's. The directory of this program is
	// not searched.
	HMODULE module = LoadLibraryExW(wide, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
	if (module == NULL) {
		snprintf(why, most, "error %lu", GetLastError());
		return NULL;
	}
	get = (get_list_function)GetProcAddress(module, "C_GetFunctionList");
#else
	void *module = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (module == NULL) {
		const char *error = dlerror();
		snprintf(why, most, "%s", error ? error : "not loaded");
		return NULL;
	}
	get = (get_list_function)dlsym(module, "C_GetFunctionList");
#endif
	if (get == NULL || get(&list) != 0 || list == NULL) {
		snprintf(why, most, "no C_GetFunctionList");
		return NULL;
	}
	return list;
}

static ulong login(function_list *f, ulong session, ulong user, unsigned char *pin, ulong len) {
	return f->login(session, user, pin, len);
}

static ulong set_pin(function_list *f, ulong session, unsigned char *old, ulong old_len, unsigned char *fresh, ulong fresh_len) {
	return f->set_pin(session, old, old_len, fresh, fresh_len);
}
*/
import "C"

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/crs-bridge/crs"
)

// library is a PKCS#11 module in this process, a worker, which the module may crash.
//
// The binding keeps copies of PINs that cannot be wiped, and has no NULL for a PIN that is typed
// on the device, so the two functions that take PINs are called past it.
type library struct {
	ctx         *pkcs11.Ctx // nil until it is loaded
	raw         *C.function_list
	initialized bool
	known       []token // of the last list
}

// openLibrary returns a function that answers requests with the module at path, which the first
// request loads, and one that ends its use.
func openLibrary(path string) (answer func(request, []*crs.PIN, func()) reply, end func()) {
	m := &library{}
	return func(q request, secrets []*crs.PIN, accepted func()) reply {
		var a reply
		var err error
		if m.ctx == nil {
			err = m.load(path)
		}
		if err == nil && q.Do != doCheck {
			err = m.initialize()
		}
		if err == nil {
			a, err = m.answer(q, secrets, accepted)
		}
		if err != nil && !errors.As(err, &a.Failure) {
			a.Failure = &failure{Call: q.Do, Text: clip(err.Error())}
		}
		return a
	}, m.close
}

func (m *library) load(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var why [maxText]C.char
	if m.raw = C.load(name, &why[0], C.size_t(len(why))); m.raw == nil {
		return loadFailure(path, C.GoString(&why[0]))
	}
	if runtime.GOOS == "windows" {
		path = filepath.Base(path) // the loaded one: the binding takes no UTF-8 here
	}
	if m.ctx = pkcs11.New(path); m.ctx == nil {
		return &failure{Call: callLoad}
	}
	return nil
}

func (m *library) initialize() error {
	if m.initialized {
		return nil
	}
	err := m.ctx.Initialize()
	m.initialized = err == nil
	return failed("C_Initialize", err)
}

func (m *library) close() {
	if m.initialized {
		m.ctx.Finalize()
	}
}

func (m *library) answer(q request, secrets []*crs.PIN, accepted func()) (reply, error) {
	switch q.Do {
	case doCheck, doLoad:
		return reply{}, nil
	case doList:
		return m.list()
	}
	// A session that is still open would be logged in with the PIN of an earlier login.
	m.ctx.CloseAllSessions(q.Token.Slot)
	info, err := m.ctx.GetTokenInfo(q.Token.Slot)
	if err != nil {
		return reply{}, failed("C_GetTokenInfo", err)
	}
	if now := tokenOf(q.Token.Slot, info); !now.same(*q.Token) {
		return reply{}, &failure{Call: "C_GetTokenInfo", Code: pkcs11.CKR_TOKEN_NOT_PRESENT}
	}
	var a reply
	switch q.Do {
	case doVerify:
		err = m.session(q, func(s pkcs11.SessionHandle) error {
			return m.loggedIn(s, secrets, accepted, func() error { return nil })
		})
	case doSign:
		err = m.session(q, func(s pkcs11.SessionHandle) error {
			return m.loggedIn(s, secrets, accepted, func() (err error) {
				a.Signature, err = m.sign(s, q, secrets)
				return err
			})
		})
	case doChange:
		err = m.session(q, func(s pkcs11.SessionHandle) error { return m.setPIN(s, secrets) })
	}
	if info, infoErr := m.ctx.GetTokenInfo(q.Token.Slot); infoErr == nil {
		a.Flags = info.Flags
	}
	return a, err
}

// session runs f in a session of its own, with the token that has the certificate. C_SetPIN needs a
// session that may write.
func (m *library) session(q request, f func(pkcs11.SessionHandle) error) error {
	flags := uint(pkcs11.CKF_SERIAL_SESSION)
	if q.Do == doChange {
		flags |= pkcs11.CKF_RW_SESSION
	}
	s, err := m.ctx.OpenSession(q.Token.Slot, flags)
	if err != nil {
		return failed("C_OpenSession", err)
	}
	defer m.ctx.CloseSession(s)
	if !m.hasCertificate(s, *q.Certificate) {
		m.known = nil // another token of the same name: read it again
		return &failure{Call: "C_GetAttributeValue", Code: pkcs11.CKR_TOKEN_NOT_PRESENT}
	}
	return f(s)
}

// loggedIn runs f between C_Login and C_Logout.
func (m *library) loggedIn(s pkcs11.SessionHandle, secrets []*crs.PIN, accepted func(), f func() error) error {
	if err := m.login(s, pkcs11.CKU_USER, secrets); err != nil {
		return err
	}
	accepted()
	err := f()
	if outErr := m.ctx.Logout(s); err == nil && outErr != nil {
		err = failed(callLogout, outErr)
	}
	return err
}

// login sends the PIN as it is in memory, NULL for one that is typed on the device.
func (m *library) login(s pkcs11.SessionHandle, user uint, secrets []*crs.PIN) error {
	pin, n, err := spend(secrets, 0)
	if err != nil {
		return err
	}
	return failedCode(callLogin, uint(C.login(m.raw, C.ulong(s), C.ulong(user), pin, n)))
}

func (m *library) setPIN(s pkcs11.SessionHandle, secrets []*crs.PIN) error {
	old, oldLen, err := spend(secrets, 0)
	if err != nil {
		return err
	}
	fresh, freshLen, err := spend(secrets, 1)
	if err != nil {
		return err
	}
	return failedCode(callSetPIN, uint(C.set_pin(m.raw, C.ulong(s), old, oldLen, fresh, freshLen)))
}

func spend(secrets []*crs.PIN, i int) (*C.uchar, C.ulong, error) {
	if len(secrets) == 0 {
		return nil, 0, nil
	}
	b, err := secrets[i].Spend()
	if err != nil {
		return nil, 0, err
	}
	return (*C.uchar)(unsafe.SliceData(b)), C.ulong(len(b)), nil
}

// sign signs the digest with the private key of the certificate.
func (m *library) sign(s pkcs11.SessionHandle, q request, secrets []*crs.PIN) ([]byte, error) {
	key, err := m.keyOf(s, *q.Certificate)
	if err != nil {
		return nil, err
	}
	mechanism, data := mechanismFor(q.Algorithm, q.Digest)
	if err := m.ctx.SignInit(s, mechanism, key); err != nil {
		return nil, failed("C_SignInit", err)
	}
	// Such a key needs the PIN for each signature. The token has just accepted this one, so it
	// costs no try (PKCS#11 v2.40, section 4.9.1).
	if always, err := m.attribute(s, key, pkcs11.CKA_ALWAYS_AUTHENTICATE); err == nil && len(always) > 0 && always[0] != 0 {
		for _, pin := range secrets {
			pin.Refund()
		}
		if err := m.login(s, pkcs11.CKU_CONTEXT_SPECIFIC, secrets); err != nil {
			return nil, err
		}
	}
	signature, err := m.ctx.Sign(s, data)
	return signature, failed("C_Sign", err)
}

// keyOf returns the private key that has the CKA_ID of a certificate. If several have it, the
// CKA_ID is not enough: one of them may be for signing documents.
func (m *library) keyOf(s pkcs11.SessionHandle, c certificate) (pkcs11.ObjectHandle, error) {
	keys, err := m.find(s, pkcs11.CKO_PRIVATE_KEY, c.ID)
	if err != nil {
		return 0, err
	}
	if len(keys) == 1 {
		return keys[0], nil
	}
	var modulus []byte
	if cert, err := crs.ParseCertificate(c.DER); err == nil {
		if public, ok := cert.PublicKey.(*rsa.PublicKey); ok {
			modulus = public.N.Bytes()
		}
	}
	for _, key := range keys {
		n, err := m.attribute(s, key, pkcs11.CKA_MODULUS)
		if err == nil && modulus != nil && bytes.Equal(bytes.TrimLeft(n, "\x00"), modulus) {
			return key, nil
		}
	}
	return 0, &failure{Call: callNoKey}
}

func mechanismFor(a crs.Algorithm, digest []byte) ([]*pkcs11.Mechanism, []byte) {
	switch a {
	case crs.RS256:
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil)}, digestInfo(digest)
	case crs.PS256:
		params := pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32)
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, params)}, digest
	}
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, digest
}

// hasCertificate reports whether the certificate that the user was asked about is on the token:
// no PIN goes to another one.
func (m *library) hasCertificate(s pkcs11.SessionHandle, want certificate) bool {
	found, err := m.find(s, pkcs11.CKO_CERTIFICATE, want.ID)
	if err != nil {
		return false
	}
	for _, o := range found {
		if der, err := m.attribute(s, o, pkcs11.CKA_VALUE); err == nil && bytes.Equal(der, want.DER) {
			return true
		}
	}
	return false
}

// list reads the tokens, without a PIN. The objects of tokens that were in the last list are not
// read again.
func (m *library) list() (reply, error) {
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		m.known = nil // the host knows none now
		return reply{}, failed("C_GetSlotList", err)
	}
	var tokens []token
	unchanged := m.known != nil
	for _, slot := range slots[:min(len(slots), maxTokens)] {
		info, err := m.ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue // taken out meanwhile, or empty
		}
		t := tokenOf(slot, info)
		if n := len(tokens); n < len(m.known) && m.known[n].Slot == slot && m.known[n].same(t) {
			t.Reader, t.Algorithms, t.Certificates, t.Keys = m.known[n].Reader, m.known[n].Algorithms, m.known[n].Certificates, m.known[n].Keys
			unchanged = unchanged && m.known[n].Flags == t.Flags
		} else {
			unchanged = false
			if slotInfo, err := m.ctx.GetSlotInfo(slot); err == nil {
				t.Reader = text(slotInfo.SlotDescription)
			}
			m.read(&t)
		}
		tokens = append(tokens, t)
	}
	unchanged = unchanged && len(tokens) == len(m.known)
	m.known = append([]token{}, tokens...)
	if unchanged {
		return reply{Unchanged: true}, nil
	}
	return reply{Tokens: tokens}, nil
}

// read reads the objects of a token that are visible without a PIN. Those that cannot be read count
// as absent.
func (m *library) read(t *token) {
	if mechanisms, err := m.ctx.GetMechanismList(t.Slot); err == nil {
		for _, mechanism := range mechanisms {
			switch mechanism.Mechanism {
			case pkcs11.CKM_RSA_PKCS:
				t.Algorithms = append(t.Algorithms, crs.RS256)
			case pkcs11.CKM_RSA_PKCS_PSS:
				t.Algorithms = append(t.Algorithms, crs.PS256)
			}
		}
	}
	s, err := m.ctx.OpenSession(t.Slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return
	}
	defer m.ctx.CloseSession(s)
	certificates, _ := m.find(s, pkcs11.CKO_CERTIFICATE, nil)
	for _, o := range certificates {
		der, err := m.attribute(s, o, pkcs11.CKA_VALUE)
		id, idErr := m.attribute(s, o, pkcs11.CKA_ID)
		if err == nil && idErr == nil && len(der) <= maxCertificate && len(id) <= maxID {
			t.Certificates = append(t.Certificates, certificate{id, der})
		}
	}
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
		keys, _ := m.find(s, class, nil)
		for _, o := range keys {
			if id, err := m.attribute(s, o, pkcs11.CKA_ID); err == nil && len(id) <= maxID {
				t.Keys = append(t.Keys, id)
			}
		}
	}
}

// find returns some objects of a class: no card has more than maxCertificates.
func (m *library) find(s pkcs11.SessionHandle, class uint, id []byte) ([]pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if id != nil {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
	}
	if err := m.ctx.FindObjectsInit(s, template); err != nil {
		return nil, failed("C_FindObjectsInit", err)
	}
	defer m.ctx.FindObjectsFinal(s)
	found, _, err := m.ctx.FindObjects(s, maxCertificates)
	return found[:min(len(found), maxCertificates)], failed("C_FindObjects", err)
}

// attribute reads one attribute: a call for several fails for all if it does for one.
func (m *library) attribute(s pkcs11.SessionHandle, o pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	a, err := m.ctx.GetAttributeValue(s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil || len(a) != 1 {
		return nil, failed("C_GetAttributeValue", err)
	}
	return a[0].Value, nil
}

func tokenOf(slot uint, info pkcs11.TokenInfo) token {
	return token{
		Slot: slot, Label: text(info.Label), Manufacturer: text(info.ManufacturerID),
		Model: text(info.Model), Serial: text(info.SerialNumber),
		Flags: info.Flags, MinPIN: info.MinPinLen, MaxPIN: info.MaxPinLen,
	}
}

func failed(call string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{Call: call}
	if code, ok := err.(pkcs11.Error); ok {
		f.Code = uint(code)
	} else {
		f.Text = clip(err.Error())
	}
	return f
}

func failedCode(call string, code uint) error {
	if code == pkcs11.CKR_OK {
		return nil
	}
	return &failure{Call: call, Code: code}
}

// digestInfo returns the DER of DigestInfo for a SHA-256 digest (RFC 8017, section 9.2).
func digestInfo(sha256 []byte) []byte {
	return append([]byte{0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
		0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, sha256...)
}
