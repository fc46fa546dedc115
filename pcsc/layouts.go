package pcsc

// layout is one way in which cards carry the authentication certificate of a CNS and its key.
// A new model is a row of layouts and, at most, a file of its own.
type layout struct {
	name        string
	certificate []byte // path of the certificate's file, without 3F00
	wrapped     bool   // the certificate begins at offset 5, after its length
	keyDF       []byte // selected before VERIFY, because the key is in it; nil: the key is in the MF
	keyRef      byte   // key id for MSE SET

	// P2 of the PIN commands: the reference to try, and the one to try after an answer that says that
	// the first does not exist. nil: that of the ATR's mask.
	pinRefs []byte

	// Cards of this mask and at least this firmware most likely have this layout: it is tried
	// first. The ATR decides no more than the order; the files decide (docs/card-safety.md, rule 2).
	mask, firmware byte
}

// The card table. Sources: OpenSC, pkcs15-itacns.c; CNS file system v10 (see each row).
var layouts = []layout{
	// Classic: EF_C_Carta, key KPri 01h under the MF. Every TS-CNS but those below.
	{name: "classic", certificate: []byte{0x11, 0x00, 0x11, 0x01}, keyRef: 0x01},

	// IDEMIA 2021 (ID-One CNS v2): the certificate's EF is 2048 bytes long, its key works only
	// while its DF is current, else 6984 (OpenSC issue 2483). That DF is under the one of the document
	// signature, 1400, where a search upwards would meet its PIN: 10h is the only reference
	// (docs/card-safety.md, rule 3).
	{name: "idemia", certificate: []byte{0x14, 0x00, 0x90, 0x01, 0x20, 0x02},
		keyDF: []byte{0x14, 0x00, 0x90, 0x02}, keyRef: 0x02, pinRefs: []byte{pinGlobal}, mask: maskOberthur, firmware: 0x20},

	// InfoCamere 1204: bytes 1 and 2 of the file are a length, the certificate begins at 5.
	{name: "infocamere", certificate: []byte{0x2F, 0xFF, 0x82, 0x28}, wrapped: true,
		keyDF: []byte{0x2F, 0xFF}, keyRef: 0x21},
}

// Files that every CNS has under the same path (CNS file system v10).
var (
	pathCardID       = []byte{0x10, 0x00, 0x10, 0x03} // EF_IDCarta, 16 characters
	pathPersonalData = []byte{0x11, 0x00, 0x11, 0x02} // EF_DatiPersonali
)

// layoutsFor returns the rows of the table, the likely ones for this ATR first.
func layoutsFor(a atr) []layout {
	mask, firmware := a.cnsMask()
	var likely, others []layout
	for _, l := range layouts {
		if l.mask != 0 && l.mask == mask && firmware >= l.firmware {
			likely = append(likely, l)
		} else {
			others = append(others, l)
		}
	}
	return append(likely, others...)
}

// PIN references (P2 of VERIFY). Bit 8 set means: search from the current DF upwards.
const (
	pinGlobal = 0x10
	pinSearch = 0x90
)

// pinReferences returns the references of the row, or those of the mask: STIncard cards take 90h,
// all others 10h (OpenSC, card-itacns.c).
func (l layout) pinReferences(a atr) []byte {
	mask, _ := a.cnsMask()
	switch {
	case l.pinRefs != nil:
		return l.pinRefs
	case mask == maskSTIncard:
		return []byte{pinSearch, pinGlobal}
	}
	return []byte{pinGlobal, pinSearch}
}
