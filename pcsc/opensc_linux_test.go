//go:build cgo

package pcsc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/miekg/pkcs11"
)

// Rule 6: why the user is told to close the programs that used the card. A session of OpenSC 0.23
// that logged in before the PIN was changed keeps the old PIN. Our reset ends its login; when it
// signs the next time, it resends that PIN on its own, which costs a try, and says no more than
// that nobody is logged in. It does so once; with use_pin_caching = false it does not.
func TestPcscd6OpenSCSendsTheOldPINAgain(t *testing.T) {
	for caching, sent := range map[string]int{"true": 1, "false": 0} {
		t.Run("use_pin_caching="+caching, func(t *testing.T) {
			for _, c := range []care{change, unblock} {
				v := newVirtual(virtualcard.Config{})
				pull := insert(t, v.Card)
				card := openInPCSCD(t, v.driver)
				session := openOpenSC(t, caching)
				if err := session.sign(); err != nil || v.Count(insVerify) != 1 {
					t.Fatalf("before: %v, %d VERIFY", err, v.Count(insVerify))
				}
				if err := c.run(card, right[c.ins], freshPIN); err != nil {
					t.Fatal(err)
				}
				v.Forget()
				for range 3 {
					if err := session.sign(); err != pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN) {
						t.Errorf("INS %02X, after: %v", c.ins, err)
					}
				}
				if v.Count(insVerify) != sent || v.tries() != 3-sent {
					t.Errorf("INS %02X, after: %d VERIFY, %d tries left", c.ins, v.Count(insVerify), v.tries())
				}
				session.close()
				pull()
			}
		})
	}
}

// openSC is a program with a session of OpenSC's PKCS#11 module, in which the user logged in.
type openSC struct {
	*pkcs11.Ctx
	session pkcs11.SessionHandle
	key     pkcs11.ObjectHandle
}

func openOpenSC(t *testing.T, caching string) *openSC {
	t.Helper()
	ns.NeedProgram(t, "pkcs11-tool") // from the same packages as the module
	// The sizes: else OpenSC believes that vpcd takes no extended command.
	conf := `app default {
		reader_driver pcsc { max_send_size = 65535; max_recv_size = 65536; }
		framework pkcs15 { use_file_caching = false; use_pin_caching = ` + caching + `; }
	}`
	file := filepath.Join(t.TempDir(), "opensc.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENSC_CONF", file)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := &openSC{Ctx: pkcs11.New("opensc-pkcs11.so")}
	if s.Ctx == nil {
		t.Fatal("OpenSC's module cannot be loaded")
	}
	must(s.Initialize())
	slots, err := s.GetSlotList(true)
	must(err)
	s.session, err = s.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION)
	must(err)
	must(s.Login(s.session, pkcs11.CKU_USER, rightPIN))
	must(s.FindObjectsInit(s.session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}))
	keys, _, err := s.FindObjects(s.session, 1)
	must(err)
	must(s.FindObjectsFinal(s.session))
	s.key = keys[0]
	return s
}

func (s *openSC) sign() error {
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil)}
	if err := s.SignInit(s.session, mechanism, s.key); err != nil {
		return err
	}
	_, err := s.Sign(s.session, []byte("to be signed"))
	return err
}

func (s *openSC) close() {
	s.Finalize()
	s.Destroy()
}
