package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/test/ns"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

var figures = flag.Bool("figures", false, "measure and print what the README says of speed and memory")

// TestFigures measures the program as it is released. It compares nothing with a budget: how
// fast a PC is says nothing about the program. Counts are tested elsewhere.
func TestFigures(t *testing.T) {
	if !*figures {
		return // scripts/bench asks for it
	}
	file := released(t)
	printAPDUs(t, file)
	printStart(t, file)
	printIdle(t, file)
	printTray(t, file)
	printTokens(t, file)
	printHang(t, file)
}

// released builds the program and puts it where a package would: the linker's own file may lie in
// huge pages, of which the smallest use counts as 2 MB.
func released(t *testing.T) string {
	t.Helper()
	linked, file := filepath.Join(t.TempDir(), "linked"), filepath.Join(t.TempDir(), "crs")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", linked).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(linked)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o755); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("size of the program: %.1f MB\n\n", float64(len(b))/1e6)
	return file
}

// knowing starts the released program's service, which knows the site.
func knowing(t *testing.T, h citizen.Home, file string) *citizen.Program {
	h.Command(t, "sites", "allow", citizen.Portale)
	p := h.Start(t, file, "serve", "--ui", "terminal")
	p.Next("msg=listening")
	return p
}

// printAPDUs prints what the cards are sent, in a real pcscd and without personal data: numbers
// for every profile, and the commands themselves for the first.
func printAPDUs(t *testing.T, file string) {
	serve := knowing(t, citizen.NewHome(t), file)
	site := open(t, citizen.Portale)
	var log []string
	fmt.Println("APDUs and bytes, both ways with status words, through a real pcscd:")
	fmt.Printf("%-12s %15s %15s %15s\n", "profile", "insertion", "first login", "next login")
	for _, profile := range virtualcard.Profiles {
		card := citizen.Insert(t, virtualcard.Config{Profile: profile.Name, PIN: citizen.PIN})
		serve.Next(citizen.CardReady)
		row := fmt.Sprintf("%-12s", profile.Name)
		for _, part := range []string{"insertion", "first login", "next login"} {
			if part != "insertion" {
				serve.Answer(citizen.PIN)
				site.mustLogIn()
			}
			exchanges := card.Log()
			row += fmt.Sprintf(" %3d,%5d bytes", len(exchanges), card.Bytes())
			if profile.Name == virtualcard.Profiles[0].Name {
				log = append(log, part+":")
				for _, x := range exchanges {
					log = append(log, fmt.Sprintf("  %02X %02X %02X %02X  %4d sent  %4d received  SW %04X", x.CLA, x.INS, x.P1, x.P2, x.Sent, x.Received, x.SW))
				}
			}
			card.Forget()
		}
		fmt.Println(row)
		if err := card.Pull(); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("\n%s, command by command:\n%s\n\n", virtualcard.Profiles[0].Name, strings.Join(log, "\n"))
	serve.Stop(syscall.SIGTERM)
}

// printStart prints how long it takes from starting the service to its port.
func printStart(t *testing.T, file string) {
	measure := func() time.Duration {
		var took []time.Duration
		h := citizen.NewHome(t)
		for range 11 {
			began := time.Now()
			p := h.Start(t, file, "serve", "--ui", "none")
			for {
				c, err := net.Dial("tcp", citizen.BridgeAddress)
				if err == nil {
					took = append(took, time.Since(began))
					c.Close()
					break
				}
				if time.Since(began) > await.Limit {
					t.Fatalf("the service does not listen: %v", err)
				}
				time.Sleep(100 * time.Microsecond)
			}
			p.Stop(syscall.SIGTERM)
		}
		slices.Sort(took)
		return took[len(took)/2].Round(100 * time.Microsecond)
	}
	with := measure()
	if err := ns.Pcscd.Stop(); err != nil {
		t.Fatal(err)
	}
	without := measure()
	if err := ns.Pcscd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("crs serve, from its start to listening (median of 11): %v with pcscd, %v without\n", with, without)
}

// printIdle prints what the service takes while nobody logs in, with a reader and a card.
func printIdle(t *testing.T, file string) {
	serve := knowing(t, citizen.NewHome(t), file)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	for _, when := range []string{"with a card", "after a login"} {
		if when != "with a card" {
			serve.Answer(citizen.PIN)
			site := open(t, citizen.Portale)
			site.mustLogIn()
			site.ws.Close()
		}
		printWaiting(t, waiting{"crs serve, idle " + when, serve.Process.Pid})
	}
	if err := card.Pull(); err != nil {
		t.Fatal(err)
	}
	serve.Stop(syscall.SIGTERM)
}

// printTray prints what the tray takes while nothing happens, and how soon it shows what does.
func printTray(t *testing.T, file string) {
	h := citizen.NewHome(t)
	serve, icon := sitDown(t, h, file, file)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	says(t, icon, "Carta pronta")
	printWaiting(t, waiting{"crs tray, idle with a card", icon.Process.Pid})
	var took []time.Duration
	for range 5 {
		began := time.Now()
		if err := card.Pull(); err != nil {
			t.Fatal(err)
		}
		says(t, icon, "Nessuna carta")
		took = append(took, time.Since(began))
		card = citizen.InsertAgain(t, card.Card)
		says(t, icon, "Carta pronta")
	}
	slices.Sort(took)
	fmt.Printf("crs tray, from pulling the card to the icon (median of 5; pcscd takes up to 0.4 s of it): %v\n", took[2].Round(time.Millisecond))
	icon.Stop(syscall.SIGTERM)
	serve.Stop(syscall.SIGTERM)
}

// waiting is a process that waits.
type waiting struct {
	what string
	pid  int
}

// printWaiting prints what processes take that wait.
func printWaiting(t *testing.T, processes ...waiting) {
	time.Sleep(5 * time.Second) // for all that follows an event to be over
	const watched = 30 * time.Second
	before := map[int]map[string]int{}
	for _, p := range processes {
		before[p.pid] = switches(t, p.pid)
	}
	time.Sleep(watched)
	for _, p := range processes {
		var woken int
		for thread, n := range switches(t, p.pid) {
			woken += n - before[p.pid][thread]
		}
		fmt.Printf("%s: %.1f MB RSS, %.1f MB of it private (RssAnon), %.1f MB its share (Pss); %.2f wake-ups a second in %v\n",
			p.what, megabytes(t, p.pid, "status", "VmRSS:"), megabytes(t, p.pid, "status", "RssAnon:"), megabytes(t, p.pid, "smaps_rollup", "Pss:"),
			float64(woken)/watched.Seconds(), watched)
	}
}

// megabytes reads a field of a file under /proc that is in kB.
func megabytes(t *testing.T, pid int, file, field string) float64 {
	return float64(procField(t, fmt.Sprintf("/proc/%d/%s", pid, file), field)) * 1024 / 1e6
}

// switches returns how often each thread of a process was switched to, by thread.
func switches(t *testing.T, pid int) map[string]int {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	n := map[string]int{}
	for _, thread := range threads {
		n[thread] = procField(t, thread, "voluntary_ctxt_switches:") + procField(t, thread, "nonvoluntary_ctxt_switches:")
	}
	return n
}

func procField(t *testing.T, file, field string) int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field {
			n, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", file, field)
	return 0
}
