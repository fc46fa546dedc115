package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestScripts runs testdata/script, in which the program is used as a user does. Besides the
// commands of testscript there are:
//
//	fails CODE crs …        the program ends with this exit code
//	insert SLOT KEY=VALUE…  puts a card into slot 1 or 2: see the keys below
//	pull SLOT               takes it out
//	fault SLOT INS SW       its next command INS is answered SW
//	slot N full|empty       waits until pcscd says so
//	sent SLOT N TRIES       the card was sent N PINs, and its PIN has TRIES left
//	pcscd start|stop|bare   bare: without a reader
//	take ADDRESS…           somebody else listens there
func TestScripts(t *testing.T) {
	ns.NeedPcscd(t)
	testscript.RunT(oneByOne{t}, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, value := range map[string]string{
				"HOME": "home", "XDG_STATE_HOME": "home/state", "XDG_CONFIG_HOME": "home/config", "XDG_RUNTIME_DIR": "run",
			} {
				dir := filepath.Join(e.WorkDir, value)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
				e.Setenv(name, dir)
			}
			e.Setenv("PIN", citizen.PIN)
			e.Values[inSlots{}] = map[string]citizen.Card{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": scriptFails, "insert": scriptInsert, "pull": scriptPull, "fault": scriptFault, "sent": scriptSent,
			"slot": scriptSlot, "pcscd": scriptPcscd, "take": scriptTake,
		},
	})
}

// oneByOne runs the scripts one after the other: they share the slots and the ports.
type oneByOne struct{ *testing.T }

func (t oneByOne) Parallel() {}
func (t oneByOne) Verbose() bool {
	return testing.Verbose()
}
func (t oneByOne) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(oneByOne{t}) })
}

// inSlots is the key of a script's cards, a map[string]inserted.
type inSlots struct{}

func inScript(ts *testscript.TestScript) map[string]citizen.Card {
	return ts.Value(inSlots{}).(map[string]citizen.Card)
}

func scriptFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE program [args...]")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, not %s", code, args[0])
	}
}

func scriptInsert(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: insert SLOT [key=value...]")
	}
	var config virtualcard.Config
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "profile":
			config.Profile = value
		case "holder":
			givenName, surname, _ := strings.Cut(value, " ")
			var err error
			config.Person, err = virtualcard.NewPerson(virtualcard.Identity{GivenName: givenName, Surname: surname})
			ts.Check(err)
		case "without":
			config.Files = map[string][]byte{value: nil}
		case "garbage":
			config.Files = map[string][]byte{value: []byte("not what belongs here")}
		case "foreign":
			config.Foreign = virtualcard.ForeignIAS
		case "countless":
			config.NoCount = true
		default:
			ts.Fatalf("no key %q", key)
		}
	}
	config.PIN = citizen.PIN
	card, err := citizen.InsertCard(args[0], virtualcard.New(config))
	ts.Defer(func() { ts.Check(card.Pull()) })
	ts.Check(err)
	inScript(ts)[args[0]] = card
}

func scriptPull(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(inScript(ts)[args[0]].Pull())
}

func scriptFault(ts *testscript.TestScript, _ bool, args []string) {
	ins, err := strconv.ParseUint(args[1], 16, 8)
	ts.Check(err)
	status, err := strconv.ParseUint(args[2], 16, 16)
	ts.Check(err)
	inScript(ts)[args[0]].Inject(virtualcard.Fault{INS: byte(ins), At: 1, SW: uint16(status)})
}

func scriptSent(ts *testscript.TestScript, _ bool, args []string) {
	card := inScript(ts)[args[0]]
	tries, _ := card.Tries()
	if got := fmt.Sprint(card.Secrets(), tries); got != strings.Join(args[1:], " ") {
		ts.Fatalf("PINs sent, tries left: %s", got)
	}
}

func scriptSlot(ts *testscript.TestScript, _ bool, args []string) {
	want := map[string]scard.StateFlag{"full": scard.StatePresent, "empty": scard.StateEmpty}[args[1]]
	ts.Check(ns.AwaitSlot(citizen.Slots[args[0]].Reader, want))
}

func scriptPcscd(ts *testscript.TestScript, _ bool, args []string) {
	switch args[0] {
	case "start":
		ts.Check(ns.Pcscd.Start())
	case "stop":
		ts.Check(ns.Pcscd.Stop())
		ts.Defer(func() { ns.Pcscd.Start() }) // an error when the script did it
	case "bare":
		config := ts.MkAbs("no-readers.conf")
		ts.Check(os.WriteFile(config, nil, 0o600))
		bare := exec.Command("/usr/sbin/pcscd", "--foreground", "--config", config)
		bare.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		ts.Check(bare.Start())
		ts.Defer(func() {
			bare.Process.Signal(syscall.SIGTERM)
			bare.Wait()
		})
		for end := time.Now().Add(await.Limit); ; time.Sleep(time.Millisecond) {
			c, err := net.Dial("unix", "/run/pcscd/pcscd.comm")
			if err == nil {
				c.Close()
				return
			}
			if time.Now().After(end) {
				ts.Fatalf("pcscd without readers: %v", err)
			}
		}
	default:
		ts.Fatalf("usage: pcscd start|stop|bare")
	}
}

func scriptTake(ts *testscript.TestScript, _ bool, args []string) {
	for _, address := range args {
		l, err := net.Listen("tcp", address)
		ts.Check(err)
		ts.Defer(func() { l.Close() })
	}
}
