package pcsc

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// Rule 8: what another program left open is closed, by the name of the reader and without one.
func TestPcscd8Reset(t *testing.T) {
	v := newVirtual(virtualcard.Config{})
	insert(t, v.Card)
	openInPCSCD(t, v.driver)
	for _, reader := range []string{ns.FirstReader, "as the maker of a module calls it"} {
		ctx, err := scard.EstablishContext()
		if err != nil {
			t.Fatal(err)
		}
		card, err := ctx.Connect(ns.FirstReader, scard.ShareShared, scard.ProtocolAny)
		if err != nil {
			t.Fatal(err)
		}
		verify := append([]byte{0x00, insVerify, 0x00, 0x10, 8}, bytes.Repeat([]byte{0xFF}, 8)...)
		copy(verify[5:], rightPIN)
		if r, err := card.Transmit(verify); err != nil || !bytes.Equal(r, []byte{0x90, 0x00}) {
			t.Fatalf("VERIFY: % X %v", r, err)
		}
		if got := signWithoutPIN(t, pcscReader(ns.FirstReader)); got != swOK {
			t.Fatalf("the card is not open: %v", got)
		}
		var log bytes.Buffer
		(&Driver{Log: slog.New(slog.NewTextHandler(&log, nil))}).Reset(reader)
		if got := signWithoutPIN(t, pcscReader(ns.FirstReader)); got != 0x6982 {
			t.Errorf("after a reset of %q: another program gets %v", reader, got)
		}
		if log.Len() > 0 {
			t.Errorf("written: %s", &log)
		}
		scard.Close(ctx, card, false)
	}
}
