package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// What the service does when a part of it cannot be had: the others work, and say so.

// takePorts takes all ports of the service, as those of other users do, and returns what gives one back.
func takePorts(t *testing.T) (free func(port string)) {
	t.Helper()
	taken := map[string]net.Listener{}
	for _, port := range []string{"27770", "27771", "27772"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		taken[port] = l
	}
	return func(port string) { taken[port].Close() }
}

// TestNoFreePort: three other users of a terminal server have the ports. The extension logs in
// without one, icon and diagnosis say so, and a port that becomes free is taken.
func TestNoFreePort(t *testing.T) {
	free := takePorts(t)
	h := citizen.NewHome(t)
	h.Command(t, "sites", "allow", citizen.Portale)
	serve := h.Start(t, impatient, "serve", "--ui", "terminal")
	serve.Next("no page can connect without the extension")
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	if s := status(t, h); s.Address != "" || !slices.Equal(s.Without, []string{ipc.WithoutPort}) {
		t.Errorf("without a port: %+v", s)
	}
	if said := runDoctor(t, h); !strings.Contains(said, "✓ Servizio CRS") || !strings.Contains(said, "✗ Porta: La 27770 è occupata") ||
		!strings.Contains(said, "i siti lo raggiungono con l'estensione") {
		t.Errorf("crs doctor says\n%s", said)
	}

	e := startHostFile(t, h, impatient) // the service's own file
	e.connect(citizen.Portale)
	e.send(helloRequest)
	e.must(`"protocol":1`)
	e.send(loginRequest)
	serve.Answer(citizen.PIN)
	for _, word := range []string{`"card"`, `"pin"`, `"signing"`, `"token"`} {
		e.must(word)
	}
	e.to.Close()
	e.ends()
	if card.Secrets() != 1 {
		t.Errorf("%d PINs were sent", card.Secrets())
	}

	free("27771")
	serve.Next("msg=listening")
	if s := status(t, h); s.Address != "127.0.0.1:27771" || s.Without != nil {
		t.Errorf("a port became free: %+v", s)
	}
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}
}

// TestSocketsCannotBeMade: pages log in without the owner's socket, and without the browsers'.
func TestSocketsCannotBeMade(t *testing.T) {
	for socket, test := range map[string]struct{ log, doctor string }{
		"owner.sock":  {"no tray can attach", "✗ Servizio CRS: in funzione, ma l'icona e questo comando non possono raggiungerlo"},
		"portal.sock": {"no browser extension can connect", "✗ Servizio CRS: in funzione, ma l'estensione del browser non può raggiungerlo"},
	} {
		t.Run(socket, func(t *testing.T) {
			h := citizen.NewHome(t)
			in := filepath.Join(string(h), "run", "crs", socket, "not empty")
			if err := os.MkdirAll(in, 0o700); err != nil {
				t.Fatal(err)
			}
			h.Command(t, "sites", "allow", citizen.Portale)
			serve := h.Serve(t)
			citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
			serve.Next(citizen.CardReady)
			if !strings.Contains(serve.Stderr.String(), test.log) {
				t.Errorf("%q is not in the log", test.log)
			}
			if said := runDoctor(t, h); !strings.Contains(said, test.doctor) {
				t.Errorf("crs doctor says\n%s", said)
			}
			serve.Answer(citizen.PIN)
			open(t, citizen.Portale).mustLogIn()
		})
	}
}

// TestStateCannotBeWritten: a home that is full or read-only keeps nobody from logging in; the site
// is asked about again the next time.
func TestStateCannotBeWritten(t *testing.T) {
	h := citizen.NewHome(t)
	citizen.Session = []string{"HOME=/proc/nowhere", "XDG_STATE_HOME=/proc/nowhere/state"}
	t.Cleanup(func() { citizen.Session = nil })
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	if said := runDoctor(t, h); !strings.Contains(said, "✓ Servizio CRS") || !strings.Contains(said, "✗ Cartella personale: non vi si può conservare nulla") {
		t.Errorf("crs doctor says\n%s", said)
	}
	site := open(t, citizen.Portale)
	for range 2 {
		serve.Answer("s", citizen.PIN)
		site.mustLogIn()
	}
	if card.Secrets() != 2 {
		t.Errorf("%d PINs were sent", card.Secrets())
	}
	// A wrong PIN is counted while the service runs, though it cannot be kept.
	serve.Answer("s", citizen.WrongPIN, "")
	site.refused(crs.ErrCancelled)
	serve.Next("Tentativi rimasti: 2.")
}
