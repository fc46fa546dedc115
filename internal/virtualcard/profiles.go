package virtualcard

// A Profile is a model of card. Config names one and may change parts of it.
type Profile struct {
	Name     string
	ATR      []byte
	Protocol int // 0 or 1, for T=0 or T=1
	Bits     int // of the RSA key

	// PINReference is P2 of the PIN commands: 10h for the PIN under the MF, 90h to search from
	// the current DF upwards. A card answers to one of them.
	PINReference byte

	// Refuse lists what the card cannot do, and the status word that says so.
	Refuse map[Feature]uint16

	layout layout
	eof    endOfFile
}

// A Feature is something that not every card can do.
type Feature int

// Features that a card may refuse.
const (
	ExtendedAPDU     Feature = iota // any command in extended form
	Chaining                        // any command of CLA 10h
	Decipher                        // PSO DECIPHER, 2A 80 86
	ComputeSignature                // PSO COMPUTE DIGITAL SIGNATURE, 2A 9E 9A
	Confidentiality                 // MSE SET of the key in template B8
)

// layout says where certificate and key are.
type layout struct {
	certificate string // path, without 3F00
	wrapped     bool   // five bytes precede the certificate
	keyDir      string // DF that holds the key; "" is the MF
	keyRef      byte
	application []byte // identifier of the application that holds the files; nil: they are in the MF
}

var (
	classic    = layout{certificate: "1100/1101", keyRef: 0x01}
	idemia     = layout{certificate: "1400/9001/2002", keyDir: "1400/9002", keyRef: 0x02}
	infocamere = layout{certificate: "2FFF/8228", wrapped: true, keyDir: "2FFF", keyRef: 0x21}
)

// endOfFile is how a card answers a READ BINARY that asks for more than there is.
type endOfFile int

const (
	eofShort   endOfFile = iota // what there is, 9000
	eofWarning                  // what there is, 6282
	eofLength                   // 6Cxx, with the length that there is
)

// Profiles are the models, the first is the default. ATRs are from the public list of pcsc-tools
// unless said.
var Profiles = []Profile{
	// Version 1.1, extended commands only, as ST cards of 2021. The ATR is that of a TS-CNS of mask
	// Athena with another version byte: every listed ATR of version 1.1 is an STIncard's, which
	// need PIN reference 90h.
	{Name: "st", Protocol: 1, Bits: 2048, PINReference: 0x10, layout: classic,
		ATR: []byte{0x3B, 0xDF, 0x18, 0x00, 0x81, 0x31, 0xFE, 0x7D, 0x00, 0x6B, 0x02, 0x0C, 0x01, 0x82,
			0x01, 0x11, 0x01, 'C', 'N', 'S', 0x11, 0x31, 0x80, 0xFD},
		Refuse: map[Feature]uint16{Chaining: 0x6E00, ComputeSignature: 0x6A86}},

	// The same from STIncard: CRS Friuli Venezia Giulia.
	{Name: "stincard", Protocol: 1, Bits: 2048, PINReference: 0x90, layout: classic,
		ATR: []byte{0x3B, 0xFF, 0x18, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x55, 0x00, 0x6B, 0x02, 0x09, 0x16, 0x17,
			0x01, 0x11, 0x01, 'C', 'N', 'S', 0x11, 0x31, 0x80, 0x8D},
		Refuse: map[Feature]uint16{Chaining: 0x6E00, ComputeSignature: 0x6A86}},

	// IDEMIA 2021: certificate and key under 1400.
	{Name: "idemia", Protocol: 1, Bits: 2048, PINReference: 0x10, layout: idemia,
		ATR: []byte{0x3B, 0xFF, 0x18, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x45, 0x00, 0x6B, 0x05, 0x05, 0x20, 0x00,
			0x01, 0x21, 0x01, 'C', 'N', 'S', 0x10, 0x31, 0x80, 0x79},
		Refuse: map[Feature]uint16{ComputeSignature: 0x6A86}},

	// InfoCamere 1204 on a card of version 1.1.
	{Name: "infocamere", Protocol: 1, Bits: 2048, PINReference: 0x90, layout: infocamere, eof: eofWarning,
		ATR: []byte{0x3B, 0xFF, 0x18, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x55, 0x00, 0x6B, 0x02, 0x09, 0x02, 0x00,
			0x01, 0x11, 0x01, 'C', 'N', 'S', 0x11, 0x31, 0x80, 0x8E},
		Refuse: map[Feature]uint16{ComputeSignature: 0x6A86}},

	// Version 1.0: RSA-1024, whose signature fits a short command. Friuli Venezia Giulia.
	{Name: "v1", Protocol: 1, Bits: 1024, PINReference: 0x10, layout: classic, eof: eofWarning,
		ATR: []byte{0x3B, 0xFF, 0x18, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x45, 0x00, 0x6B, 0x04, 0x05, 0x01, 0x00,
			0x01, 0x11, 0x01, 'C', 'N', 'S', 0x10, 0x31, 0x80, 0x69},
		Refuse: map[Feature]uint16{ExtendedAPDU: 0x6700, Chaining: 0x6E00, ComputeSignature: 0x6A86}},

	// T=0: 61xx and GET RESPONSE, 6Cxx, chaining. No such card is known; the ATR is composed from
	// those above.
	{Name: "t0", Protocol: 0, Bits: 2048, PINReference: 0x10, layout: classic, eof: eofLength,
		ATR: []byte{0x3B, 0x7F, 0x18, 0x00, 0xFF, 0x00, 0x6B, 0x02, 0x0C, 0x01, 0x82,
			0x01, 0x11, 0x01, 'C', 'N', 'S', 0x11, 0x31, 0x80},
		Refuse: map[Feature]uint16{ExtendedAPDU: 0x6700, ComputeSignature: 0x6A86}},

	// Contactless: the ATR says nothing, the content is the same (OpenSC wiki, Italian CNS).
	{Name: "nfc", Protocol: 1, Bits: 2048, PINReference: 0x10, layout: classic,
		ATR:    []byte{0x3B, 0x80, 0x80, 0x01, 0x01},
		Refuse: map[Feature]uint16{ComputeSignature: 0x6A86}},
}

// ACe2025 is a model that cannot be used yet, so it is not one of Profiles: its files are in an
// application, and how it signs is not known. The ATR and the paths are those of a public trace
// (OpenSC issue 3804). Its PIN is where a guess would look for it.
var ACe2025 = Profile{Name: "ace", Protocol: 1, Bits: 2048, PINReference: 0x10,
	layout: layout{certificate: "DA01/C001", keyRef: 0x01,
		application: []byte{0xA0, 0x00, 0x00, 0x05, 0x30, 0x00, 0x0B, 0x10, 0x40, 0x01, 0x02, 0x1A}},
	ATR: []byte{0x3B, 0xFF, 0x18, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x4D, 0x00, 0x6B, 0x04, 0x04, 0xB8, 0x5B,
		0x01, 0xF1, 0x01, 'C', 'N', 'S', 0x10, 0x31, 0x80, 0x9D}}

// ProfileByName returns a profile; "" is the first.
func ProfileByName(name string) (Profile, bool) {
	if name == "" {
		return Profiles[0], true
	}
	for _, p := range append(Profiles[:len(Profiles):len(Profiles)], ACe2025) {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}
