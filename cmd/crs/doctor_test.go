package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/pkcs11"
	"github.com/crs-bridge/crs/tray"
)

// examined is a card with what doctor looks at. All else panics.
type examined struct {
	crs.Card
	expires time.Time
	blocked bool
}

func (c examined) Info() crs.Info {
	return crs.Info{Kind: "CNS", Model: "st", Holder: "ADA CANARINO", ID: "6000000000000001"}
}

func (c examined) Certificate(context.Context) (*x509.Certificate, error) {
	return &x509.Certificate{NotAfter: c.expires}, nil
}

func (c examined) PINStatus(context.Context) (crs.PINStatus, error) {
	return crs.PINStatus{Retries: -1, Blocked: c.blocked}, nil
}

// TestDoctor: each thing that can be wrong is found, named by a word that stays the same, and comes
// with what to do; nothing reveals whose card it is.
func TestDoctor(t *testing.T) {
	defer catalog.SetLanguage("")
	good := examined{expires: time.Now().Add(time.Hour)}
	readers := func(all ...crs.Reader) func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error) {
		return func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error) { return all, nil, nil }
	}
	in := func(r crs.Reader) func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error) {
		r.Name = "Bit4id 00"
		return readers(r)
	}
	for _, test := range []struct {
		name string
		ill  func(*computer)
		want string // check:reason of what is not fine
		says string // in Italian
	}{
		{"healthy", func(*computer) {}, "", "✓ Porta: il servizio risponde ai siti sulla 27770."},
		{"pcscd refuses", func(c *computer) {
			c.readers = func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error) { return nil, nil, crs.ErrServiceRefuses }
		}, "pcsc:service_refuses reader:skipped card:skipped", "ssh"},
		{"no pcscd", func(c *computer) {
			c.readers = func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error) { return nil, nil, crs.ErrNoService }
		}, "pcsc:no_service reader:skipped card:skipped", "pcscd.socket"},
		{"no reader", func(c *computer) {
			c.readers = func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error) { return nil, nil, nil }
		},
			"reader:no_reader card:skipped", "Lo colleghi"},
		{"no card", func(c *computer) { c.readers = in(crs.Reader{}) }, "card:no_card", "La inserisca"},
		{"mute", func(c *computer) { c.readers = in(crs.Reader{Err: crs.ErrCardMute}) }, "card:mute", "la giri"},
		{"no CNS", func(c *computer) { c.readers = in(crs.Reader{Err: crs.ErrNoCNS}) }, "card:not_cns", "Tessera"},
		{"unknown model", func(c *computer) {
			c.readers = in(crs.Reader{Err: &crs.ModelError{ATR: []byte{0x3B, 0x01}, Err: crs.ErrUnknownModel}})
		}, "card:unknown_model", "crs doctor --json"},
		{"model that cannot sign", func(c *computer) {
			c.readers = in(crs.Reader{Err: &crs.ModelError{Holder: "ADA ESEMPIO", Err: crs.ErrModelCannotSign}})
		}, "card:model_cannot_sign", "del produttore"},
		{"in use", func(c *computer) { c.readers = in(crs.Reader{Err: fmt.Errorf("connect: %w", crs.ErrCardInUse)}) }, "card:in_use", "Chiuda"},
		{"expired", func(c *computer) { c.readers = in(crs.Reader{Card: examined{}}) }, "card:expired", "scaduta"},
		{"blocked", func(c *computer) {
			c.readers = in(crs.Reader{Card: examined{expires: good.expires, blocked: true}})
		}, "card:pin_blocked", "crs pin unblock"},
		{"stopped", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) { return ipc.Status{}, ipc.ErrNoService }
			c.ports = func() map[int]string { return nil }
		}, "service:stopped tray:skipped", "Avvia il servizio"},
		{"silent", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) { return ipc.Status{}, context.DeadlineExceeded }
		}, "service:silent tray:skipped", "non risponde"},
		{"deaf", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) { return ipc.Status{}, errDeaf }
		}, "service:deaf tray:skipped", "non possono raggiungerlo"},
		{"an older service", func(c *computer) { c.version = "1.3.0" }, "service:other_version", "nella versione 1.2.3, mentre questo programma è la 1.3.0"},
		{"no extension", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) {
				return ipc.Status{Version: "1.2.3", Address: "127.0.0.1:27770", Tray: true, Without: []string{ipc.WithoutBrowsers}}, nil
			}
		}, "service:no_browsers", "l'estensione del browser non può raggiungerlo"},
		{"three other users", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) {
				return ipc.Status{Version: "1.2.3", Tray: true, Without: []string{ipc.WithoutPort}}, nil
			}
			c.ports = func() map[int]string { return map[int]string{27770: "", 27771: "", 27772: ""} }
		}, "port:taken", "i siti lo raggiungono con l'estensione"},
		{"a badge beside a card", func(c *computer) {
			c.readers = readers(crs.Reader{Name: "A", Err: crs.ErrCardMute}, crs.Reader{Name: "B", Card: good}, crs.Reader{Name: "C"})
		}, "card:skipped", "– Carta: A: "},
		{"an expired card beside a valid one", func(c *computer) {
			c.readers = readers(crs.Reader{Name: "A", Card: good}, crs.Reader{Name: "B", Card: examined{}})
		}, "card:skipped", "– Carta: B: scaduta"},
		{"two badges", func(c *computer) {
			c.readers = readers(crs.Reader{Name: "A", Err: crs.ErrCardMute}, crs.Reader{Name: "B", Err: crs.ErrNoCNS})
		}, "card:mute card:not_cns", "✗ Carta: A: "},
		{"another program beside", func(c *computer) {
			c.ports = func() map[int]string { return map[int]string{27770: "crs", 27771: "evil\x1b[2J", 27772: ""} }
		}, "", "La 27771 è occupata da: evil\uFFFD[2J. La 27772 è occupata da: un programma di un altro utente."},
		{"all ports taken", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) { return ipc.Status{}, ipc.ErrNoService }
			c.ports = func() map[int]string { return map[int]string{27770: "a", 27771: "b", 27772: "c"} }
		}, "service:stopped port:taken tray:skipped", "✗ Porta: La 27770 è occupata da: a."},
		{"no host", func(c *computer) { c.icons = func() error { return tray.ErrNoHost } }, "tray:no_host", "appindicator"},
		{"no bus", func(c *computer) { c.icons = func() error { return fmt.Errorf("%w: x", tray.ErrNoBus) } }, "tray:no_bus", "dbus-user-session"},
		{"no tray", func(c *computer) {
			c.service = func(context.Context) (ipc.Status, error) {
				return ipc.Status{Version: "1.2.3", Address: "127.0.0.1:27770"}, nil
			}
		}, "tray:stopped", "«crs tray»"},
		{"no display", func(c *computer) { c.windows = func() error { return dialog.ErrNoDisplay } }, "windows:no_display", "--ui terminal"},
		{"a home that is full", func(c *computer) { c.keeps = func() error { return errors.New("no space left on device") } },
			"state:not_kept", "no space left on device"},
		{"no zenity", func(c *computer) { c.windows = func() error { return fmt.Errorf("%w: x", dialog.ErrNoZenity) } }, "windows:no_zenity", "apt install"},
	} {
		c := computer{
			version: "1.2.3",
			readers: in(crs.Reader{Card: good}),
			service: func(context.Context) (ipc.Status, error) {
				return ipc.Status{Version: "1.2.3", Address: "127.0.0.1:27770", Tray: true}, nil
			},
			ports:   func() map[int]string { return map[int]string{27770: "crs"} },
			icons:   func() error { return nil },
			windows: func() error { return nil },
			keeps:   func() error { return nil },
		}
		test.ill(&c)
		for _, lang := range []string{"it", "en", "de"} {
			catalog.SetLanguage(lang)
			found := c.examine(t.Context())
			var got []string
			for _, f := range found {
				switch f.State {
				case problem:
					got = append(got, f.Check+":"+f.Reason)
				case skipped:
					got = append(got, f.Check+":skipped")
				}
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("%s: %q, want %q", test.name, s, test.want)
			}
			text := prescription(found)
			if lang == "it" && !strings.Contains(strings.Join(strings.Fields(text), " "), test.says) {
				t.Errorf("%s: %q is not in\n%s", test.name, test.says, text)
			}
			asJSON, err := json.Marshal(found)
			if err != nil {
				t.Fatal(err)
			}
			for _, canary := range []string{"ADA", "CANARINO", "6000000000000001"} {
				if strings.Contains(text, canary) || bytes.Contains(asJSON, []byte(canary)) {
					t.Errorf("%s tells %s", test.name, canary)
				}
			}
		}
	}
}

// Each reason for which a module is not used has a word and a text, in every language.
func TestModuleReasons(t *testing.T) {
	defer catalog.SetLanguage("")
	seen := map[string]bool{}
	for _, lang := range []string{"it", "en", "de"} {
		catalog.SetLanguage(lang)
		for _, why := range []pkcs11.Why{pkcs11.Missing, pkcs11.AtHome, pkcs11.Writable, pkcs11.Machine,
			pkcs11.NotPKCS11, pkcs11.Dependency, pkcs11.Trust, pkcs11.Failed} {
			word, text := moduleState(pkcs11.Module{Unused: &pkcs11.Unused{Why: why, Detail: "\x1b[2Jdetail"}})
			if word == "" || seen[text] || strings.ContainsAny(text, "{}\x1b") {
				t.Errorf("%s: %q %q", lang, word, text)
			}
			seen[text] = true
			tells := strings.Contains(text, "detail")
			if want := why == pkcs11.AtHome || why == pkcs11.Writable || why == pkcs11.Dependency || why == pkcs11.Failed; tells != want {
				t.Errorf("%s: %q tells the detail: %v", lang, text, tells)
			}
		}
	}
}
