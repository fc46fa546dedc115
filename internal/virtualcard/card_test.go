package virtualcard

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
)

func transmit(t testing.TB, c *Card, command string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(command, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Transmit(b)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return fmt.Sprintf("%X", r)
}

func TestPersonHasTheProfileOfACNS(t *testing.T) {
	p := Shared(2048)
	t.Log(len(p.Certificate.Raw), p.Certificate.Subject, len(Shared(1024).Certificate.Raw))
	if err := crs.CheckCNSProfile(p.Certificate); err != nil {
		t.Error(err)
	}
	s, err := crs.ParseSubject(p.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := crs.CheckCodiceFiscale(s.CodiceFiscale); err != nil {
		t.Error(err)
	}
	t.Log(s)
}
