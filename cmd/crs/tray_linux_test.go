package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/desk"
	"github.com/crs-bridge/crs/internal/virtualcard"
	"github.com/crs-bridge/crs/tray"
)

// sitDown opens a desktop with a panel, and starts the service and its tray on it.
func sitDown(t *testing.T, h citizen.Home, serveFile, trayFile string) (serve, icon *citizen.Program) {
	t.Helper()
	desk.Display(t)
	desk.Bus(t)
	desk.Panel(t, func() bool { return tray.Icons() == nil })
	for _, name := range []string{"DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "NO_AT_BRIDGE"} {
		citizen.Session = append(citizen.Session, name+"="+os.Getenv(name))
	}
	citizen.Session = append(citizen.Session, desk.RaceOptions)
	t.Cleanup(func() { citizen.Session = nil })
	serve = h.Start(t, serveFile, "serve", "--log", "debug")
	serve.Next("msg=listening")
	icon = h.Start(t, trayFile, "tray", "--log", "debug")
	serve.Next("tray attached")
	return serve, icon
}

// dialogs answers one window after the other, by the keyboard.
type dialogs struct {
	t    *testing.T
	last string // the process of the window that was answered last
}

// answer waits for a window of this title, types a text and presses keys.
func (d *dialogs) answer(title, text string, keys ...string) {
	d.t.Helper()
	await.That(d.t, "a new window "+title, func() bool {
		out, _ := exec.Command("xdotool", "getactivewindow", "getwindowname", "getwindowpid").Output()
		name, pid, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if name != title || pid == d.last {
			return false
		}
		d.last = pid
		return true
	})
	time.Sleep(700 * time.Millisecond) // what comes earlier is no answer
	if text != "" {
		desk.XDoTool(d.t, "type", text)
	}
	if len(keys) > 0 {
		desk.Keys(d.t, keys...)
	}
}

// says waits until the icon says a text.
func says(t *testing.T, icon *citizen.Program, text string) {
	t.Helper()
	await.That(t, "the icon says "+text, func() bool {
		return strings.Contains(desk.Tooltip(icon.Process.Pid), text)
	})
}

func noWindows(t *testing.T) {
	t.Helper()
	await.That(t, "no window is left", func() bool {
		return exec.Command("xdotool", "search", "--onlyvisible", "--class", "zenity").Run() != nil
	})
}

// openSC reports whether OpenSC accepts a PIN.
func openSC(pin string) bool {
	return exec.Command("pkcs15-tool", "--verify-pin", "--auth-id", "01", "--pin", pin).Run() == nil
}

// TestT11AndT24Tray: the icon follows the card; its menu unblocks and changes the PIN in windows that the
// keyboard answers; a login asks there too; and what is killed leaves nothing behind.
func TestT11AndT24Tray(t *testing.T) {
	const puk, wrongPUK, freshPIN, lastPIN = "61728394", "94837261", "5829463", "3710594"
	h := citizen.NewHome(t)
	h.Command(t, "sites", "allow", citizen.Portale)
	serve, icon := sitDown(t, h, "crs", "crs")
	says(t, icon, "Nessuna carta")
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN, PUK: puk})
	says(t, icon, "Carta pronta")
	d := &dialogs{t: t}
	done := make(chan error, 1)
	// A page of its own each time: between two logins nobody here would answer the service's pings, as a
	// browser does, and on a busy machine more than a minute passes.
	logIn := func() {
		t.Helper()
		site := open(t, citizen.Portale)
		go func() { _, err := site.login(false); done <- err }()
	}

	// Three wrong PINs in a login; the user unblocks with the PUK in windows of their own, and the
	// login succeeds. The tray says what happened.
	logIn()
	d.answer("PIN della carta", citizen.WrongPIN, "Return")
	d.answer("PIN della carta", citizen.WrongPIN, "Return")
	d.answer("PIN della carta", citizen.WrongPIN, "Return")
	d.answer("Ultimo tentativo", "", "Tab", "Return")
	says(t, icon, "PIN bloccato")
	d.answer("Il PIN è bloccato", "", "Tab", "Return")
	d.answer("Sbloccare il PIN con il PUK", puk, "Return")
	d.answer("Sbloccare il PIN con il PUK", freshPIN, "Return")
	d.answer("Sbloccare il PIN con il PUK", freshPIN, "Return")
	d.answer("PIN della carta", freshPIN, "Return")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	says(t, icon, "Carta pronta")
	if pin, puk := card.Tries(); pin != 3 || puk != 3 || card.Count(0x2C) != 1 {
		t.Errorf("%d tries of the PIN and %d of the PUK are left, %d were sent", pin, puk, card.Count(0x2C))
	}
	if !openSC(freshPIN) {
		t.Error("OpenSC does not accept the new PIN")
	}

	// Blocked outside of a login, by another program: the icon hears of it from that.
	for range 3 {
		verify := h.Start(t, "crs", "pin", "verify")
		verify.Answer(citizen.WrongPIN, "s")
		<-verify.Ended
	}
	says(t, icon, "PIN bloccato")
	desk.Choose(t, func() bool { return desk.Shows("Sbloccare il PIN con il PUK") }, "Down", "Return")
	d.answer("Sbloccare il PIN con il PUK", wrongPUK, "Return")
	d.answer("Sbloccare il PIN con il PUK", citizen.PIN, "Return")
	d.answer("Sbloccare il PIN con il PUK", citizen.PIN, "Return")
	d.answer("Sbloccare il PIN con il PUK", puk, "Return") // the first was wrong
	d.answer("Sbloccare il PIN con il PUK", citizen.PIN, "Return")
	card.Forget()
	d.answer("Sbloccare il PIN con il PUK", citizen.PIN, "Return")
	d.answer("PIN sbloccato", "", "Return")
	if n := len(card.Log()); n > 4 || card.Count(0x2C) != 1 {
		t.Errorf("%d APDUs after the dialogs of an unblock, %d of them with the PUK", n, card.Count(0x2C))
	}
	says(t, icon, "Carta pronta")
	if !openSC(citizen.PIN) {
		t.Error("OpenSC does not accept the PIN")
	}
	desk.Choose(t, func() bool { return desk.Shows("Cambiare il PIN") }, "Down", "Return")
	d.answer("Cambiare il PIN", citizen.PIN, "Return")
	d.answer("Cambiare il PIN", lastPIN, "Return")
	d.answer("Cambiare il PIN", lastPIN, "Return")
	d.answer("PIN cambiato", "", "Return")
	if !openSC(lastPIN) {
		t.Error("OpenSC does not accept the PIN after a change")
	}

	// TestT11 and TestT24 of this path: what was typed, and who the card belongs to, is in no log
	// and no file, and no PIN or PUK in the memory of either program.
	written := files(t, h)
	written["the service's log"], written["the tray's log"] = []byte(serve.Stderr.String()), []byte(icon.Stderr.String())
	for where, text := range written {
		for _, secret := range []string{citizen.PIN, citizen.WrongPIN, puk, wrongPUK, freshPIN, lastPIN, "ADA ESEMPIO", card.Person().CardID} {
			if form := holds(text, []byte(secret)); form != "" {
				t.Errorf("%s holds %s, as %s", where, secret, form)
			}
		}
	}
	for _, p := range []*citizen.Program{serve, icon} {
		// The last one is what the search must find.
		found := remembers(t, p.Process.Pid, citizen.PIN, citizen.WrongPIN, puk, wrongPUK, freshPIN, lastPIN, "ADA ESEMPIO")
		if strings.Join(found, " ") != "ADA ESEMPIO" {
			t.Errorf("process %d remembers %v", p.Process.Pid, found)
		}
	}

	// One tray is enough.
	second := h.Start(t, "crs", "tray")
	<-second.Ended
	if !strings.Contains(second.Stderr.String(), "già in funzione") || second.Code != 1 {
		t.Errorf("a second tray: %d, %s", second.Code, second.Stderr)
	}

	// A tray that is killed takes its window with it: nothing was sent, and the login ends as if
	// the user had closed the window.
	card.Forget()
	desk.Choose(t, func() bool { return desk.Shows("Cambiare il PIN") }, "Down", "Return")
	d.answer("Cambiare il PIN", lastPIN)
	icon.Stop(syscall.SIGKILL)
	noWindows(t)
	icon = h.Start(t, "crs", "tray")
	serve.Next("tray attached")
	says(t, icon, "Carta pronta")
	logIn()
	d.answer("PIN della carta", lastPIN)
	icon.Stop(syscall.SIGKILL)
	noWindows(t)
	if err := <-done; err == nil || !strings.Contains(err.Error(), string(crs.ErrCancelled)) {
		t.Errorf("the tray was killed, and the login ended with %v", err)
	}
	if card.Secrets() != 0 {
		t.Errorf("%d secrets were sent", card.Secrets())
	}

	// Without a tray the service has windows of its own.
	logIn()
	d.answer("PIN della carta", lastPIN, "Return")
	if err := <-done; err != nil {
		t.Error(err)
	}

	// A service that ends closes its windows; the tray says so, and starts another that outlives it.
	icon = h.Start(t, "crs", "tray")
	serve.Next("tray attached")
	says(t, icon, "Carta pronta")
	desk.Choose(t, func() bool { return desk.Shows("Cambiare il PIN") }, "Down", "Return")
	d.answer("Cambiare il PIN", lastPIN)
	serve.Stop(syscall.SIGTERM)
	d.answer("Non è riuscito", "", "Return")
	noWindows(t)
	says(t, icon, "non è in funzione")
	desk.Choose(t, func() bool { return strings.Contains(desk.Tooltip(icon.Process.Pid), "Carta pronta") }, "Down", "Return")
	child := children(t, icon.Process.Pid)
	if code := icon.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the tray ended with %d", code)
	}
	if races := desk.Races(serve.Stderr.String() + icon.Stderr.String()); races != "" {
		t.Error(races)
	}
	open(t, citizen.Portale)
	for _, pid := range child {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	await.That(t, "the service ended", func() bool {
		_, err := tryOpen(t, citizen.Portale)
		return err != nil
	})
}

// children returns the processes that a process started and that are alive.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(b)) {
			n, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	return pids
}
