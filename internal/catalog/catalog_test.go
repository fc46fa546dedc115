package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// TestKeys: every language has every text, and the program uses every text.
func TestKeys(t *testing.T) {
	italian := languages()["it"]
	for lang, texts := range languages() {
		for key := range italian {
			if _, ok := texts[key]; !ok {
				t.Errorf("%s.txt lacks [%s]", lang, key)
			}
		}
		for key := range texts {
			if _, ok := italian[key]; !ok {
				t.Errorf("%s.txt has [%s], it.txt has not", lang, key)
			}
		}
	}

	used := map[string]bool{}
	literal := regexp.MustCompile(`"[a-z_.]+"`)
	said := regexp.MustCompile(`\b[sS]ay\("([a-z_.]+)"`)
	for _, dir := range []string{".", "../../cmd/crs", "../../tray"} {
		sources, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(sources) == 0 {
			t.Fatalf("%s: %d sources, %v", dir, len(sources), err)
		}
		for _, name := range sources {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range literal.FindAllString(string(source), -1) {
				used[strings.Trim(s, `"`)] = true
			}
			for _, m := range said.FindAllStringSubmatch(string(source), -1) {
				if _, ok := italian[m[1]]; !ok {
					t.Errorf("%s says [%s], which no language has", name, m[1])
				}
			}
		}
	}
	for word := range words(t) {
		used["problem."+word], used["tray.problem."+word] = true, true
	}
	for _, reason := range moduleReasons(t) {
		used["module."+reason] = true
		if _, ok := italian["module."+reason]; !ok {
			t.Errorf("no text says why a module is not used: [module.%s]", reason)
		}
	}
	for key := range italian {
		general := strings.TrimSuffix(strings.TrimSuffix(key, ".windows"), ".darwin")
		if _, ok := italian[general]; !ok || !used[general] {
			t.Errorf("[%s] is used nowhere", key)
		}
	}
}

// moduleReasons returns the words for why a module is not used.
func moduleReasons(t *testing.T) (words []string) {
	t.Helper()
	source, err := os.ReadFile("../../pkcs11/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\bWhy += "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		words = append(words, m[1])
	}
	if len(words) < 8 {
		t.Fatalf("found %q alone", words)
	}
	return words
}

// words returns the words of errors, each with the name of its code.
func words(t *testing.T) map[string]string {
	t.Helper()
	source, err := os.ReadFile("../../errors.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"card_error": "ErrCard"}
	for _, m := range regexp.MustCompile(`= detail\((\w+), "([a-z_]+)", `).FindAllStringSubmatch(string(source), -1) {
		if all[m[2]] != "" {
			t.Errorf("%q is the word of two errors", m[2])
		}
		all[m[2]] = m[1]
	}
	if len(all) < 20 {
		t.Fatalf("%d words", len(all))
	}
	return all
}

// Every error about a card or what it is asked through has a text of its own, and a short one for the
// menu if a reader may show it before anything was asked of its card.
func TestWords(t *testing.T) {
	later := []string{"unsupported", "contactless", "pin_pad", "pin_unproved"} // come of using a PIN
	for lang, texts := range languages() {
		for word, code := range words(t) {
			if code != "ErrCard" && code != "ErrCardUnusable" {
				continue
			}
			if word != "pin_pad" && !texts.has("problem."+word) { // its text depends on what was sent
				t.Errorf("%s.txt lacks [problem.%s]", lang, word)
			}
			if !slices.Contains(later, word) && !texts.has("tray.problem."+word) {
				t.Errorf("%s.txt lacks [tray.problem.%s]", lang, word)
			}
		}
	}
}

// linuxOnly are the texts about what only Linux has: pcscd, D-Bus, zenity.
var linuxOnly = []string{"virtual.hint", "tray.nobus", "tray.nohost", "tray.nodisplay", "tray.nozenity"}

// TestOtherSystems: nobody is told to use a command or a service that their system does not have.
func TestOtherSystems(t *testing.T) {
	foreign := map[string]*regexp.Regexp{
		"linux":   regexp.MustCompile(`Windows|netstat|lsof`),
		"windows": regexp.MustCompile(`systemctl|sudo|\bss\b|lsof`),
		"darwin":  regexp.MustCompile(`systemctl|sudo|\bss\b|Windows|netstat`),
	}
	for lang, texts := range languages() {
		for system, words := range foreign {
			for key := range texts {
				if strings.HasSuffix(key, ".windows") || strings.HasSuffix(key, ".darwin") || slices.Contains(linuxOnly, key) {
					continue
				}
				if text, ok := texts.on(system, key); !ok || words.MatchString(text) {
					t.Errorf("%s.txt, [%s] on %s: %q", lang, key, system, text)
				}
			}
		}
		if text, _ := texts.on("windows", "problem.no_service"); !strings.Contains(text, "Smart Card") {
			t.Errorf("%s.txt does not name the service of Windows: %q", lang, text)
		}
		if text, ok := texts.on("windows", "none"); ok {
			t.Errorf("a text of no key: %q", text)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	placeholder := regexp.MustCompile(`\{[^}]*\}`)
	find := func(s string) []string {
		found := placeholder.FindAllString(s, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	for key, text := range languages()["it"] {
		for lang, texts := range languages() {
			if got, want := find(texts[key]), find(text); !slices.Equal(got, want) {
				t.Errorf("[%s]: %s.txt has %v, it.txt has %v", key, lang, got, want)
			}
		}
	}
}

// TestUsage: the page of every language names the same commands.
func TestUsage(t *testing.T) {
	t.Setenv("LANGUAGE", "")
	command := regexp.MustCompile(`(?m)^    crs( [^ \n]+)*`)
	var want []string
	for _, lang := range []string{"it", "en", "de"} {
		t.Setenv("LC_ALL", lang)
		got := command.FindAllString(Usage(), -1)
		if want == nil {
			want = got
		}
		if len(got) < 10 || !slices.Equal(got, want) {
			t.Errorf("usage.%s.txt has the commands %q, want %q", lang, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("# a comment\n\n[a]\none\ntwo\n\nthree\n\n\n[b]\nfour # no comment\n")
	if err != nil || len(got) != 2 || got["a"] != "one two\n\nthree" || got["b"] != "four # no comment" {
		t.Errorf("parse = %q, %v", got, err)
	}
	for _, bad := range []string{"text\n[a]\nb", "[a]\nb\n[a]\nc", "[a]\n[b]\nc", "[a]\n\n"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %q", bad, got)
		}
	}
}

func TestLocale(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{nil, "it"},
		{map[string]string{"LANG": "C"}, "it"},
		{map[string]string{"LANG": "C.UTF-8"}, "it"},
		{map[string]string{"LANG": "POSIX"}, "it"},
		{map[string]string{"LANG": "it_IT.UTF-8"}, "it"},
		{map[string]string{"LANG": "it_CH@euro"}, "it"},
		{map[string]string{"LANG": "it"}, "it"},
		{map[string]string{"LANG": "en_GB.UTF-8"}, "en"},
		{map[string]string{"LANG": "de_IT.UTF-8"}, "de"},
		{map[string]string{"LANG": "de_AT@euro"}, "de"},
		{map[string]string{"LANG": "de"}, "de"},
		{map[string]string{"LANG": "fur_IT.UTF-8"}, "en"},
		{map[string]string{"LANG": "italian_is_not_a_code"}, "en"},
		{map[string]string{"LANG": "it_IT", "LC_MESSAGES": "en_US"}, "en"},
		{map[string]string{"LC_MESSAGES": "en_US", "LC_ALL": "it_IT"}, "it"},
		{map[string]string{"LC_ALL": "en_US", "LANGUAGE": "fr:de:it:en"}, "de"},
		{map[string]string{"LC_ALL": "it_IT", "LANGUAGE": "fr:es"}, "en"},
	} {
		if got := locale(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("locale(%v) = %s, want %s", test.env, got, test.want)
		}
	}
}

// TestLangOfRequest: the language of a request wins over the session's.
func TestLangOfRequest(t *testing.T) {
	t.Setenv("LANGUAGE", "")
	t.Setenv("LC_ALL", "it_IT.UTF-8")
	titles := map[string]string{"it": "PIN della carta", "en": "PIN of the card", "de": "PIN der Karte", "": "PIN della carta", "xx": "PIN della carta"}
	for lang, want := range titles {
		if got := PIN(PINPrompt{Prompt: Prompt{Lang: lang}}).Title; got != want {
			t.Errorf("lang %q: %q, want %q", lang, got, want)
		}
	}
}

func origin(t *testing.T, s string) crs.Origin {
	t.Helper()
	o, err := crs.ParseOrigin(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// longHost has 247 characters, the most that an https origin leaves.
var longHost = strings.Repeat("a", 50) + "." + strings.Repeat("bb.", 40) + strings.Repeat("c", 63) + ".evil.example"

var cards = []crs.Info{
	{Reader: "Reader 00 00", Kind: "CNS", Holder: "MARIO ROSSI", PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}},
	{Reader: "Reader 01 00", Kind: "CNS", Holder: "<b>Mario</b> & C. {host}", PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}, TwoPartPIN: true},
	{Reader: "evil\x1b[2Jreader\n", Kind: "CNS", Holder: "\x1b]0;owned\x07" + strings.Repeat("W", 300) + "\u202e", PINFormat: crs.PINFormat{Min: 8, Max: 8, DigitsOnly: true}},
	{Reader: "Reader 03 00", Kind: "CNS", PINFormat: crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}},
	{Reader: "Fake slot 0", Kind: crs.KindToken, ByModule: true, PINFormat: crs.PINFormat{Min: 4, Max: 255}},
}

// stuckAtPIN: the PIN was sent, and the reader never answered.
var stuckAtPIN = &crs.PINError{Retries: -1, Uncertain: true, Err: fmt.Errorf("VERIFY: %w", crs.ErrCardStuck)}

// padFailed: the keys of the reader answered 9000, and the card knew of nothing.
var padFailed = &crs.PINError{Retries: -1, Uncertain: true, SW: 0x6982, Err: crs.ErrPINPad}

var problems = []error{
	crs.ErrNoCNS, crs.ErrCertificate, crs.ErrUnknownModel, crs.ErrModelCannotSign, crs.ErrCardMute, crs.ErrCardStuck, crs.ErrCardInUse, crs.ErrCardRemoved, crs.ErrCardReset,
	crs.ErrCard, crs.ErrCardUnusable, crs.ErrPINBlocked, crs.ErrTimeout, crs.ErrBusy, crs.ErrInternal,
	crs.ErrPINFormat, errEmpty, errShort, errLong, errDigits,
	&crs.PINError{Retries: 2, SW: 0x63c2}, &crs.PINError{Retries: 1}, &crs.PINError{Retries: 0}, &crs.PINError{Retries: -1, SW: 0x6300},
	&crs.PINError{Retries: -1, Uncertain: true}, &crs.PINError{Blocked: true}, stuckAtPIN,
	crs.ErrNoService, crs.ErrPINUnusable, crs.ErrCannotSign, crs.ErrModule,
	crs.ErrPINPad, padFailed, crs.ErrPadTimeout, crs.ErrPadMismatch, crs.ErrPINAgain, crs.ErrPINUnproved,
	errors.New("evil \x1b[2J" + strings.Repeat("W", 1000)),
}

// everyDialog returns each dialog in each state, by name.
func everyDialog(t *testing.T, p Prompt) map[string]Text {
	all := map[string]Text{
		"allow":  AllowSite(p),
		"insert": InsertCard(p, nil),
	}
	pick, rows := PickCard(p, cards)
	pick.After += "\n\n" + strings.Join(rows, "\n")
	all["pick"] = pick
	for i, err := range problems {
		all[fmt.Sprint("insert ", i)] = InsertCard(p, []crs.Reader{{Name: "Reader 0", Err: err}})
		all[fmt.Sprint("insert beside ", i)] = InsertCard(p, []crs.Reader{{Name: "Reader 0"}, {Name: cards[2].Reader, Err: err}})
		all[fmt.Sprint("insert two ", i)] = InsertCard(p, []crs.Reader{{Name: "Reader 0", Err: crs.ErrCardMute}, {Name: cards[2].Reader, Err: err}})
		all[fmt.Sprint("insert beside two ", i)] = InsertCard(p, []crs.Reader{{Name: "a"}, {Name: "Reader 0", Err: crs.ErrCardMute}, {Name: cards[2].Reader, Err: err}, {Name: "c", Err: err}})
		all[fmt.Sprint("report ", i)] = Report(p, err)
	}
	for i, card := range cards {
		all[fmt.Sprint("personal ", i)] = SharePersonalData(p, card)
		all[fmt.Sprint("prove ", i)] = ProveOnReader(PINPrompt{Prompt: p, Card: card})
		all[fmt.Sprint("keyboard ", i)] = Keyboard(p, card, crs.ErrPINPad)
		all[fmt.Sprint("keyboard sent ", i)] = Keyboard(p, card, padFailed)
		for n := -2; n <= 3; n++ { // -2: blocked
			pin := PINPrompt{Prompt: p, Card: card, Status: crs.PINStatus{Retries: max(n, -1), Blocked: n == -2}}
			all[fmt.Sprint("pin ", i, n)] = PIN(pin)
			all[fmt.Sprint("puk ", i, n)] = PINOrPUK(pin)
			all[fmt.Sprint("last ", i, n)] = LastTry(pin)
			all[fmt.Sprint("reader ", i, n)] = ReaderPIN(pin)
			all[fmt.Sprint("type ", i, n)] = TypePIN(pin)
			all[fmt.Sprint("change ", i, n)] = ChangeOnReader(pin)
			for j, err := range problems {
				pin.Last = err
				all[fmt.Sprint("pin ", i, n, j)] = PIN(pin)
				all[fmt.Sprint("reader ", i, n, j)] = ReaderPIN(pin)
				pin.Origin = crs.Origin{} // no site asks for a change
				all[fmt.Sprint("old ", i, n, j)] = pinFlow(p, card, false).OldPIN(pin)
				pin.Origin = p.Origin
			}
		}
		for name, d := range pukDialogs(p, card) {
			all[fmt.Sprint(name, i)] = d
		}
		for j, err := range append([]error{nil}, problems...) {
			all[fmt.Sprint("outcome ", i, j)] = pinFlow(p, card, j%2 == 0).Report(err)
		}
		for j, last := range []error{nil, errShort, ErrDiffer, ErrSame} {
			for _, again := range []bool{false, true} {
				all[fmt.Sprint("new ", i, j, again)] = pinFlow(p, card, false).NewPIN(again, last)
			}
		}
	}
	return all
}

func pinFlow(p Prompt, card crs.Info, unblock bool) PINFlow {
	card.PINFormat, card.PUKFormat = crs.PINFormat{Min: 5, Max: 8}, crs.PINFormat{Min: 8, Max: 8}
	return PINFlow{Card: card, Unblock: unblock, Lang: p.Lang, Developer: p.Developer}
}

// pukDialogs returns each dialog of an unblock in each state, by name.
func pukDialogs(p Prompt, card crs.Info) map[string]Text {
	c := pinFlow(p, card, true)
	all := map[string]Text{"offer": c.Offer(), "last PUK": c.LastPUK(), "new PIN": c.NewPIN(false, nil), "again": c.NewPIN(true, nil)}
	for n := -1; n <= 3; n++ {
		for i, last := range []error{nil, crs.ErrPINFormat, &crs.PINError{PUK: true, Retries: n}} {
			all[fmt.Sprint("PUK ", n, i)] = c.PUK(PUKPrompt{Prompt: p, Card: card, Status: crs.PINStatus{Retries: n}, Last: last})
		}
	}
	return all
}

// T13: the dialogs of an unblock name the holder and no site, also if a site started the login, and
// where the PUK is typed it says that no site ever needs it.
func TestT13NoSiteNeedsThePUK(t *testing.T) {
	never := map[string]string{"it": "nessun sito ne ha mai bisogno", "en": "no site ever needs it", "de": "Keine Website braucht ihn je"}
	for lang := range languages() {
		p := Prompt{Origin: origin(t, "https://portale.example"), Lang: lang}
		card := crs.Info{Holder: "MARIO ROSSI"}
		for name, d := range pukDialogs(p, card) {
			text := strings.ReplaceAll(d.String(), "\n", " ")
			if d.Site != "" || strings.Contains(d.Title+text, "portale") {
				t.Errorf("%s, %s names the site: %s", lang, name, text)
			}
			if name == "new PIN" || name == "again" {
				continue
			}
			if !strings.Contains(text, card.Holder) {
				t.Errorf("%s, %s does not name the holder: %s", lang, name, text)
			}
			if name != "last PUK" && !strings.Contains(text, never[lang]) {
				t.Errorf("%s, %s does not say that no site needs the PUK: %s", lang, name, text)
			}
		}
	}
}

// T12: where the PUK is typed, its tries are shown, and what is lost with the last of them; a
// refused one is followed by the smaller of what the card said and what is kept.
func TestT12TriesOfThePUK(t *testing.T) {
	c := PINFlow{Card: cards[0], Unblock: true, Lang: "en"}
	for n, want := range map[int]string{-1: "Tries left for the PUK: not known.", 0: "Tries left for the PUK: 0.", 1: "Tries left for the PUK: 1.", 2: "Tries left for the PUK: 2."} {
		status := crs.PINStatus{Retries: n}
		told := n // by the card: more than is kept, if anything is
		if n >= 0 {
			told = 3
		}
		for where, text := range map[string]string{
			"dialog":  c.PUK(PUKPrompt{Card: cards[0], Status: status}).String(),
			"refused": c.Failed(&crs.PINError{PUK: true, Retries: n}, crs.UnknownPINStatus),
			"kept":    c.Failed(&crs.PINError{PUK: true, Retries: told}, status),
		} {
			if text = strings.ReplaceAll(text, "\n", " "); !strings.Contains(text, want) || !strings.Contains(text, "can never be used again") {
				t.Errorf("%s, %d: %s", where, n, text)
			}
		}
	}
}

// Rule 4: after a wrong PIN the dialog shows the smaller of what the card said and what is kept.
// Rule 6: without a clear answer a change may have left either PIN.
func TestRule4And6Refused(t *testing.T) {
	t.Setenv("LANGUAGE", "en")
	for _, test := range []struct {
		err    error
		status crs.PINStatus
		want   string
	}{
		{&crs.PINError{Retries: 2}, crs.PINStatus{Retries: 2}, "Tries left: 2."},
		{&crs.PINError{Retries: 2}, crs.PINStatus{Retries: 1, Doubtful: true}, "Tries left: at most 1"},
		{&crs.PINError{Retries: -1}, crs.PINStatus{Retries: 2, Doubtful: true}, "Tries left: at most 2"},
		{&crs.PINError{Retries: -1}, crs.UnknownPINStatus, "Tries left: not known"},
		{&crs.PINError{Blocked: true}, crs.PINStatus{Blocked: true}, "The PIN of the card is blocked"},
	} {
		for _, got := range []string{Refused(test.err, test.status), PINFlow{}.Failed(test.err, test.status)} {
			if !strings.Contains(got, test.want) {
				t.Errorf("%v, %+v: %s", test.err, test.status, got)
			}
		}
	}
	uncertain := &crs.PINError{Uncertain: true, Retries: -1}
	const either = "either the old PIN or the new one may hold"
	for _, c := range []PINFlow{{}, {Unblock: true}} {
		if got := strings.ReplaceAll(c.Failed(uncertain, crs.UnknownPINStatus), "\n", " "); !strings.Contains(got, either) {
			t.Error(got)
		}
	}
	if got := strings.ReplaceAll(Refused(uncertain, crs.UnknownPINStatus), "\n", " "); strings.Contains(got, either) || !strings.Contains(got, "perhaps counted") {
		t.Error(got)
	}
}

// TestEveryDialog: for every card, site and problem, a dialog is whole, literal and not wider than
// it may be.
func TestEveryDialog(t *testing.T) {
	for lang := range languages() {
		for _, o := range []crs.Origin{{}, origin(t, "https://portale.example"), origin(t, "https://"+longHost), origin(t, "https://xn--crs-6la.example:8443")} {
			for _, developer := range []bool{false, true} {
				p := Prompt{Origin: o, Lang: lang, Developer: developer}
				for name, d := range everyDialog(t, p) {
					check := func(ok bool, why string) {
						t.Helper()
						if !ok {
							t.Errorf("%s, %s, developer %v, %q: %s:\n%+v", lang, name, developer, o, why, d)
						}
					}
					text := d.String()
					check(d.Kind != "" && d.Title != "" && strings.TrimSpace(d.After) != "", "incomplete")
					check(d.Yes+d.No != "", "no button")
					check(!strings.Contains(strings.ReplaceAll(text, "{host}", ""), "{"), "a placeholder is left")
					check(developer == strings.Contains(d.Before, languages()[lang]["developer"]), "developer mode")
					check(d.Site == "" || strings.ReplaceAll(WrapHost(d.Site), "\n", "") == o.Host(), "host is not whole")
					for _, line := range strings.Split(text, "\n") {
						check(len([]rune(line)) <= Width, "line too long: "+line)
					}
					check(strings.Count(text, "\n") < 40, "too many lines")
					for _, s := range []string{d.Title, text, d.Yes, d.No, d.Prompt} {
						check(!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == '\u202e' }), "control character")
					}
				}
			}
		}
	}
}

// TestSiteNamed: the questions in which a site gets something name it, and no other text does.
func TestSiteNamed(t *testing.T) {
	p := Prompt{Origin: origin(t, "https://portale.example"), Lang: "it"}
	pick, _ := PickCard(p, cards)
	for _, d := range []Text{AllowSite(p), InsertCard(p, nil), InsertCard(p, []crs.Reader{{Err: crs.ErrNoCNS}}), pick,
		SharePersonalData(p, cards[0]), PIN(PINPrompt{Prompt: p, Card: cards[0]}),
		ReaderPIN(PINPrompt{Prompt: p, Card: cards[0]}), TypePIN(PINPrompt{Prompt: p, Card: cards[0]})} {
		if d.Site != "portale.example" || d.Before == "" {
			t.Errorf("%+v", d)
		}
	}
}

func TestAllowSiteWarns(t *testing.T) {
	for host, want := range map[string]string{
		"portale.example":                                          "",
		"xn--crs-6la.example":                                      "«xn--»",
		"www.xn--crs-6la.example:8443":                             "«xn--»",
		"notxn--crs.example":                                       "",
		"www.agenzia.gov.it." + longHost[:100]:                     "", // ends with no known suffix
		"accesso.servizi.agenzia.gov.it.evil.com":                  "", // one line
		"accesso.servizi.agenziaentrate.gov.it.login.evil.com:444": "finisce: evil.com",
	} {
		host = strings.TrimSuffix(host, ".")
		o, err := crs.ParseOrigin("https://" + host)
		if err != nil {
			t.Fatal(host, err)
		}
		got := AllowSite(Prompt{Origin: o, Lang: "it"}).After
		if want != "" && !strings.Contains(got, want) || want == "" && (strings.Contains(got, "«xn--»")) {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestTries(t *testing.T) {
	wrong := func(n int) error { return &crs.PINError{Retries: n} }
	for _, test := range []struct {
		status crs.PINStatus
		last   error
		want   string
	}{
		{crs.PINStatus{Retries: -1}, nil, "Tentativi rimasti: non noti; tre PIN sbagliati bloccano la carta."},
		{crs.PINStatus{Retries: -1}, wrong(-1), "Tentativi rimasti: non noti; tre PIN sbagliati bloccano la carta."},
		{crs.PINStatus{Retries: 3}, nil, "Tentativi rimasti: 3."},
		{crs.PINStatus{Retries: 3}, wrong(2), "Tentativi rimasti: 2."},
		{crs.PINStatus{Retries: 2}, wrong(3), "Tentativi rimasti: 2."},
		{crs.PINStatus{Retries: -1}, wrong(1), "Tentativi rimasti: 1. Se sbaglia, la carta si blocca."},
		{crs.PINStatus{Retries: 1}, errShort, "Tentativi rimasti: 1. Se sbaglia, la carta si blocca."},
		{crs.PINStatus{Retries: 0}, nil, "era bloccato"},
		{crs.PINStatus{Retries: -1, Blocked: true}, nil, "era bloccato"},
	} {
		got := PIN(PINPrompt{Prompt: Prompt{Lang: "it"}, Card: cards[0], Status: test.status, Last: test.last}).After
		if !strings.Contains(got, test.want) {
			t.Errorf("%+v, %v: %q lacks %q", test.status, test.last, got, test.want)
		}
	}
}

// TestWhatNext: a report says how to go on when its problem is gone, and where: on the page or at
// the command. A dialog that waits for a card needs no such thing, because it notices.
func TestWhatNext(t *testing.T) {
	const page, command, alone = "ripeta l'accesso", "ripeta il comando", "si va avanti da soli"
	for _, test := range []struct {
		problem error
		says    string
		again   bool
	}{
		{crs.ErrCardInUse, "può restare nel lettore", true},
		{crs.ErrNoService, "smart card non è in funzione", true},
		{crs.ErrCardStuck, "Stacchi il lettore", true},
		{stuckAtPIN, "forse è stato contato e forse no.\n\nIl lettore non risponde. Stacchi il lettore", true},
		{crs.ErrCardMute, "la giri", true},
		{crs.ErrNoCNS, "La tolga", true},
		{crs.ErrCertificate, "pulisca il chip", true},
		{crs.ErrUnknownModel, "non ha alcun difetto", false}, // it ends with whom to tell of the model
		{crs.ErrModelCannotSign, "installi il programma del produttore", true},
		{crs.ErrCardRemoved, "La inserisca", true},
		{crs.ErrCardReset, "Chiuda gli altri programmi", true},
		{fmt.Errorf("%w: SW 6F00", crs.ErrCard), "panno asciutto", true},
		{fmt.Errorf("%w: SW 6D00", crs.ErrCannotSign), "La prossima volta userà il programma del produttore", true},
		{crs.ErrPINUnusable, "all'ufficio", false},
		{&crs.PINError{Retries: -1, Uncertain: true, Err: crs.ErrCardRemoved}, "scriva di nuovo il PIN", false},
		{&crs.PINError{Retries: 1}, "Tentativi rimasti: 1", false},
		{&crs.PINError{Blocked: true}, "con il PUK", false},
		{padFailed, "forse no.\n\nLa cosa più sicura è usare un altro lettore", false},
		{crs.ErrPINPad, "non è stato inviato nulla", true},
		{crs.ErrPINUnproved, "Provi prima quello nuovo", false},
	} {
		site := Prompt{Origin: origin(t, "https://portale.example"), Lang: "it"}
		for where, text := range map[string]string{page: Report(site, test.problem).After, command: Report(Prompt{Lang: "it"}, test.problem).After} {
			if !strings.Contains(text, test.says) || strings.Contains(text, where) != test.again ||
				strings.Contains(text, page) && strings.Contains(text, command) || strings.Contains(text, alone) {
				t.Errorf("report of %v: %q", test.problem, text)
			}
		}
		if text := InsertCard(site, []crs.Reader{{Err: test.problem}}).After; !strings.Contains(text, test.says) || !strings.Contains(text, alone) || strings.Contains(text, page) || strings.Contains(text, command) {
			t.Errorf("insert, %v: %q", test.problem, text)
		}
	}
}

// TestModelError: its holder is told whose card it is, in the dialogs; those who help are not.
func TestModelError(t *testing.T) {
	err := &crs.ModelError{Holder: "ADA\x1b[2J ESEMPIO", Expires: time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC), Err: crs.ErrModelCannotSign}
	p := Prompt{Origin: origin(t, "https://portale.example"), Lang: "it"}
	for _, text := range []string{InsertCard(p, []crs.Reader{{Name: "a"}, {Name: "b", Err: err}}).After, Report(p, err).After} {
		if !strings.Contains(text, "ESEMPIO, valida fino al 31/01/2030.") || strings.Contains(text, "\x1b") || !strings.Contains(text, "non ha alcun difetto") {
			t.Errorf("%q", text)
		}
	}
	if text := Problem(err); strings.Contains(text, "ESEMPIO") {
		t.Errorf("%q", text)
	}
}

// TestTokenRisks: of a token nobody says how many PINs block it, nor that a PUK helps.
func TestTokenRisks(t *testing.T) {
	token := crs.Info{Kind: crs.KindToken, ByModule: true, PINFormat: crs.PINFormat{Min: 4, Max: 12}}
	for _, status := range []crs.PINStatus{crs.UnknownPINStatus, {Retries: 1}, {Retries: 1, Doubtful: true}, {Blocked: true}} {
		p := PINPrompt{Prompt: Prompt{Lang: "it"}, Card: token, Status: status}
		for _, d := range []Text{PIN(p), LastTry(p)} {
			if text := d.String(); strings.Contains(text, "PUK") || strings.Contains(text, "tre PIN") {
				t.Errorf("%+v: %q", status, text)
			}
		}
	}
}

// TestLetters: of a PIN that may have letters nobody says that it is made of digits.
func TestLetters(t *testing.T) {
	p := Prompt{Lang: "it"}
	token := crs.Info{Kind: crs.KindToken, ByModule: true, PINFormat: crs.PINFormat{Min: 4, Max: 12}}
	for _, d := range []Text{PIN(PINPrompt{Prompt: p, Card: token}), pinFlow(p, token, false).NewPIN(false, nil)} {
		if text := d.String(); strings.Contains(text, "cifre") || !strings.Contains(text, "caratteri") {
			t.Errorf("%q", text)
		}
	}
}

// TestLastTry: a try that may be the last is not confused with a PIN that was found blocked.
func TestLastTry(t *testing.T) {
	for _, test := range []struct {
		status crs.PINStatus
		title  string
		says   string
	}{
		{crs.PINStatus{Retries: 1}, "Ultimo tentativo", "È l'ultimo tentativo."},
		{crs.PINStatus{Retries: 1, Doubtful: true}, "Ultimo tentativo", "questo potrebbe essere l'ultimo"},
		{crs.PINStatus{Retries: 0, Doubtful: true}, "Ultimo tentativo", "questo potrebbe essere l'ultimo"},
		{crs.PINStatus{Blocked: true}, "Il PIN era bloccato", "L'ultima volta la carta ha detto che il PIN era bloccato."},
		{crs.PINStatus{Retries: 0}, "Il PIN era bloccato", "L'ultima volta la carta ha detto che il PIN era bloccato."},
	} {
		d := LastTry(PINPrompt{Prompt: Prompt{Lang: "it"}, Card: cards[0], Status: test.status})
		if d.Title != test.title || !strings.Contains(d.After, test.says) ||
			strings.Contains(d.After, "ltimo tentativo") != (test.status == crs.PINStatus{Retries: 1}) {
			t.Errorf("%+v: %q, %q", test.status, d.Title, d.After)
		}
	}
}

// TestOnReader: what is typed on a reader is asked for with the holder and the tries, the red key
// cancels and closing the window does not; the PUK is for the keyboard.
func TestOnReader(t *testing.T) {
	p := PINPrompt{Prompt: Prompt{Origin: origin(t, "https://portale.example"), Lang: "it"}, Card: cards[1],
		Status: crs.PINStatus{Retries: 2}, Last: &crs.PINError{Retries: 2}, OnReader: true}
	own := p
	own.Prompt = Prompt{Lang: "it"}
	keys := cards[0]
	keys.PINPad = true
	flow := PINFlow{Card: keys, Unblock: true, Lang: "it"}
	for name, test := range map[string]struct {
		text Text
		says []string
	}{
		"go":     {ReaderPIN(p), []string{"Il PIN era sbagliato.", "Chiede di accedere", "Carta di: <b>Mario", "non sulla tastiera", "Tentativi rimasti: 2."}},
		"type":   {TypePIN(p), []string{"Chiede di accedere", "Carta di: <b>Mario", "(non il PUK)", "le 2 del foglio e le 3 del messaggio", "Tentativi rimasti: 2.", "il tasto rosso", "non annulla nulla"}},
		"change": {ChangeOnReader(own), []string{"Carta di: <b>Mario", "da 5 a 8 cifre", "Tentativi rimasti: 2.", "il tasto rosso"}},
		"prove":  {ProveOnReader(own), []string{"Carta di: <b>Mario", "il tasto rosso"}},
		"last":   {LastTry(p), []string{"Sì, lo scrivo sul lettore"}},
		"site":   {Keyboard(p.Prompt, cards[0], padFailed), []string{"Reader 00 00", "forse è stato contato", "ripeta l'accesso"}},
		"own":    {Keyboard(own.Prompt, cards[0], crs.ErrPINPad), []string{"Reader 00 00", "nessun tentativo è andato perso", "adesso"}},
		"offer":  {flow.Offer(), []string{"sulla tastiera del computer, non sui tasti"}},
		"PUK":    {flow.PUK(PUKPrompt{Card: keys}), []string{"sulla tastiera del computer, non sui tasti"}},
	} {
		text := test.text.Before + "\n" + test.text.After + "\n" + test.text.Yes
		for _, says := range test.says {
			if !strings.Contains(text, says) {
				t.Errorf("%s lacks %q: %s", name, says, text)
			}
		}
	}
	if text := (PINFlow{Card: cards[0], Unblock: true, Lang: "it"}).Offer().After; strings.Contains(text, "tasti") {
		t.Errorf("a reader without keys: %s", text)
	}
}

func TestCheckPIN(t *testing.T) {
	format := crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}
	for typed, want := range map[string]error{
		"12345": nil, "12345678": nil,
		"": errEmpty, "1234": errShort, "123456789": errLong, "1234a": errDigits, "１２３４": errLong, "1234 ": errDigits,
	} {
		err := CheckPIN(crs.NewPIN([]byte(typed)), format)
		if err != want || want != nil && !errors.Is(err, crs.ErrPINFormat) {
			t.Errorf("CheckPIN(%q) = %v, want %v", typed, err, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"one two", "one two"},
		{"one two three", "one two\nthree"},
		{"onetwothree", "onetwoth\nree"},
		{"onetwoth ree", "onetwoth\nree"},
		{"è già lì per lì", "è già lì\nper lì"},
		{"one\n\ntwo three", "one\n\ntwo\nthree"},
	} {
		if got := Wrap(test.in, 8); got != test.want {
			t.Errorf("Wrap(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func TestLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"MARIO ROSSI":         "MARIO ROSSI",
		" NICOLÒ D'ALÌ ":      "NICOLÒ D'ALÌ",
		"\x1b[31mred":         "\uFFFD[31mred",
		"a\nb\r\tc\x00":       "a\uFFFDb\uFFFD\uFFFDc\uFFFD",
		"\u202eISSOR":         "\uFFFDISSOR",
		"\u009b31m\u200b\xff": "\uFFFD31m\uFFFD\uFFFD",
		"<b>&amp;\\n_x":       "<b>&amp;\\n_x",
		"12345678901":         "1234567890…",
	} {
		most := 40
		if strings.HasPrefix(in, "123") {
			most = 10
		}
		if got := literal(in, most); got != want {
			t.Errorf("literal(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestEnds: a path and a host that are long are shortened where they say least.
func TestEnds(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/usr/bin/x":          "/usr/bin/x",
		"/home/mario/firefox": "/home…efox",
		"/à\nb":               "/à\uFFFDb",
	} {
		if got := ends(path, 10); got != want {
			t.Errorf("ends(%q) = %q, want %q", path, got, want)
		}
	}
	label := strings.Repeat("w", 60)
	for host, want := range map[string]string{
		"portale.example": "portale.example",
		"a.b.c." + label + ".accesso.comune.example":    "[…].accesso.comune.example",
		"www.portale.example." + label + ".com":         "[…]." + label + ".com", // never less than a domain
		label + ".com":                                  label + ".com",
		"www." + label + ".x.github.io:8443":            "[…].x.github.io:8443",
		"portale.example." + label[:40] + ".evil.co.uk": "[…].evil.co.uk",
	} {
		o, err := crs.ParseOrigin("https://" + host)
		if err != nil {
			t.Fatal(err)
		}
		if got := endOfHost(o); got != want {
			t.Errorf("endOfHost(%s) = %q, want %q", host, got, want)
		}
	}
}

// TestInsertCardBesideAnother: where a reader is free, a card is asked for there, and what is wrong with
// another is a remark with that reader's name; where none is, it is said of each which it is.
func TestInsertCardBesideAnother(t *testing.T) {
	free, mute, stuck := crs.Reader{Name: "Free 00"}, crs.Reader{Name: "Mute 01", Err: crs.ErrCardMute}, crs.Reader{Name: "Stuck 02", Err: crs.ErrCardStuck}
	reading := crs.Reader{Name: "Slow 03", Reading: true}
	in := func(key string) string { return languages()["en"][key] }
	for name, test := range map[string]struct {
		readers    []crs.Reader
		has, lacks []string
	}{
		"none":                 {nil, []string{in("insert.after")}, []string{in("insert.free")}},
		"free":                 {[]crs.Reader{free}, []string{in("insert.after")}, []string{in("insert.free"), "Free 00"}},
		"mute":                 {[]crs.Reader{mute}, []string{in("problem.mute")}, []string{in("insert.after"), "Mute 01"}},
		"mute beside free":     {[]crs.Reader{mute, free}, []string{in("insert.after"), in("insert.free"), "Mute 01: "}, []string{"Free 00"}},
		"free beside mute":     {[]crs.Reader{free, mute}, []string{in("insert.after"), "Mute 01: "}, nil},
		"stuck beside free":    {[]crs.Reader{stuck, free}, []string{in("insert.after"), "Stuck 02: "}, nil},
		"in use beside free":   {[]crs.Reader{free, {Name: "Busy 04", Err: crs.ErrCardInUse}}, []string{in("problem.in_use")}, []string{in("insert.after")}},
		"two, none free":       {[]crs.Reader{mute, stuck}, []string{"Mute 01: ", "Stuck 02: ", in("insert.goon")}, []string{in("insert.after")}},
		"three that are alike": {[]crs.Reader{mute, {Name: "Mute 05", Err: crs.ErrCardMute}, {Name: "Mute 06", Err: crs.ErrCardMute}}, []string{"Mute 01,\nMute 05, …: "}, []string{"Mute 06"}},
		"one that is busy now": {[]crs.Reader{mute, reading}, []string{in("problem.mute")}, []string{in("insert.after")}},
	} {
		t.Run(name, func(t *testing.T) {
			text := InsertCard(Prompt{Lang: "en"}, test.readers).After
			for _, want := range test.has {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing:\n%s", want, text)
				}
			}
			for _, no := range test.lacks {
				if strings.Contains(text, no) {
					t.Errorf("%q is there:\n%s", no, text)
				}
			}
		})
	}
}

// TestValidity: two cards of one person are told apart by when they expire, wherever one is chosen.
func TestValidity(t *testing.T) {
	t.Setenv("LANGUAGE", "it")
	day := func(years int) time.Time { return time.Now().AddDate(years, 0, 0) }
	old := crs.Info{Kind: "CNS", Holder: "MARIO ROSSI", Reader: "Reader 0", NotBefore: day(-7), NotAfter: day(-1)}
	next := crs.Info{Kind: "CNS", Holder: "MARIO ROSSI", Reader: "Reader 1", NotBefore: day(-1), NotAfter: day(5)}
	early, token, unknown := next, old, next
	early.NotBefore = day(1)
	token.PINFormat, token.ByModule = crs.PINFormat{Min: 4, Max: 16}, true
	unknown.NotBefore, unknown.NotAfter = time.Time{}, time.Time{}
	cards := []crs.Info{old, next, early, token, unknown}
	_, rows := PickCard(Prompt{Lang: "it"}, cards)
	date := func(t time.Time) string { return t.Format("02/01/2006") }
	for i, want := range []string{
		" (scaduta il " + date(old.NotAfter) + ")", " (scade il " + date(next.NotAfter) + ")",
		" (non vale prima del " + date(early.NotBefore) + ")", " (scaduto il " + date(old.NotAfter) + ")", "",
	} {
		if title := CardTitle(cards[i], false); !strings.HasPrefix(rows[i], "MARIO ROSSI – CNS"+want+" nel lettore Reader ") || !strings.HasSuffix(title, "CNS"+want) {
			t.Errorf("%d: %q, %q", i, rows[i], title)
		}
	}
	for card, want := range map[crs.Info]string{old: "Carta di: MARIO ROSSI (scaduta il " + date(old.NotAfter) + ")\n", next: "Carta di: MARIO ROSSI\n", unknown: "Carta di: MARIO ROSSI\n"} {
		if text := PIN(PINPrompt{Prompt: Prompt{Lang: "it"}, Card: card}).After; !strings.HasPrefix(text, want) {
			t.Errorf("the PIN is asked with %q, not %q", text, want)
		}
	}
	ValidFirst(cards, func(c crs.Info) crs.Info { return c })
	if cards[0] != next || cards[1] != unknown || cards[2] != old || cards[3] != early || cards[4] != token {
		t.Errorf("sorted: %+v", cards)
	}
}

// A PIN that is blocked, on a reader on which it cannot be unblocked, is told as both.
func TestBlockedOverTheAir(t *testing.T) {
	for lang, texts := range languages() {
		both := texts.problem(fmt.Errorf("%w: %w", &crs.PINError{Blocked: true}, crs.ErrContactless))
		for _, key := range []string{"problem.pin_blocked", "problem.contactless"} {
			if !strings.Contains(both, texts.say(key)) {
				t.Errorf("%s: no %s", lang, key)
			}
		}
	}
}

// What has no text of its own is told with its cause, for the person who helps: without it nobody can.
func TestProblemWithItsCause(t *testing.T) {
	defer SetLanguage("")
	for _, l := range Languages {
		SetLanguage(l.Code)
		for err, cause := range map[error]string{
			errors.New("disk full"):                               "disk full",
			fmt.Errorf("portal: %w", errors.New("lookup failed")): "portal: lookup failed",
			fmt.Errorf("%w: page 3", crs.ErrInternal):             crs.ErrInternal.Error() + ": page 3",
			errors.New("two\nlines\x1b[2J"):                       "two\uFFFDlines\uFFFD[2J",
			crs.ErrPINSpent:                                       crs.ErrPINSpent.Error(),
			errors.New("x" + strings.Repeat("y", 2*maxDetail)):    strings.Repeat("y", maxDetail-1) + "…",
			fmt.Errorf("%w: the state directory", crs.ErrBusy):    "the state directory",
		} {
			if text := Report(Prompt{}, err).After; !strings.Contains(text, cause) {
				t.Errorf("%s: %q is not in %q", l.Code, cause, text)
			}
		}
		if text := Report(Prompt{}, crs.ErrCardRemoved).After; strings.Contains(text, crs.ErrCardRemoved.Error()) {
			t.Errorf("%s: %q has a text of its own, and a cause beside it", l.Code, text)
		}
	}
}
