package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestOtherReadersAreLeftAlone: a card in a reader that the user did not name is sent nothing.
func TestOtherReadersAreLeftAlone(t *testing.T) {
	h := citizen.NewHome(t)
	card := citizen.Insert(t, virtualcard.Config{})
	h.Command(t, "card", "list", "--all", "--reader", citizen.Slots["2"].Reader)
	if n := len(card.Log()); n != 0 {
		t.Errorf("%d commands to a card in another reader", n)
	}
	h.Command(t, "card", "list", "--reader", card.Reader)
	if len(card.Log()) == 0 {
		t.Error("no command to the card in the reader that was named")
	}
}

// TestAllOfNothing: where nothing can be listed, `crs card list --all` says why there is no reader, what
// is wrong with the modules, and what one that fails wrote.
func TestAllOfNothing(t *testing.T) {
	h := citizen.NewHome(t)
	f := tokentest.NewFake(t, "")
	f.Insert()
	f.Fault("C_GetSlotList", "5")
	register(t, "fake", f.Path)
	fine := tokentest.NewFake(t, "")
	fine.Insert()
	register(t, "fine", fine.Path)
	list := exec.Command("crs", "card", "list", "--all")
	list.Env = append(h.Env(), "PCSCLITE_CSOCK_NAME="+filepath.Join(string(h), "none"))
	out, err := list.CombinedOutput()
	said := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"Modulo fake (" + f.Path + ") Non usato: non ha funzionato. Reinstalli il programma",
		"Per chi la assiste: C_GetSlotList: CK_RV 05. | the fake module starts",
		"Modulo fine (" + fine.Path + ") Viene usato quando un token ne ha bisogno. crs: ",
		"crs: Il servizio del computer per le smart card non è in funzione.",
	} {
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%v: %q is not in\n%s", err, want, said)
		}
	}
}
