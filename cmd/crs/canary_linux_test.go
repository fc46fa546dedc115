package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestT24NothingPersonalIsWritten runs logins of every outcome at debug level, and searches all
// that the service wrote for what must never be written.
func TestT24NothingPersonalIsWritten(t *testing.T) {
	h := citizen.NewHome(t)
	serve := h.Serve(t, "--log", "debug")
	person, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "ADA", Surname: "CANARINIZZI"})
	if err != nil {
		t.Fatal(err)
	}
	const testPUK, wrongPUK, freshPIN = "61728394", "94837261", "5829463"
	card := citizen.Insert(t, virtualcard.Config{Person: person, PIN: citizen.PIN, PUK: testPUK})
	serve.Next(citizen.CardReady)

	site := open(t, citizen.Portale)
	serve.Answer("s", "s", citizen.WrongPIN, citizen.PIN)
	first, err := site.login(true)
	if err != nil || len(first.personalData) == 0 {
		t.Fatalf("login with personal data: %d bytes, %v", len(first.personalData), err)
	}
	serve.Answer(citizen.PIN)
	second := site.mustLogIn()
	serve.Answer("")
	site.refused(crs.ErrCancelled)
	card.Inject(virtualcard.Fault{INS: 0x2A, SW: 0x6982})
	serve.Answer(citizen.PIN)
	site.refused(crs.ErrCard)
	card.Inject()
	serve.Answer(citizen.WrongPIN, citizen.WrongPIN, citizen.WrongPIN, "s", "n")
	site.refused(crs.ErrPINBlocked)
	serve.Answer(citizen.PIN, "s", "s", wrongPUK, freshPIN, freshPIN, testPUK, freshPIN, freshPIN, freshPIN)
	site.mustLogIn()
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}

	// The dialogs name the holder, as they must; the log must not.
	written := map[string][]byte{"stdout": []byte(serve.Stdout.String()), "stderr": []byte(serve.Stderr.String())}
	log := logLines(serve)
	maps.Copy(written, files(t, h))

	never := personal(person)
	maps.Copy(never, map[string][]byte{
		"the PIN": []byte(citizen.PIN), "the wrong PIN": []byte(citizen.WrongPIN),
		"the PUK": []byte(testPUK), "the wrong PUK": []byte(wrongPUK), "the new PIN": []byte(freshPIN),
		"the personal data": first.personalData[6:60],
	})
	for name, l := range map[string]login{"first": first, "second": second} {
		never["the challenge of the "+name+" login"] = []byte(l.challenge.String())
		never["the signature of the "+name+" login"] = l.token.Signature
		never["the token of the "+name+" login"] = l.tokenJSON
	}
	for what, secret := range never {
		for where, text := range written {
			if form := holds(text, secret); form != "" {
				t.Errorf("%s holds %s, as %s", where, what, form)
			}
		}
	}
	for where, text := range written {
		if where == "stderr" {
			text = []byte(log)
		}
		if form := holds(text, []byte(person.Data.Surname)); form != "" {
			t.Errorf("%s holds the surname, as %s", where, form)
		}
	}

	// All that was true of something: the log, the dialogs and a file are there.
	if holds(written["stderr"], []byte(person.Data.Surname)) == "" || strings.Count(log, "\n") < 20 ||
		holds(written[filepath.Join(string(h), "state/crs/sites.json")], []byte(citizen.Portale)) == "" ||
		holds(written[filepath.Join(string(h), "state/crs/tries.json")], []byte("{")) == "" {
		t.Errorf("%d lines of log, %d files: the search finds nothing where something is", strings.Count(log, "\n"), len(written)-2)
	}
	for _, spy := range []string{"ins=20", "code=ok", "code=user_cancelled", "code=card_error", "code=pin_blocked"} {
		if !strings.Contains(log, spy) {
			t.Errorf("the log does not tell %q", spy)
		}
	}
}

// TestT24NativeWritesNothing runs logins through a native host, whose service logs all it can, and
// searches what both wrote.
func TestT24NativeWritesNothing(t *testing.T) {
	t.Run("with a port", func(t *testing.T) { nativeWritesNothing(t) })
	t.Run("for browsers", func(t *testing.T) { nativeWritesNothing(t, "--for-browsers") })
}

func nativeWritesNothing(t *testing.T, args ...string) {
	h := citizen.NewHome(t)
	serve := h.Serve(t, append(args, "--log", "debug")...)
	person, err := virtualcard.NewPerson(virtualcard.Identity{GivenName: "ADA", Surname: "CANARINIZZI"})
	if err != nil {
		t.Fatal(err)
	}
	card := citizen.Insert(t, virtualcard.Config{Person: person, PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	never := personal(person)
	never["the PIN"], never["the wrong PIN"] = []byte(citizen.PIN), []byte(citizen.WrongPIN)

	e := startHost(t, h)
	e.connect(citizen.Portale)
	e.send(helloRequest)
	e.must(`"protocol":1`)
	id := 10
	login := func(answers ...string) (reply string) {
		t.Helper()
		random := make([]byte, 32)
		rand.Read(random)
		challenge := base64.StdEncoding.EncodeToString(random)
		id++
		never[fmt.Sprintf("challenge %d", id)] = []byte(challenge)
		serve.Answer(answers...)
		e.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"authenticate","params":{"challenge":%q,"personalData":true}}`, id, challenge))
		for reply = e.must(""); strings.Contains(reply, `"method":"progress"`); reply = e.must("") {
		}
		return reply
	}
	var result struct {
		Result struct {
			Token        json.RawMessage
			PersonalData []byte
		}
	}
	if reply := login("s", "s", citizen.WrongPIN, citizen.PIN); json.Unmarshal([]byte(reply), &result) != nil || len(result.Result.PersonalData) == 0 {
		t.Fatalf("login with personal data: %.200s", reply)
	}
	token, err := crs.ParseToken(result.Result.Token)
	if err != nil {
		t.Fatal(err)
	}
	never["the signature"], never["the token"] = token.Signature, result.Result.Token
	never["the personal data"] = result.Result.PersonalData[6:60]
	card.Inject(virtualcard.Fault{INS: 0x2A, SW: 0x6982})
	if reply := login("s", citizen.PIN); !strings.Contains(reply, string(crs.ErrCard)) {
		t.Errorf("a card that does not sign: %.200s", reply)
	}
	card.Inject()
	e.send(`{"jsonrpc":"2.0","id":9,"method":"` + person.Data.CodiceFiscale + `","params":{"` + citizen.PIN + `":"` + person.Data.Surname + `"}}`)
	e.must(`"id":9`)
	e.send(citizen.PIN + person.Data.CodiceFiscale) // no JSON
	e.must(`"invalid_request"`)
	e.to.Close()
	e.ends()
	denied := startHost(t, h)
	denied.send(`{"jsonrpc":"2.0","id":1,"method":"connect","params":{"origin":"https://` + person.Data.CodiceFiscale + `.example/"}}`)
	denied.must(`"origin_denied"`)
	denied.ends()
	if code := serve.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the service returns %d", code)
	}

	log := logLines(serve)
	written := map[string][]byte{
		"the service's stdout": []byte(serve.Stdout.String()), "the service's stderr": []byte(serve.Stderr.String()),
		"the service's log": []byte(log), "the native host": []byte(e.err.String() + denied.err.String()),
	}
	maps.Copy(written, files(t, h))
	for where, text := range written {
		for what, secret := range never {
			if form := holds(text, secret); form != "" {
				t.Errorf("%s holds %s, as %s", where, what, form)
			}
		}
		if where == "the service's stderr" {
			continue // its dialogs name the holder
		}
		if form := holds(text, []byte(person.Data.Surname)); form != "" {
			t.Errorf("%s holds the surname, as %s", where, form)
		}
	}
	for _, spy := range []string{"by=extension", "reason=", "kind=unknown", "kind=malformed", "ins=20", "code=ok", "code=card_error"} {
		if !strings.Contains(log, spy) {
			t.Errorf("the log does not tell %q", spy)
		}
	}
	if holds(written[filepath.Join(string(h), "state/crs/sites.json")], []byte(citizen.Portale)) == "" {
		t.Error("the search finds nothing where something is")
	}
}

// TestT24PINCareWritesNothing: `crs pin`, with every outcome, shows and keeps no PIN and no PUK, and
// none is in the arguments of a process.
func TestT24PINCareWritesNothing(t *testing.T) {
	const puk, wrongPUK, freshPIN, lastPIN = "61728394", "94837261", "5829463", "3710594"
	h := citizen.NewHome(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN, PUK: puk})
	var shown []byte
	asJSON := false
	run := func(code int, answers []string, args ...string) {
		t.Helper()
		if asJSON = !asJSON; asJSON {
			args = append(args, "--json")
		}
		p := h.Start(t, "crs", append([]string{"pin"}, args...)...)
		arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Process.Pid))
		p.Answer(answers...)
		p.Stdin.Close()
		<-p.Ended
		if p.Code != code {
			t.Errorf("crs pin %v: exit code %d", args, p.Code)
		}
		shown = slices.Concat(shown, arguments, []byte(p.Stdout.String()+p.Stderr.String()))
	}
	run(0, []string{citizen.PIN}, "verify")
	run(1, []string{citizen.WrongPIN}, "verify")
	run(0, []string{puk, citizen.PIN, citizen.PIN}, "unblock")
	run(1, []string{citizen.WrongPIN, freshPIN, freshPIN}, "change")
	run(1, []string{wrongPUK, freshPIN, freshPIN}, "unblock")
	run(0, []string{wrongPUK + "1", puk, freshPIN, lastPIN, freshPIN, freshPIN}, "unblock")
	card.Inject(virtualcard.Fault{INS: 0x24, SW: 0x6F00})
	run(1, []string{freshPIN, lastPIN, lastPIN}, "change")
	run(1, []string{puk, lastPIN}, "unblock")
	if card.Secrets() != 7 {
		t.Errorf("%d PINs and PUKs were sent", card.Secrets())
	}

	written := files(t, h)
	written["the terminal"] = shown
	for where, text := range written {
		for _, secret := range []string{citizen.PIN, citizen.WrongPIN, puk, wrongPUK, freshPIN, lastPIN} {
			if form := holds(text, []byte(secret)); form != "" {
				t.Errorf("%s holds %s, as %s", where, secret, form)
			}
		}
		if id := card.Person().CardID; where != "the terminal" && holds(text, []byte(id)) != "" {
			t.Errorf("%s holds the card's number", where)
		}
	}
	if len(written) < 2 || holds(shown, []byte("ADA ESEMPIO")) == "" {
		t.Errorf("%d files: the search finds nothing where something is", len(written)-1)
	}
}

// logLines returns the lines of the log among what a service wrote.
func logLines(p *citizen.Program) string {
	var log strings.Builder
	for line := range strings.Lines(p.Stderr.String()) {
		if i := strings.Index(line, "time="); i >= 0 {
			log.WriteString(line[i:])
		}
	}
	return log.String()
}

// files returns what the program wrote, by file.
func files(t *testing.T, h citizen.Home) map[string][]byte {
	t.Helper()
	written := map[string][]byte{}
	err := filepath.WalkDir(string(h), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		written[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// remembers returns which texts the memory of a process holds as they are. Without the shadow of the
// race detector, which is as large as a disk.
func remembers(t *testing.T, pid int, texts ...string) []string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	found := map[string]bool{}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var access string
		fmt.Sscanf(line, "%x-%x %s", &from, &to, &access)
		if !strings.HasPrefix(access, "rw") || to-from > 64<<20 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := memory.ReadAt(b, from)
		for _, text := range texts {
			found[text] = found[text] || bytes.Contains(b[:n], []byte(text))
		}
	}
	return slices.DeleteFunc(texts, func(text string) bool { return !found[text] })
}

// personal is what identifies a card's holder, except for the surname, which dialogs show.
func personal(person *virtualcard.Person) map[string][]byte {
	certificate := person.Certificate
	return map[string][]byte{
		"the codice fiscale": []byte(person.Data.CodiceFiscale), "the card id": []byte(person.CardID),
		"the address":     []byte(person.Data.ResidenceAddress),
		"the common name": []byte(certificate.Subject.CommonName),
		"the subject":     certificate.RawSubject,
		"the certificate": certificate.Raw[len(certificate.Raw)-64:], // the issuer's signature
	}
}

// holds returns the form in which a text holds a secret, "" when it does not.
func holds(text, secret []byte) string {
	var decimal []string
	for _, b := range secret {
		decimal = append(decimal, strconv.Itoa(int(b)))
	}
	for form, s := range map[string]string{
		"it is":           string(secret),
		"a quoted string": strings.Trim(strconv.Quote(string(secret)), `"`),
		"hexadecimal":     hex.EncodeToString(secret),
		"spaced hex":      fmt.Sprintf("% x", secret),
		"decimal bytes":   strings.Join(decimal, " "),
	} {
		if bytes.Contains(text, []byte(s)) || bytes.Contains(bytes.ToLower(text), bytes.ToLower([]byte(s))) {
			return form
		}
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(string(text)) // from base64 for URLs
	for before := range 3 {
		// Base64 depends on how many bytes stand before. The characters that those, or bytes
		// after, have a part in are left out.
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), secret...))
		own := encoded[(8*before+5)/6 : 8*(before+len(secret))/6]
		if strings.Contains(standard, own) {
			return "base64"
		}
	}
	return ""
}
