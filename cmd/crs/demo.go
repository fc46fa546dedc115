package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/catalog"
	portaldemo "github.com/crs-bridge/crs/internal/demo"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/crs-bridge/crs/pcsc"
)

const demoPort = 27780

// demo shows a login on an embedded card: the real driver, service and portal, no reader, no
// pcscd and no module, nothing kept. Its CA is made anew at each start.
func demo(ctx context.Context, args []string) error {
	f := flags("demo")
	once := f.Bool("once", false, catalog.Say("flag.once"))
	uiMode := f.String("ui", "auto", catalog.Say("flag.ui"))
	level := f.String("log", "warn", catalog.Say("flag.log"))
	if _, err := parse(f, args, 0, 0); err != nil {
		return err
	}
	log, err := newLog(*level)
	if err != nil {
		return usageError{err}
	}
	if *once {
		return demoOnce(ctx, log)
	}
	screen, err := newScreen(*uiMode, noTray)
	if err != nil {
		return usageError{err}
	}
	d, err := newDemonstration(ctx, screen, log, demoPort)
	if err != nil {
		return err
	}
	fmt.Println(catalog.Say("demo.ready", "address", d.address()))
	fmt.Println(catalog.Say("demo.who", "holder", d.card.Info().Holder, "pin", virtualcard.DefaultPIN))
	if openBrowser(d.address()) == nil {
		fmt.Println(catalog.Say("demo.browser"))
	}
	logScreen(log, screen)
	return d.run(ctx)
}

// demonstration is a card, a service and a portal in one process.
type demonstration struct {
	card     crs.Card
	port     int // of the portal
	bridge   *bridge.Server
	listener *bridge.Listener
	portal   *http.Server
	portalOn []net.Listener
}

func newDemonstration(ctx context.Context, screen dialog.Screen, log *slog.Logger, port int) (*demonstration, error) {
	ca, err := virtualcard.NewCA("DEMO")
	if err != nil {
		return nil, err
	}
	person, err := virtualcard.NewPerson(virtualcard.Identity{Issuer: "DEMO", CA: ca})
	if err != nil {
		return nil, err
	}
	reader := memoryReader{virtualcard.NewReader("DEMO", 0, virtualcard.New(virtualcard.Config{Person: person}))}
	driver := &pcsc.Driver{Log: log}
	card, err := driver.Open(ctx, reader)
	if err != nil {
		return nil, err
	}

	d := &demonstration{card: card}
	if d.portalOn, d.port, err = listenPortal(port); err != nil {
		return nil, sentence("demo.port", "port", strconv.Itoa(port), "detail", err.Error())
	}
	if d.listener, err = bridge.Listen(""); err != nil {
		closeAll(d.portalOn)
		return nil, sentence("serve.port", "detail", err.Error())
	}
	d.bridge = &bridge.Server{
		Cards:      oneCard{card},
		Screen:     screen,
		Sites:      &memorySites{},
		Developer:  d.port,
		AppVersion: appVersion(),
		Log:        log,
	}
	issuers := x509.NewCertPool()
	issuers.AddCert(ca.Certificate)
	var origins []crs.Origin
	for _, host := range []string{"localhost", "127.0.0.1"} {
		o, err := crs.ParseDeveloperOrigin(fmt.Sprintf("http://%s:%d", host, d.port), d.port)
		if err != nil {
			return nil, err
		}
		origins = append(origins, o)
	}
	d.portal = &http.Server{
		Handler:           portaldemo.New(issuers, log, origins...),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return d, nil
}

// listenPortal binds the loopback addresses that localhost may mean. Port 0 means any.
func listenPortal(port int) ([]net.Listener, int, error) {
	v4, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, 0, err
	}
	port = v4.Addr().(*net.TCPAddr).Port
	listeners := []net.Listener{v4}
	// Where IPv6 exists a browser tries it first, and must not find another program there.
	v6, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(port)))
	if err == nil {
		listeners = append(listeners, v6)
	} else if probe, err6 := net.Listen("tcp", "[::1]:0"); err6 == nil {
		probe.Close()
		closeAll(listeners)
		return nil, 0, err
	}
	return listeners, port, nil
}

func closeAll[C io.Closer](closers []C) {
	for _, c := range closers {
		c.Close()
	}
}

func (d *demonstration) address() string { return fmt.Sprintf("http://localhost:%d", d.port) }

// run serves until the context ends or a part fails.
func (d *demonstration) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	failed := make(chan error, len(d.portalOn))
	parts.Go(func() { d.bridge.Serve(ctx, d.listener) })
	for _, l := range d.portalOn {
		parts.Go(func() {
			err := d.portal.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			failed <- err
			stop()
		})
	}
	<-ctx.Done()
	d.portal.Close()
	parts.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// memoryReader adapts the embedded reader to the driver.
type memoryReader struct{ *virtualcard.Reader }

func (r memoryReader) Connect() (pcsc.Conn, error) {
	c, err := r.Reader.Connect()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// oneCard is a reader whose card stays in: bridge.Cards.
type oneCard struct{ card crs.Card }

func (c oneCard) Readers() ([]crs.Reader, <-chan struct{}) {
	return []crs.Reader{{Name: c.card.Info().Reader, Card: c.card}}, nil
}

// openBrowser opens an address in the user's browser, if there is a display.
func openBrowser(address string) error {
	var command *exec.Cmd
	switch runtime.GOOS {
	case "windows":
		command = exec.Command("rundll32", "url.dll,FileProtocolHandler", address)
	case "darwin":
		command = exec.Command("open", address)
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return errors.New("no display")
		}
		command = exec.Command("xdg-open", address)
	}
	if err := command.Start(); err != nil {
		return err
	}
	go command.Wait()
	return nil
}
