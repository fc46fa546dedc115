package tray

import (
	"bytes"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/ipc"
)

var (
	bit4id = ipc.Reader{Name: "Bit4id miniLector EVO 00 00"}
	ada    = ipc.Card{Kind: "CNS", Holder: "ADA ESEMPIO", Model: "st", CanChange: true, CanUnblock: true, Tries: -1}
	mario  = ipc.Card{Kind: "CNS", Holder: "MARIO_ROSSI & <b>C.</b>", Model: "idemia", CanChange: true, CanUnblock: true, Tries: 3}
)

func with(r ipc.Reader, c ipc.Card, blocked bool) ipc.Reader {
	c.Blocked = blocked
	r.Card = &c
	return r
}

func status(readers ...ipc.Reader) ipc.Status { return ipc.Status{Readers: readers} }

// outline writes what a menu shows in one line: (what is off), "|" for a separator, [a submenu].
func outline(items []item) string {
	var parts []string
	for _, i := range items {
		if i.hidden {
			continue
		}
		s := i.label
		switch {
		case s == "":
			s = "|"
		case i.off:
			s = "(" + s + ")"
		}
		if i.items != nil && i.items[0].action.do != setLanguage {
			s += " [" + outline(i.items) + "]"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func TestLook(t *testing.T) {
	catalog.SetLanguage("it")
	defer catalog.SetLanguage("")
	const (
		rest   = " | Siti autorizzati… Lingua (Language) Diagnostica… | Esci"
		noCare = " | (Cambia PIN…) (Sblocca PIN con il PUK…)"
	)
	second := ipc.Reader{Name: "Reader 2"}
	cannot := ada
	cannot.CanChange, cannot.CanUnblock = false, false
	expired := ada
	expired.NotAfter = time.Date(2019, 12, 31, 0, 0, 0, 0, time.UTC)
	token := ipc.Card{Kind: "token", Holder: "ADA ESEMPIO", Model: "bit4id", CanChange: true, Tries: -1}
	for _, test := range []struct {
		name   string
		status ipc.Status
		silent bool // no service answers
		icon   picture
		want   string
	}{
		{"no service", ipc.Status{}, true, noService, "(Il servizio non è in funzione) Avvia il servizio" + noCare +
			" | (Siti autorizzati…) Lingua (Language) Diagnostica… | Esci"},
		{"refused", status(ipc.Reader{Problem: "service_refuses"}), false, noReader,
			"(I lettori non si possono usare da qui: apra Diagnostica)" + noCare + rest},
		{"another version", ipc.Status{Version: "1.2"}, true, noService,
			"(Il servizio è di un'altra versione (1.2): esca dalla sessione e rientri)" + noCare +
				" | (Siti autorizzati…) Lingua (Language) Diagnostica… | Esci"},
		{"no port", ipc.Status{Version: "1.2", Without: []string{ipc.WithoutPort}}, false, noReader,
			"(Nessun lettore: lo colleghi al computer) (I siti funzionano solo con l'estensione del browser)" + noCare + rest},
		{"no extension", ipc.Status{Without: []string{ipc.WithoutBrowsers}}, false, noReader,
			"(Nessun lettore: lo colleghi al computer) (L'estensione del browser non raggiunge il servizio)" + noCare + rest},
		{"no pcscd", status(ipc.Reader{Problem: "no_service"}), false, noReader, "(I lettori non si trovano: apra Diagnostica)" + noCare + rest},
		{"no reader", ipc.Status{}, false, noReader, "(Nessun lettore: lo colleghi al computer)" + noCare + rest},
		{"expired", status(with(bit4id, expired, false)), false, noCard, "(Carta scaduta: i siti non la accettano più) (ADA ESEMPIO – CNS (scaduta il 31/12/2019)) | Cambia PIN… Sblocca PIN con il PUK…" + rest},
		{"expired, blocked", status(with(bit4id, expired, true)), false, pinBlocked, "(PIN bloccato: si sblocca con il PUK) (ADA ESEMPIO – CNS (scaduta il 31/12/2019)) | Sblocca PIN con il PUK… Cambia PIN…" + rest},
		{"no card", status(bit4id), false, noCard, "(Nessuna carta: la inserisca nel lettore)" + noCare + rest},
		{"reading", status(ipc.Reader{Name: "R", Reading: true}), false, noCard, "(La carta viene letta…)" + noCare + rest},
		{"mute", status(ipc.Reader{Name: "R", Problem: "mute"}), false, noCard, "(Il chip non si trova: giri la carta)" + noCare + rest},
		{"a problem beside an empty reader", status(ipc.Reader{Name: "R", Problem: "in_use"}, second), false, noCard,
			"(Un altro programma usa la carta: lo chiuda)" + noCare + rest},
		{"a foreign card beside an empty reader", status(ipc.Reader{Name: "R", Problem: "mute"}, second), false, noCard,
			"(Nessuna carta: la inserisca nel lettore)" + noCare + rest},
		{"an empty reader beside a stuck one", status(second, ipc.Reader{Name: "R", Problem: "stuck"}), false, noCard,
			"(Nessuna carta: la inserisca nel lettore)" + noCare + rest},
		{"an expired card and a valid one", status(with(bit4id, expired, false), with(second, ada, false)), false, cardReady, "(Carte nei lettori: 2) |" +
			" ADA ESEMPIO – CNS [(Lettore: Reader 2) Cambia PIN… Sblocca PIN con il PUK…]" +
			" ADA ESEMPIO – CNS (scaduta il 31/12/2019) [(Lettore: Bit4id miniLector EVO 00 00) Cambia PIN… Sblocca PIN con il PUK…]" + rest},
		{"a word of a newer service", status(ipc.Reader{Name: "R", Problem: "tired"}), false, noCard,
			"(La carta non si può usare: apra Diagnostica)" + noCare + rest},
		{"ready", status(with(bit4id, ada, false)), false, cardReady,
			"(Carta pronta) (ADA ESEMPIO – CNS) | Cambia PIN… Sblocca PIN con il PUK…" + rest},
		{"ready beside a problem", status(ipc.Reader{Name: "A", Problem: "mute"}, with(bit4id, ada, false)), false, cardReady,
			"(Carta pronta) (ADA ESEMPIO – CNS) | Cambia PIN… Sblocca PIN con il PUK…" + rest},
		{"no care", status(with(bit4id, cannot, false)), false, cardReady,
			"(Carta pronta) (ADA ESEMPIO – CNS)" + noCare + rest},
		{"a token has no PUK", status(with(bit4id, token, false)), false, cardReady,
			"(Carta pronta) (ADA ESEMPIO – token) | Cambia PIN… (Sblocca PIN con il PUK…)" + rest},
		{"no name", status(with(bit4id, ipc.Card{Kind: "CNS", CanChange: true, CanUnblock: true}, false)), false, cardReady,
			"(Carta pronta) (Nome non scritto sulla carta – CNS) | Cambia PIN… Sblocca PIN con il PUK…" + rest},
		{"blocked", status(with(bit4id, ada, true)), false, pinBlocked,
			"(PIN bloccato: si sblocca con il PUK) (ADA ESEMPIO – CNS) | Sblocca PIN con il PUK… Cambia PIN…" + rest},
		{"several", status(with(bit4id, ada, false), with(second, mario, true)), false, pinBlocked, "(Carte nei lettori: 2) |" +
			" ADA ESEMPIO – CNS [(Lettore: Bit4id miniLector EVO 00 00) Cambia PIN… Sblocca PIN con il PUK…]" +
			" MARIO_ROSSI & <b>C.</b> – CNS, PIN bloccato [(Lettore: Reader 2) Sblocca PIN con il PUK… Cambia PIN…]" + rest},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := render(test.status, !test.silent, "it")
			if got := outline(v.menu); v.icon != test.icon || got != test.want {
				t.Errorf("%s\n%s, want %s\n%s", v.icon, got, test.icon, test.want)
			}
			if "("+v.title+")" != outline(v.menu[:1]) {
				t.Errorf("the icon says %q", v.title)
			}
		})
	}
}

// TestActions: each card's items are about its reader, and the language that was chosen is marked.
func TestActions(t *testing.T) {
	second := ipc.Reader{Name: "Reader 2"}
	menu := render(status(with(bit4id, ada, false), with(second, ada, false)), true, "de").menu
	cards := slices.DeleteFunc(menu, func(i item) bool { return i.hidden || len(i.items) != 3 })
	for i, reader := range []string{bit4id.Name, second.Name} {
		for _, item := range cards[i].items[1:] {
			if item.action.reader != reader || item.action.do != changePIN && item.action.do != unblockPIN {
				t.Errorf("%s: %+v", reader, item)
			}
		}
	}
	for _, item := range languages("de") {
		if item.checked != (item.action.lang == "de") || item.action.do != setLanguage {
			t.Errorf("%+v", item)
		}
	}
}

func TestNews(t *testing.T) {
	second := ipc.Reader{Name: "Reader 2"}
	blocked, unblocked := notice{blocked: true}, notice{}
	for _, test := range []struct {
		name     string
		old, now ipc.Status
		want     []notice
	}{
		{"nothing", ipc.Status{}, ipc.Status{}, nil},
		{"no change", status(with(bit4id, ada, true)), status(with(bit4id, ada, true)), nil},
		{"blocked", status(with(bit4id, ada, false)), status(with(bit4id, ada, true)), []notice{blocked}},
		{"unblocked", status(with(bit4id, ada, true)), status(with(bit4id, ada, false)), []notice{unblocked}},
		{"inserted blocked", status(bit4id), status(with(bit4id, ada, true)), nil},
		{"the service starts", ipc.Status{}, status(with(bit4id, ada, true)), nil},
		{"pulled", status(with(bit4id, ada, true)), status(bit4id), nil},
		{"another card", status(with(bit4id, ada, false)), status(with(bit4id, mario, true)), nil},
		{"one of two", status(with(bit4id, ada, false), with(second, mario, false)), status(with(bit4id, ada, true), with(second, mario, false)),
			[]notice{{true, "ADA ESEMPIO", "CNS"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := news(test.old, test.now)
			if len(got) != len(test.want) || len(got) > 0 && got[0] != test.want[0] {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
	// A screen that others see says no more than it has to.
	if s := blocked.title() + blocked.text(); strings.Contains(s, "ADA") {
		t.Errorf("the notification says %q", s)
	}
	if s := (notice{true, "ADA ESEMPIO", "CNS"}).text(); !strings.HasPrefix(s, "ADA ESEMPIO – CNS\n") {
		t.Errorf("of one of two cards it says %q", s)
	}
}

// TestIcons: there is an icon for each state, and Windows finds the PNG in its ICO.
func TestIcons(t *testing.T) {
	seen := map[string]picture{}
	for _, p := range []picture{noService, noReader, noCard, cardReady, pinBlocked} {
		b := p.png()
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds().Dx() != iconSize || img.Bounds().Dy() != iconSize {
			t.Errorf("%s: %v, %v", p, img.Bounds(), err)
		}
		if other, twice := seen[string(b)]; twice {
			t.Errorf("%s looks like %s", p, other)
		}
		seen[string(b)] = p
		i := ico(b)
		if want := "\x00\x00\x01\x00\x01\x00\x40\x40\x00\x00\x01\x00\x20\x00"; string(i[:len(want)]) != want ||
			int(i[14])|int(i[15])<<8 != len(b) || i[18] != 22 || !bytes.Equal(i[22:], b) {
			t.Errorf("%s: ICO % X", p, i[:22])
		}
	}
}
