package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/pkcs11"
	"github.com/crs-bridge/crs/tray"
)

// doctor says what of a login works on this computer, and what to do about what does not. People
// paste its output into mails when they ask for help, so nothing in it says whose card it is.
func doctor(ctx context.Context, args []string) error {
	f := flags("doctor")
	asJSON := f.Bool("json", false, catalog.Say("flag.json"))
	if _, err := parse(f, args, 0, 0); err != nil {
		return err
	}
	found := thisComputer.examine(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if !*asJSON {
		fmt.Println(prescription(found))
	} else if err := printJSON(found); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(f finding) bool { return f.State == problem }) {
		return sentence("doctor.sick")
	}
	return nil
}

// diagnose returns what doctor prints, for a window.
func diagnose(ctx context.Context) (string, error) {
	return prescription(thisComputer.examine(ctx)), ctx.Err()
}

// finding is what one check found.
type finding struct {
	Check  string  `json:"check"`
	State  verdict `json:"state"`
	Reason string  `json:"reason,omitempty"` // of a problem: a word that scripts can rely on
	Detail string  `json:"detail,omitempty"` // a reader, a version, a port
	ATR    string  `json:"atr,omitempty"`    // of a card whose model is not known

	text string // what was found, and what to do
}

type verdict string

const (
	fine    verdict = "ok"
	problem verdict = "problem"
	skipped verdict = "skipped" // something before it is missing, or it is not needed
)

// computer is what doctor looks at.
type computer struct {
	version string // of this program
	readers func(context.Context) ([]crs.Reader, *pkcs11.Tokens, error)
	service func(context.Context) (ipc.Status, error)
	ports   func() map[int]string // who listens on the ports of the service: names of programs
	icons   func() error
	windows func() error
	keeps   func() error // whether anything can be kept for this user
}

// errDeaf is why a service that runs cannot be asked.
var errDeaf = errors.New("the service runs without a socket for its owner")

var thisComputer = computer{
	version: versionString(),
	readers: quietly,
	service: func(ctx context.Context) (ipc.Status, error) {
		c, err := ipc.Dial(ctx)
		if errors.Is(err, ipc.ErrNoService) && state.ServiceRuns() {
			err = errDeaf
		}
		if err != nil {
			return ipc.Status{}, err
		}
		defer c.Close()
		return c.Status(ctx)
	},
	ports:   listeners,
	icons:   tray.Icons,
	windows: dialog.Windows{}.Usable,
	keeps:   state.CheckDir,
}

// examine makes all checks, in the order in which a login needs what they look at.
func (c computer) examine(ctx context.Context) []finding {
	readers, tokens, err := c.readers(ctx)
	found := append(checkReaders(readers, err), checkCards(ctx, readers)...)
	if tokens != nil {
		defer tokens.Close()
		found = append(found, checkModules(tokens.Modules(), readers)...)
	}
	status, err := c.service(ctx)
	found = append(found, checkService(status, err, c.version), checkPorts(status, c.ports()),
		checkIcon(status, err, c.icons()), checkWindows(c.windows()))
	if err := c.keeps(); err != nil {
		found = append(found, finding{Check: "state", State: problem, Reason: "not_kept",
			text: catalog.Say("doctor.notkept", "detail", catalog.Literal(err.Error()))})
	}
	return found
}

// checkReaders looks at the smart card service and its readers.
func checkReaders(readers []crs.Reader, err error) []finding {
	pcsc := finding{Check: "pcsc", State: fine, text: catalog.Say("doctor.running")}
	reader := finding{Check: "reader", State: fine}
	switch {
	case err != nil:
		pcsc.State, pcsc.Reason, pcsc.text = problem, ipc.Problem(err), catalog.Problem(err)
		reader.State, reader.text = skipped, catalog.Say("doctor.skipped")
	case len(readers) == 0:
		reader.State, reader.Reason, reader.text = problem, "no_reader", catalog.Say("doctor.noreader")
	default:
		var names []string
		for _, r := range readers {
			names = append(names, catalog.Literal(r.Name))
		}
		reader.Detail = strings.Join(names, ", ")
		reader.text = reader.Detail
	}
	return []finding{pcsc, reader}
}

// checkCards looks at each card. It sends them what every listing of cards does, never a PIN.
func checkCards(ctx context.Context, readers []crs.Reader) (found []finding) {
	for _, r := range readers {
		f := finding{Check: "card", State: problem, Detail: catalog.Literal(r.Name)}
		switch {
		case r.Card != nil:
			f.Reason, f.text = cardProblem(ctx, r.Card)
			if f.Reason == "" {
				i := r.Card.Info()
				f.State, f.text = fine, catalog.Say("doctor.card", "kind", i.Kind, "model", catalog.Literal(i.Model))
			}
		case r.Err != nil:
			f.Reason, f.text = ipc.Problem(r.Err), catalog.Problem(r.Err)
			if model := (*crs.ModelError)(nil); errors.As(r.Err, &model) {
				f.ATR = fmt.Sprintf("%X", model.ATR)
			}
		default:
			continue
		}
		found = append(found, f)
	}
	switch {
	case len(readers) == 0:
		return []finding{{Check: "card", State: skipped, text: catalog.Say("doctor.skipped")}}
	case len(found) == 0:
		return []finding{{Check: "card", State: problem, Reason: "no_card", text: catalog.Say("doctor.nocard")}}
	case len(found) == 1:
		return found
	}
	// If one card can be used, another one, such as a company's badge, is no problem.
	usable := slices.ContainsFunc(found, func(f finding) bool { return f.State == fine })
	for i, f := range found {
		if usable && f.State == problem {
			found[i].State = skipped
		}
		found[i].text = f.Detail + ": " + f.text
	}
	return found
}

// checkModules looks at the modules of tokens. One that cannot be used is a problem only if no card
// can be used without it.
func checkModules(modules []pkcs11.Module, readers []crs.Reader) (found []finding) {
	bad := problem
	if slices.ContainsFunc(readers, func(r crs.Reader) bool { return r.Card != nil }) {
		bad = skipped
	}
	for _, m := range modules {
		f := finding{Check: "module", State: fine, Detail: catalog.Literal(m.Name)}
		reason, text := moduleState(m)
		if m.Unused != nil {
			f.State, f.Reason = bad, reason
			if m.Unused.Why == pkcs11.Trust {
				f.State = skipped
			}
		}
		f.text = f.Detail + ". " + text
		found = append(found, f)
	}
	return found
}

// cardProblem returns why a card that can be read cannot be used, "" if it can.
func cardProblem(ctx context.Context, c crs.Card) (reason, text string) {
	if cert, err := c.Certificate(ctx); err == nil && time.Now().After(cert.NotAfter) {
		return "expired", catalog.Say("doctor.expired")
	}
	if pin, err := c.PINStatus(ctx); err == nil && pin.Blocked {
		return "pin_blocked", catalog.Say("doctor.blocked")
	}
	return "", ""
}

// checkService looks at our own service, for a program of the given version.
func checkService(s ipc.Status, err error, version string) finding {
	f := finding{Check: "service", State: problem}
	switch {
	case err == nil && s.Version != version:
		f.Reason, f.Detail = "other_version", s.Version
		f.text = catalog.Say("doctor.otherversion", "version", catalog.Literal(s.Version), "own", version)
	case err == nil && slices.Contains(s.Without, ipc.WithoutBrowsers):
		f.Reason, f.Detail, f.text = "no_browsers", s.Version, catalog.Say("doctor.nobrowsers")
	case err == nil:
		f.State, f.Detail, f.text = fine, s.Version, catalog.Say("doctor.service", "version", s.Version)
	case errors.Is(err, errDeaf):
		f.Reason, f.text = "deaf", catalog.Say("doctor.deaf")
	case errors.Is(err, ipc.ErrNoService):
		f.Reason, f.text = "stopped", catalog.Say("doctor.stopped")
	default:
		f.Reason, f.text = "silent", catalog.Say("doctor.silent", "detail", catalog.Literal(err.Error()))
	}
	return f
}

// checkPorts looks at who listens where portals look for the service. Another program there does no
// harm as long as one port is left.
func checkPorts(s ipc.Status, listening map[int]string) finding {
	f := finding{Check: "port", State: fine, text: catalog.Say("doctor.port.free")}
	ours := 0
	if _, port, err := net.SplitHostPort(s.Address); err == nil {
		ours, _ = strconv.Atoi(port)
		f.Detail, f.text = port, catalog.Say("doctor.port", "port", port)
	}
	free := ours != 0
	for _, port := range bridge.Ports {
		program, taken := listening[port]
		if !taken {
			free = true
		}
		if !taken || port == ours {
			continue
		}
		if program == "" {
			program = catalog.Say("doctor.port.unknown")
		}
		f.text += " " + catalog.Say("doctor.port.taken", "port", strconv.Itoa(port), "program", catalog.Literal(program))
	}
	if !free {
		f.State, f.Reason = problem, "taken"
		help := "doctor.port.help"
		if slices.Contains(s.Without, ipc.WithoutPort) {
			help = "doctor.port.without"
		}
		f.text = strings.TrimPrefix(f.text, catalog.Say("doctor.port.free")+" ") + " " + catalog.Say(help)
	}
	return f
}

// checkIcon looks at the tray, and at whether there is a place for it.
func checkIcon(s ipc.Status, service, icons error) finding {
	f := finding{Check: "tray", State: problem}
	switch {
	case errors.Is(icons, tray.ErrNoBus):
		f.Reason, f.text = "no_bus", catalog.Say("tray.nobus")
	case icons != nil:
		f.Reason, f.text = "no_host", catalog.Say("tray.nohost")
	case service != nil:
		f.State, f.text = skipped, catalog.Say("doctor.skipped")
	case !s.Tray:
		f.Reason, f.text = "stopped", catalog.Say("doctor.notray")
	default:
		f.State, f.text = fine, catalog.Say("doctor.running")
	}
	return f
}

// checkWindows looks at whether a dialog could be opened.
func checkWindows(err error) finding {
	f := finding{Check: "windows", State: problem}
	switch {
	case err == nil:
		f.State, f.text = fine, catalog.Say("doctor.dialogs")
	case errors.Is(err, dialog.ErrNoDisplay):
		f.Reason, f.text = "no_display", catalog.Say("tray.nodisplay")
	default:
		f.Reason, f.text = "no_zenity", catalog.Say("tray.nozenity")
	}
	return f
}

// prescription is the findings as people read them.
func prescription(found []finding) string {
	name := map[string]string{
		"pcsc": catalog.Say("doctor.name.pcsc"), "reader": catalog.Say("field.reader"), "card": catalog.Say("doctor.name.card"),
		"module":  catalog.Say("doctor.name.module"),
		"service": catalog.Say("doctor.name.service"), "port": catalog.Say("doctor.name.port"),
		"tray": catalog.Say("doctor.name.tray"), "windows": catalog.Say("doctor.name.dialogs"),
		"state": catalog.Say("doctor.name.state"),
	}
	mark := map[verdict]string{fine: "✓", problem: "✗", skipped: "–"}
	var lines []string
	for _, f := range found {
		line := catalog.Wrap(name[f.Check]+": "+f.text, catalog.Width-4)
		lines = append(lines, mark[f.State]+" "+strings.ReplaceAll(line, "\n", "\n    "))
	}
	return strings.Join(lines, "\n")
}
