//go:build linux

package virtualcard

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/ns"
)

// OpenSC 0.23 judges these profiles. It does not know the others: idemia, whose paths are not
// in that version's list; t0 and nfc, whose ATRs it does not take for a CNS (it wants T=1 and
// the historical bytes).
var judged = map[string]string{"st": "01", "stincard": "01", "v1": "01", "infocamere": "21"}

func TestOpenSCAcceptsTheCard(t *testing.T) {
	for profile, id := range judged {
		t.Run(profile, func(t *testing.T) {
			c := New(Config{Profile: profile})
			o := insert(t, c)

			dump := o.run("pkcs15-tool", "--dump")
			for _, want := range []string{"[ADA ESEMPIO]", "Serial number  : " + c.Person().CardID, "[PIN CNS0", "X.509 Certificate"} {
				if !bytes.Contains(dump, []byte(want)) {
					t.Errorf("pkcs15-tool --dump lacks %q:\n%s", want, dump)
				}
			}

			block, _ := pem.Decode(o.run("pkcs15-tool", "--read-certificate", id))
			if block == nil || !bytes.Equal(block.Bytes, c.Person().Certificate.Raw) {
				t.Error("OpenSC does not read the certificate that the card holds")
			}

			o.sign(DefaultPIN)

			if out, ok := o.try("pkcs15-tool", "--verify-pin", "--auth-id", id, "--pin", "99999"); ok {
				t.Errorf("OpenSC took a wrong PIN for the right one:\n%s", out)
			}
			o.tries(2, 3)

			o.run("pkcs15-tool", "--change-pin", "--auth-id", id, "--pin", DefaultPIN, "--new-pin", "24680")
			o.tries(3, 3)
			o.sign("24680")

			for range 3 {
				o.try("pkcs15-tool", "--verify-pin", "--auth-id", id, "--pin", DefaultPIN)
			}
			o.tries(0, 3)
			if out, ok := o.try("pkcs15-tool", "--verify-pin", "--auth-id", id, "--pin", "24680"); ok {
				t.Errorf("a blocked PIN was accepted:\n%s", out)
			}

			if out, ok := o.try("pkcs15-tool", "--unblock-pin", "--auth-id", id, "--puk", "11111111", "--new-pin", "13579"); ok {
				t.Errorf("a wrong PUK unblocked the PIN:\n%s", out)
			}
			o.tries(0, 2)
			o.run("pkcs15-tool", "--unblock-pin", "--auth-id", id, "--puk", DefaultPUK, "--new-pin", "13579")
			o.tries(3, 3)
			o.sign("13579")
		})
	}
}

// opensc drives OpenSC's tools on a card in the first slot of pcscd.
type opensc struct {
	t    *testing.T
	card *Card
	dir  string
}

func insert(t *testing.T, c *Card) *opensc {
	t.Helper()
	ns.NeedPcscd(t)
	ctx, pull := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.ServeVPCD(ctx, ns.FirstSlot) }()
	t.Cleanup(func() {
		pull()
		if err := <-served; err != nil && !errors.Is(err, crs.ErrCardRemoved) {
			t.Errorf("ServeVPCD: %v", err)
		}
		awaitSlot(t, scard.StateEmpty)
	})
	awaitSlot(t, scard.StatePresent)
	o := &opensc{t, c, t.TempDir()}
	// Otherwise OpenSC believes that vpcd takes no extended command, and caches in the home.
	const conf = `app default {
		reader_driver pcsc { max_send_size = 65535; max_recv_size = 65536; }
		framework pkcs15 { use_file_caching = false; }
	}`
	if err := os.WriteFile(o.path("opensc.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// awaitSlot waits until pcscd says this of the first slot, and returns the answer to reset.
func awaitSlot(t *testing.T, want scard.StateFlag) []byte {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	defer ctx.Release()
	state := []scard.ReaderState{{Reader: ns.FirstReader}}
	for deadline := time.Now().Add(await.Limit); time.Now().Before(deadline); {
		if err := ctx.GetStatusChange(state, time.Second); err != nil && err != scard.ErrTimeout {
			t.Fatal(err)
		}
		if state[0].EventState&want != 0 {
			return state[0].Atr
		}
		state[0].CurrentState = state[0].EventState
	}
	t.Fatalf("the slot does not become %v: %v", want, state[0].EventState)
	return nil
}

func (o *opensc) path(name string) string { return filepath.Join(o.dir, name) }

func (o *opensc) try(program string, args ...string) (out []byte, ok bool) {
	o.t.Helper()
	ns.NeedProgram(o.t, program)
	ctx, cancel := context.WithTimeout(o.t.Context(), await.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "OPENSC_CONF="+o.path("opensc.conf"))
	out, err := cmd.CombinedOutput()
	return out, err == nil
}

func (o *opensc) run(program string, args ...string) []byte {
	o.t.Helper()
	out, ok := o.try(program, args...)
	if !ok {
		o.t.Fatalf("%s %s failed:\n%s", program, args, out)
	}
	return out
}

func (o *opensc) tries(pin, puk int) {
	o.t.Helper()
	if p, u := o.card.Tries(); p != pin || u != puk {
		o.t.Errorf("the card has %d tries of the PIN and %d of the PUK left, not %d and %d", p, u, pin, puk)
	}
}

// sign makes a signature through OpenSC's PKCS#11 module, and openssl checks it.
func (o *opensc) sign(pin string) {
	o.t.Helper()
	message := []byte("to be signed")
	public, err := x509.MarshalPKIXPublicKey(o.card.Person().Certificate.PublicKey)
	if err != nil {
		o.t.Fatal(err)
	}
	files := map[string][]byte{
		"message": message,
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}
	for name, content := range files {
		if err := os.WriteFile(o.path(name), content, 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	o.run("pkcs11-tool", "--login", "--pin", pin, "--sign", "--mechanism", "SHA256-RSA-PKCS",
		"--input-file", o.path("message"), "--output-file", o.path("signature"))
	o.run("openssl", "dgst", "-sha256", "-verify", o.path("key.pem"), "-signature", o.path("signature"), o.path("message"))
}
