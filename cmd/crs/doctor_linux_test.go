package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// runDoctor returns what it says, in one line. It finds things wrong: no service runs in tests.
func runDoctor(t *testing.T, h citizen.Home) string {
	t.Helper()
	cmd := exec.Command("crs", "doctor")
	cmd.Env = h.Env()
	out, _ := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("crs doctor ends with %d", code)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// TestDoctorOfModules: doctor says which modules are used and why others are not, and for that
// sends nothing to a card that has a driver.
func TestDoctorOfModules(t *testing.T) {
	h := citizen.NewHome(t)
	f := tokentest.NewFake(t, "")
	f.Insert(tokenOf(somebodyElse(t)))
	opensc := filepath.Join(filepath.Dir(f.Path), "opensc-pkcs11.so")
	module, err := os.ReadFile("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")
	if err == nil {
		err = os.WriteFile(opensc, module, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	atHome := filepath.Join(string(h), "mine.so")
	if err := os.WriteFile(atHome, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	forReaders := filepath.Join(filepath.Dir(f.Path), "libsiecap11.so") // of the table: it is loaded only in need
	if err := os.WriteFile(forReaders, []byte("no library"), 0o755); err != nil {
		t.Fatal(err)
	}
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	card.Forget()
	h.Command(t, "card", "list")
	alone := len(card.Log())
	card.Forget()

	register(t, "opensc", opensc)
	register(t, "fake", f.Path)
	register(t, "cardos", forReaders)
	register(t, "mine", atHome)
	register(t, "gone", "/mnt/gone.so")
	register(t, "p11-kit-trust", "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-trust.so")
	said := runDoctor(t, h)
	for _, want := range []string{
		"✓ Modulo: fake. Viene usato", "✓ Modulo: opensc. Viene usato", "✓ Modulo: cardos. Viene usato",
		"– Modulo: gone. Non usato: il file non c'è",
		"– Modulo: mine. Non usato: ~/mine.so si trova nella sua cartella personale",
		"– Modulo: p11-kit-trust. Non usato: non contiene chiavi", "✓ Carta: Fake slot 0: CNS (PKCS#11: fake), si può usare.",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	if n := len(card.Log()); n != alone {
		t.Errorf("%d commands to the card, %d without asking modules", n, alone)
	}
	if strings.Contains(said, "PROVA") || strings.Contains(said, string(h)) {
		t.Errorf("it tells who:\n%s", said)
	}

	f.Insert()
	f.Fault("C_Initialize", "5")
	other, err := virtualcard.NewPerson(virtualcard.Identity{Policies: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	card.Pull()
	said = runDoctor(t, h)
	for _, want := range []string{
		"✗ Modulo: fake. Non usato: non ha funzionato. Reinstalli il programma ricevuto con la carta o il token, o ne chieda uno più recente. Per chi la assiste: C_Initialize: CK_RV 05.", "✗ Modulo: mine.",
		"✗ Modulo: cardos. Non usato: il file non è una libreria PKCS#11", "– Modulo: p11-kit-trust.",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("without a card: %q is not in\n%s", want, said)
		}
	}
	citizen.Insert(t, virtualcard.Config{Person: other})
	said = runDoctor(t, h)
	for _, want := range []string{"✓ Carta: token (PKCS#11: ", "– Modulo: cardos. Non usato: il file non è"} {
		if !strings.Contains(said, want) {
			t.Errorf("with a card that the driver does not know: %q is not in\n%s", want, said)
		}
	}
}
