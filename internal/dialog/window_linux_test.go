package dialog

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/desk"
)

var pictures = flag.String("pictures", "", "directory that TestWindowsFit writes a picture of each dialog to")

// awaitAnswerable is awaitWindow for a window that the test answers.
func awaitAnswerable(t *testing.T, title string) string {
	t.Helper()
	window := desk.AwaitWindow(t, title)
	time.Sleep(tooSoon)
	return window
}

// inTime runs a dialog in the background and returns what tells how it ended.
func inTime(t *testing.T, dialog func() error) (ended func() error) {
	done := make(chan error, 1)
	go func() { done <- dialog() }()
	return func() error {
		t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(await.Limit):
			t.Fatal("the dialog is still open")
			return nil
		}
	}
}

var (
	question = catalog.Text{Title: "A question", Site: "portale.example", After: "Yes or no?", Yes: "Yes", No: "No"}
	rows     = []string{"--version", "<b>Mario</b> &amp; C.", "BIANCA VERDI"}
)

// TestKeyboardAlone: each dialog can be answered without a mouse, Enter alone agrees to nothing,
// and Esc cancels.
func TestKeyboardAlone(t *testing.T) {
	desk.Display(t)
	var w Windows
	var got any
	ask := func() (err error) { got, err = w.Ask(t.Context(), question); return }
	choose := func() (err error) { got, err = w.Choose(t.Context(), question, rows); return }
	pin := func() error {
		pin, err := w.AskPIN(t.Context(), question)
		if err == nil {
			digits, _ := pin.Spend()
			got = string(digits)
		}
		return err
	}
	tell := func() error { got = nil; return w.Tell(t.Context(), question) }
	wait := func() error { return w.Wait(t.Context(), question) }

	for _, test := range []struct {
		name   string
		dialog func() error
		keys   []string
		want   any
		err    error
	}{
		{"question", ask, []string{"Return"}, false, nil},
		{"question", ask, []string{"Tab", "Return"}, true, nil},
		{"question", ask, []string{"Escape"}, nil, crs.ErrCancelled},
		{"PIN", pin, []string{"1", "3", "5", "7", "9", "Return"}, "13579", nil},
		{"PIN", pin, []string{"1", "2", "BackSpace", "3", "Tab", "Tab", "Return"}, "13", nil},
		{"PIN", pin, []string{"Return"}, "", nil},
		{"PIN", pin, []string{"1", "3", "5", "7", "9", "Escape"}, nil, crs.ErrCancelled},
		{"PIN", pin, []string{"1", "3", "5", "7", "9", "Tab", "space"}, nil, crs.ErrCancelled},
		{"list", choose, []string{"Down", "Return"}, 1, nil},
		{"list", choose, []string{"Down", "Down", "Return"}, 2, nil},
		{"list", choose, []string{"Escape"}, nil, crs.ErrCancelled},
		{"report", tell, []string{"Return"}, nil, nil},
		{"report", tell, []string{"Escape"}, nil, nil},
		{"waiting", wait, []string{"Escape"}, nil, crs.ErrCancelled},
		{"waiting", wait, []string{"Return"}, nil, crs.ErrCancelled},
	} {
		got = nil
		ended := inTime(t, test.dialog)
		awaitAnswerable(t, question.Title)
		desk.XDoTool(t, append([]string{"key", "--clearmodifiers"}, test.keys...)...)
		err := ended()
		if !errors.Is(err, test.err) || err == nil && got != test.want {
			t.Errorf("%s, keys %v: %v, %v, want %v, %v", test.name, test.keys, got, err, test.want, test.err)
		}
	}
}

// TestT14TooSoon: what comes before a window can have been read is no answer; the window is
// shown again, but not endlessly.
func TestT14TooSoon(t *testing.T) {
	for _, first := range []error{nil, crs.ErrCancelled} {
		synctest.Test(t, func(t *testing.T) {
			shown := 0
			err := deliberate(func() error {
				if shown++; shown < 3 {
					time.Sleep(400 * time.Millisecond)
					return first
				}
				time.Sleep(time.Second)
				return crs.ErrCancelled
			})
			if shown != 3 || err != crs.ErrCancelled {
				t.Errorf("after %v too soon: shown %d times, %v", first, shown, err)
			}
		})
	}
	broken := errors.New("broken")
	if err := deliberate(func() error { return broken }); err != broken {
		t.Errorf("deliberate = %v", err)
	}

	// Every dialog heeds it: this program answers all of them at once.
	t.Setenv("DISPLAY", ":0")
	w := Windows{zenity: "/usr/bin/true"}
	_, err1 := w.Ask(t.Context(), question)
	pin, err2 := w.AskPIN(t.Context(), question)
	err3 := w.Tell(t.Context(), question)
	err4 := w.Wait(t.Context(), question)
	_, err5 := w.Choose(t.Context(), question, rows)
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if err == nil || crs.CodeOf(err) != crs.ErrInternal || pin != nil {
			t.Errorf("dialog %d: %v", i+1, err)
		}
	}
}

// TestContextClosesWindow: the page is gone, so are window and process.
func TestContextClosesWindow(t *testing.T) {
	desk.Display(t)
	var w Windows
	for _, dialog := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := w.AskPIN(ctx, question); return err },
		func(ctx context.Context) error { return w.Wait(ctx, question) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := inTime(t, func() error { return dialog(ctx) })
		desk.AwaitWindow(t, question.Title)
		cancel()
		if err := ended(); !errors.Is(err, context.Canceled) {
			t.Errorf("the dialog ended with %v", err)
		}
		awaitNoWindow(t)
	}
}

func awaitNoWindow(t *testing.T) {
	t.Helper()
	await.That(t, "no window is left", func() bool {
		return exec.Command("xdotool", "search", "--onlyvisible", "--name", question.Title).Run() != nil
	})
}

// TestFailuresAreNoCancellation: only the user cancels. A login that nobody could be asked about
// ends with another code, and the error names what helps.
func TestFailuresAreNoCancellation(t *testing.T) {
	server := desk.Display(t)
	ask := func(w Windows) error { _, err := w.AskPIN(t.Context(), question); return err }
	check := func(name string, err error, want string) {
		t.Helper()
		if err == nil || crs.CodeOf(err) != crs.ErrInternal || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}

	ended := inTime(t, func() error { return ask(Windows{}) })
	window := desk.AwaitWindow(t, question.Title)
	pid, err := strconv.Atoi(desk.XDoTool(t, "getwindowpid", window))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	check("killed", ended(), "killed")

	ended = inTime(t, func() error { return ask(Windows{}) })
	desk.AwaitWindow(t, question.Title)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	check("the display goes away", ended(), "zenity ended")
	server.Wait() // until then it takes connections
	check("a display that is not there", ask(Windows{}), "--ui terminal")
	t.Setenv("DISPLAY", "")
	check("no display", ask(Windows{}), "--ui terminal")
	t.Setenv("WAYLAND_DISPLAY", "wayland-none")
	check("no zenity", ask(Windows{zenity: "/usr/bin/no-such-zenity"}), "apt install zenity")
}

// TestOnlyTheAdministratorsZenity: a program that another could have put there is not run.
func TestOnlyTheAdministratorsZenity(t *testing.T) {
	t.Setenv("DISPLAY", ":0")
	dir := t.TempDir()
	fake := filepath.Join(dir, "zenity")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\ntouch "+dir+"/ran\necho 13579\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(fake, link); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{fake, link} {
		w := Windows{zenity: program}
		if err := w.Usable(); err == nil || !strings.Contains(err.Error(), "--ui terminal") {
			t.Errorf("Usable with %s = %v", program, err)
		}
		if pin, err := w.AskPIN(t.Context(), question); err == nil {
			t.Errorf("AskPIN with %s = %v", program, pin)
		}
	}
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Error("the program ran")
	}
	if err := (Windows{}).Usable(); err != nil {
		t.Errorf("%v; scripts/bootstrap test installs what the tests need", err)
	}
}

// TestT24Process: neither arguments nor environment of the window's process hold more than the
// dialog needs.
func TestT24Process(t *testing.T) {
	desk.Display(t)
	t.Setenv("CRS_TEST_SECRET", "97531")
	t.Setenv("GTK_MODULES", "crs-test")
	ended := inTime(t, func() error { _, err := Windows{}.AskPIN(t.Context(), question); return err })
	window := awaitAnswerable(t, question.Title)
	desk.XDoTool(t, "type", "97531")
	proc := "/proc/" + desk.XDoTool(t, "getwindowpid", window)
	env, err := os.ReadFile(proc + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"97531", "GTK_MODULES", "LD_", "PATH="} {
		if strings.Contains(string(env), s) {
			t.Errorf("the environment holds %s: %q", s, env)
		}
	}
	args, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(args), "97531") {
		t.Errorf("the arguments hold the PIN: %q", args)
	}
	desk.XDoTool(t, "key", "Escape")
	if err := ended(); !errors.Is(err, crs.ErrCancelled) {
		t.Error(err)
	}
}

// TestKilledProgramLeavesNoWindow: a PIN window whose program was killed asks for nobody.
func TestKilledProgramLeavesNoWindow(t *testing.T) {
	const child = "CRS_TEST_DIALOG"
	if os.Getenv(child) != "" {
		Windows{}.AskPIN(t.Context(), question)
		return
	}
	desk.Display(t)
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	desk.Start(t, cmd)
	desk.AwaitWindow(t, question.Title)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitNoWindow(t)
}

// TestLiteralText: what zenity would read as markup, escapes or mnemonics is shown as it is.
func TestLiteralText(t *testing.T) {
	text := catalog.Text{Before: `<b>Mario</b> & C.`, Site: "a_b.example", After: `one\ntwo &amp; __`}
	want := `&lt;b&gt;Mario&lt;/b&gt; &amp; C.` + "\n\n" + `<span size="x-large" weight="bold">a_b.example</span>` + "\n\n" + `one\\ntwo &amp;amp; __`
	if got := markup(text); got != want {
		t.Errorf("markup = %q, want %q", got, want)
	}
	want = `<b>Mario</b> & C.` + "\n\n" + `    a__b.example` + "\n\n" + `one\\ntwo &amp; ____`
	if got := plain(text); got != want {
		t.Errorf("plain = %q, want %q", got, want)
	}
}

// TestWindowsFit opens every dialog, in its worst case too, and measures it.
func TestWindowsFit(t *testing.T) {
	desk.Display(t)
	defer catalog.SetLanguage("")
	for _, lang := range []string{"it", "en", "de"} {
		catalog.SetLanguage(lang)
		for _, d := range everyDialog(t, lang) {
			t.Run(lang+"/"+d.name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ended := inTime(t, func() error { return d.show(ctx) })
				window := desk.AwaitWindow(t, d.text.Title)
				if *pictures != "" {
					time.Sleep(200 * time.Millisecond) // for it to be drawn
					file := filepath.Join(*pictures, lang+"-"+d.name+".png")
					if out, err := exec.Command("import", "-window", "root", file).CombinedOutput(); err != nil {
						t.Errorf("import: %v: %s", err, out)
					}
				}
				x, y, width, height := desk.Geometry(t, window)
				if width < 100 || height < 50 || x < 0 || y < 0 || x+width > 1024 || y+height > 768 {
					t.Errorf("%dx%d at %d,%d does not fit the screen", width, height, x, y)
				}
				cancel()
				if err := ended(); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			if t.Failed() {
				return
			}
		}
	}
}

// sick is what doctor says of a computer on which nothing works, as long as it gets.
const sick = "✗ Smart card: Il servizio del computer per le smart\n    card non è in funzione. Lo avvia il comando «sudo systemctl\n    start pcscd.socket»; se non sa come fare, mostri questo\n    messaggio a chi la assiste.\n" +
	"– Lettore: non si può dire, perché prima manca qualcosa.\n– Carta: non si può dire, perché prima manca qualcosa.\n" +
	"✗ Servizio CRS: fermo. Scelga «Avvia il servizio» nel menu\n    dell'icona, o scriva in un terminale: crs serve\n✓ Porta: libera.\n" +
	"✗ Icona: Non c'è un bus di sessione (D-Bus), e senza non c'è\n    l'icona della carta. Lo installa «sudo apt install\n    dbus-user-session», poi esca dalla sessione ed entri di nuovo.\n    Le finestre per il PIN e il comando «crs pin» funzionano anche\n    senza.\n" +
	"✗ Finestre: Le finestre non si possono aprire: manca zenity, o\n    altri che l'amministratore possono cambiarlo. Lo installa\n    «sudo apt install --reinstall zenity»; poi riprovi."

type shownDialog struct {
	name string
	text catalog.Text
	show func(context.Context) error
}

func everyDialog(t *testing.T, lang string) (all []shownDialog) {
	var w Windows
	prompt := func(host string) catalog.Prompt {
		o, err := crs.ParseOrigin("https://" + host)
		if err != nil {
			t.Fatal(err)
		}
		return catalog.Prompt{Origin: o, Lang: lang}
	}
	add := func(name string, text catalog.Text, show func(context.Context, catalog.Text) error) {
		all = append(all, shownDialog{name, text, func(ctx context.Context) error { return show(ctx, text) }})
	}
	ask := func(ctx context.Context, text catalog.Text) error { _, err := w.Ask(ctx, text); return err }
	enter := func(ctx context.Context, text catalog.Text) error { _, err := w.AskPIN(ctx, text); return err }

	site := prompt("accesso.comune.example")
	// The longest host of an origin, beginning with another site's name.
	long := prompt("www.agenziaentrate.example." + strings.Repeat("accesso-sicuro.", 9) + strings.Repeat("w", 62) + ".xn--comne-nva.com:8443")
	develop := long
	develop.Developer = true
	format := crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}
	rossi := crs.Info{Reader: "Bit4id miniLector EVO 00 00", Kind: "CNS", Holder: "MARIO ROSSI", PINFormat: format, TwoPartPIN: true}
	odd := crs.Info{Reader: "Reader_1 00 00", Kind: "CNS", Holder: `<b>Mario</b> & C. &amp; \n_x`, PINFormat: format}
	wide := crs.Info{Reader: strings.Repeat("W", 200), Kind: "CNS", Holder: strings.Repeat("WIDE ", 50), PINFormat: format}
	pin := func(p catalog.Prompt, card crs.Info, retries int, last error) catalog.PINPrompt {
		return catalog.PINPrompt{Prompt: p, Card: card, Status: crs.PINStatus{Retries: retries}, Last: last}
	}

	add("allow", catalog.AllowSite(site), ask)
	add("allow-punycode", catalog.AllowSite(prompt("xn--comne-nva.example")), ask)
	add("allow-long", catalog.AllowSite(develop), ask)
	inside := site
	inside.Top = prompt("www.notizie.example").Origin
	deep := develop
	deep.Top = long.Origin
	by := func(p catalog.Prompt, program string) catalog.Prompt {
		p.Program = program
		return p
	}
	add("allow-inside", catalog.AllowSite(inside), ask)
	add("allow-program", catalog.AllowSite(by(site, "/home/mario/Scaricati/firefox-portable/firefox")), ask)
	add("allow-program-unknown", catalog.AllowSite(by(site, crs.UnknownProgram)), ask)
	add("allow-program-long", catalog.AllowSite(by(deep, "/home/"+strings.Repeat("W", 250))), ask)
	add("insert-inside-long", catalog.InsertCard(deep, []crs.Reader{{Name: "Reader 0", Err: crs.ErrCardMute}}), w.Wait)
	add("personal-inside", catalog.SharePersonalData(inside, rossi), ask)
	add("personal-inside-long", catalog.SharePersonalData(deep, wide), ask)
	add("pin-inside", catalog.PIN(pin(inside, rossi, -1, nil)), enter)
	add("pin-inside-long", catalog.PIN(pin(deep, wide, -1, catalog.CheckPIN(crs.NewPIN([]byte("1234a")), format))), enter)
	add("last-inside-long", catalog.LastTry(pin(deep, wide, -1, nil)), ask)
	add("insert", catalog.InsertCard(site, nil), w.Wait)
	add("insert-beside", catalog.InsertCard(develop, []crs.Reader{{Name: "a"}, {Name: wide.Reader, Err: crs.ErrCardMute}, {Name: wide.Reader, Err: crs.ErrCardMute}}), w.Wait)
	add("insert-long", catalog.InsertCard(develop, []crs.Reader{{Name: "Reader 0", Err: crs.ErrCardMute}}), w.Wait)
	newest := &crs.ModelError{Err: crs.ErrModelCannotSign, Holder: rossi.Holder, Expires: time.Date(2031, 3, 1, 0, 0, 0, 0, time.UTC)}
	for name, problem := range map[string]error{
		"nocns": crs.ErrNoCNS, "stuck": crs.ErrCardStuck, "inuse": crs.ErrCardInUse, "certificate": crs.ErrCertificate,
		"unknown-model": crs.ErrUnknownModel, "newest": newest,
	} {
		add("insert-"+name, catalog.InsertCard(site, []crs.Reader{{Name: "Reader 0", Err: problem}}), w.Wait)
		add("insert-two-"+name, catalog.InsertCard(develop, []crs.Reader{{Name: wide.Reader, Err: problem}, {Name: wide.Reader, Err: problem}}), w.Wait)
	}
	add("insert-free", catalog.InsertCard(site, []crs.Reader{{Name: rossi.Reader}, {Name: "Lettore carità 01 00", Err: crs.ErrCardMute}}), w.Wait)
	expires := func(card crs.Info, year int) crs.Info {
		card.NotBefore, card.NotAfter = time.Date(year-6, 1, 31, 0, 0, 0, 0, time.UTC), time.Date(year, 1, 31, 0, 0, 0, 0, time.UTC)
		return card
	}
	pick := func(p catalog.Prompt) (catalog.Text, func(context.Context, catalog.Text) error) {
		text, rows := catalog.PickCard(p, []crs.Info{expires(rossi, time.Now().Year()+3), expires(odd, 2019), wide, {Reader: "Reader_2", Kind: "CNS"}})
		return text, func(ctx context.Context, text catalog.Text) error { _, err := w.Choose(ctx, text, rows); return err }
	}
	text, show := pick(site)
	add("pick", text, show)
	text, show = pick(develop)
	add("pick-long", text, show)
	add("personal", catalog.SharePersonalData(site, rossi), ask)
	add("personal-long", catalog.SharePersonalData(develop, wide), ask)
	add("pin", catalog.PIN(pin(site, rossi, -1, nil)), enter)
	add("pin-literal", catalog.PIN(pin(prompt("a_b.example"), odd, 3, nil)), enter)
	add("pin-wrong", catalog.PIN(pin(site, rossi, -1, &crs.PINError{Retries: 2})), enter)
	add("pin-last", catalog.PIN(pin(site, rossi, 1, &crs.PINError{Retries: 1})), enter)
	add("pin-uncertain", catalog.PIN(pin(site, rossi, -1, &crs.PINError{Retries: -1, Uncertain: true})), enter)
	add("pin-long", catalog.PIN(pin(develop, wide, -1, catalog.CheckPIN(crs.NewPIN([]byte("1234a")), format))), enter)
	add("puk", catalog.PINOrPUK(pin(site, rossi, -1, nil)), ask)
	add("last", catalog.LastTry(pin(site, rossi, 1, nil)), ask)
	add("last-unknown", catalog.LastTry(pin(develop, wide, -1, nil)), ask)
	keys := func(p catalog.PINPrompt) catalog.PINPrompt {
		p.Card.PINPad, p.OnReader = true, true
		return p
	}
	for name, p := range map[string]catalog.PINPrompt{
		"":       keys(pin(site, rossi, -1, nil)),
		"-wrong": keys(pin(site, rossi, -1, &crs.PINError{Retries: 2})),
		"-long":  keys(pin(develop, wide, 1, &crs.PINError{Retries: -1, Uncertain: true})),
	} {
		add("reader"+name, catalog.ReaderPIN(p), ask)
		add("reader-type"+name, catalog.TypePIN(p), w.Wait)
		add("reader-last"+name, catalog.LastTry(p), ask)
		add("reader-failed"+name, catalog.Keyboard(p.Prompt, p.Card, &crs.PINError{Uncertain: true, Err: crs.ErrPINPad}), ask)
		p.Prompt = catalog.Prompt{Lang: lang}
		add("reader-change"+name, catalog.ChangeOnReader(p), w.Wait)
		add("reader-prove"+name, catalog.ProveOnReader(p), w.Wait)
		add("reader-unable"+name, catalog.Keyboard(p.Prompt, p.Card, crs.ErrPINPad), ask)
	}
	add("blocked", catalog.Report(site, &crs.PINError{Blocked: true}), w.Tell)
	add("report-literal", catalog.Report(site, errors.New(`<b>bold</b> & &amp; \n _x`)), w.Tell)
	for _, problem := range []error{
		crs.ErrServiceRefuses, crs.ErrServiceStuck, crs.ErrServiceFailed, crs.ErrNoMemory, crs.ErrNoService, crs.ErrCertificate, newest,
	} {
		add("report-"+crs.Word(problem), catalog.Report(site, problem), w.Tell)
	}
	add("report-long", catalog.Report(develop, errors.New(strings.Repeat("W", 500))), w.Tell)
	for name, card := range map[string]crs.Info{"": rossi, "-long": wide} {
		card.PINPad = name != ""
		card.PUKFormat = crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}
		care := catalog.PINFlow{Card: card, Unblock: true, Lang: lang}
		own := catalog.PUKPrompt{Prompt: catalog.Prompt{Lang: lang, Developer: name != ""}, Card: card, Status: crs.PINStatus{Retries: 2}}
		again := own
		again.Last = &crs.PINError{PUK: true, Retries: 2}
		add("care-offer"+name, care.Offer(), ask)
		add("care-puk"+name, care.PUK(own), enter)
		add("care-puk-wrong"+name, care.PUK(again), enter)
		add("care-puk-last"+name, care.LastPUK(), ask)
		add("care-new"+name, care.NewPIN(false, catalog.ErrDiffer), enter)
		add("care-again"+name, care.NewPIN(true, nil), enter)
		add("care-old"+name, catalog.PINFlow{Card: card, Lang: lang}.OldPIN(pin(own.Prompt, card, 2, nil)), enter)
		add("care-pukblocked"+name, catalog.Report(own.Prompt, &crs.PINError{PUK: true, Blocked: true}), w.Tell)
	}
	list := func(name string, text catalog.Text, rows []string) {
		add(name, text, func(ctx context.Context, text catalog.Text) error { _, err := w.Choose(ctx, text, rows); return err })
	}
	sites := []state.Site{{Origin: site.Origin.String(), State: crs.SiteAllowed}, {Origin: long.Origin.String(), State: crs.SiteBlocked}}
	text, rows, _ := catalog.Sites(sites)
	list("tray-sites", text, rows)
	for name, s := range map[string]state.Site{"": sites[0], "-long": sites[1]} {
		text, rows, _ := catalog.SiteDecision(s)
		list("tray-site"+name, text, rows)
	}
	add("tray-sites-none", catalog.NoSites(), w.Tell)
	add("tray-diagnosis", catalog.Diagnosis(sick), w.Tell)
	gone := errors.New("no such socket")
	for _, key := range []string{"service", "start", "language", "diagnose"} {
		add("tray-failed-"+key, catalog.TrayFailed("tray.failed."+key, gone), w.Tell)
	}
	slices.SortFunc(all, func(a, b shownDialog) int { return strings.Compare(a.name, b.name) })
	return all
}
