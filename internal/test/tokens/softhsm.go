package tokens

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// SoftHSMModule is the module of SoftHSM.
const (
	SoftHSMModule = ns.SoftHSM
	softHSMPUK    = "87654321"
)

// NewSoftHSM makes tokens of SoftHSM in the home directory of a user. SoftHSM finds them by HOME.
func NewSoftHSM(t testing.TB, home string, tokens ...Token) {
	t.Helper()
	ns.NeedProgram(t, "softhsm2-util", "pkcs11-tool", SoftHSMModule)
	store := filepath.Join(home, "softhsm")
	config := filepath.Join(home, ".config", "softhsm2")
	for _, dir := range []string{store, config} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "directories.tokendir = " + store + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(filepath.Join(config, "softhsm2.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "SOFTHSM2_CONF="+filepath.Join(config, "softhsm2.conf"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	dir := t.TempDir()
	for _, token := range tokens {
		run("softhsm2-util", "--init-token", "--free", "--label", token.Label, "--pin", token.PIN, "--so-pin", softHSMPUK)
		for i, o := range token.Objects {
			id := fmt.Sprintf("%x", o.ID)
			if o.Key != nil {
				der, err := x509.MarshalPKCS8PrivateKey(o.Key)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, fmt.Sprintf("key%d.pem", i))
				if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
					t.Fatal(err)
				}
				run("softhsm2-util", "--import", file, "--token", token.Label, "--label", "key", "--id", id, "--pin", token.PIN)
			}
			if o.Certificate != nil {
				file := filepath.Join(dir, fmt.Sprintf("cert%d.der", i))
				if err := os.WriteFile(file, o.Certificate.Raw, 0o600); err != nil {
					t.Fatal(err)
				}
				run("pkcs11-tool", "--module", SoftHSMModule, "--token-label", token.Label, "--login", "--pin", token.PIN,
					"--write-object", file, "--type", "cert", "--id", id, "--label", "certificate")
			}
		}
	}
}
