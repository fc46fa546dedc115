package pkcs11

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// TestT19TheTokenIsClosed: beside a worker that logged in, and waits for the next login, another
// program needs the PIN itself.
func TestT19TheTokenIsClosed(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	tokentest.NewSoftHSM(t, home, oneToken())
	t.Setenv("SOFTHSM2_CONF", filepath.Join(home, ".config/softhsm2/softhsm2.conf"))
	f := tokentest.NewFake(t, "")
	f.Insert(oneToken())
	for _, module := range []string{tokentest.SoftHSMModule, f.Path} {
		tokens := tokensOf(t, Module{Name: "module", Path: module})
		c := theCard(t, tokens)
		if err := login(t, c, rightPIN); err != nil {
			t.Fatal(err)
		}
		if c.host.running() == nil {
			t.Errorf("%s: no worker waits", module)
		}
		if out, err := otherProgram(t, module); err == nil {
			t.Errorf("%s: another program signs without a PIN:\n%s", module, out)
		}
		if out, err := otherProgram(t, module, "--login", "--pin", rightPIN); err != nil {
			t.Errorf("%s: another program cannot sign with the PIN: %v\n%s", module, err, out)
		}
		if err := login(t, c, rightPIN); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(f.Log(), " "); got != "login:right logout login:right login:right logout" { // pkcs11-tool does not log out
		t.Errorf("the module saw %s", got)
	}
}

// otherProgram signs with pkcs11-tool.
func otherProgram(t *testing.T, module string, args ...string) (string, error) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--module", module, "--token-label", "ONE", "--sign", "--mechanism", "RSA-PKCS", "--id", "01", "--input-file", data, "--output-file", data+".signed")
	out, err := exec.Command("pkcs11-tool", args...).CombinedOutput()
	return string(out), err
}
