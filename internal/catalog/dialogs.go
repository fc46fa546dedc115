package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/crs-bridge/crs"
)

// Longest strings from outside, in characters.
const (
	maxHolder  = 60
	maxReader  = 40
	maxProgram = 50
	maxDetail  = 200
)

// PUKLength is the length of the PUK of every CNS.
const PUKLength = 8

// What is wrong with a PIN that was typed but not sent, as PINPrompt.Last. Each is a
// crs.ErrPINFormat.
var (
	errEmpty  = fmt.Errorf("%w: empty", crs.ErrPINFormat)
	errShort  = fmt.Errorf("%w: too short", crs.ErrPINFormat)
	errLong   = fmt.Errorf("%w: too long", crs.ErrPINFormat)
	errDigits = fmt.Errorf("%w: not only digits", crs.ErrPINFormat)
)

// CheckPIN returns nil if a card of format f could hold the PIN, else a crs.ErrPINFormat that the
// dialog of PIN explains.
func CheckPIN(pin *crs.PIN, f crs.PINFormat) error {
	err := pin.Check(f)
	switch n := pin.Len(); {
	case err == nil:
		return nil
	case n == 0:
		return errEmpty
	case n < f.Min:
		return errShort
	case n > f.Max:
		return errLong
	}
	return errDigits
}

// AllowSite is the first-time question.
func AllowSite(p Prompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindAllow, p, "title", "allow.before", "allow.before")
	d.After = t.say("allow.after")
	host := p.Origin.Hostname()
	if strings.Contains("."+host, ".xn--") {
		d.After = t.say("allow.punycode") + "\n\n" + d.After
	}
	if len(p.Origin.Host()) > SiteWidth {
		// People often read only the beginning of a name of forty characters, which the owner of
		// its end has chosen freely.
		if end, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
			d.After = t.say("allow.long", "end", end) + "\n\n" + d.After
		}
	}
	switch p.Program {
	case "":
	case crs.UnknownProgram:
		d.After = t.say("allow.unknownprogram") + "\n\n" + d.After
	default:
		d.After = t.say("allow.program", "program", ends(p.Program, maxProgram)) + "\n\n" + d.After
	}
	return t.answers(d, "allow.yes", "allow.no", "terminal.yesno")
}

// InsertCard asks for a card. The readers are those without a card that can be used.
func InsertCard(p Prompt, readers []crs.Reader) Text {
	t := in(p.Lang)
	d := t.dialog(KindInsert, p, "title", "insert.before", "insert.self")
	free, problems := Problems(readers)
	switch {
	case problems == nil:
		d.After = t.paragraphs(t.say("insert.after"), t.say("insert.turn"))
	case free:
		d.After = t.paragraphs(t.say("insert.after"), t.say("insert.free"), t.readerProblems(problems))
	case len(problems) == 1:
		d.After = t.cardProblem(problems[0].Err) + "\n\n" + t.say("insert.goon")
	default:
		d.After = t.paragraphs(t.readerProblems(problems), t.say("insert.goon"))
	}
	return t.answers(d, "", "cancel", "")
}

// Problems returns the readers whose card cannot be used, and whether a card belongs in another
// reader, which is free: see Beside.
func Problems(readers []crs.Reader) (free bool, problems []crs.Reader) {
	var words []string
	for _, r := range readers {
		switch {
		case r.Err != nil:
			words, problems = append(words, crs.Word(r.Err)), append(problems, r)
		case r.Card == nil && !r.Reading:
			free = true
		}
	}
	return free && Beside(words), problems
}

// Beside reports whether problems, by their words, are beside the point where another reader is free:
// that is where a card belongs then, unless one of them is most likely that of the user's own card.
func Beside(words []string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !foreign(word) })
}

// foreign reports whether a problem, by its word, may have nothing to do with the user's card: a
// company badge or a broken reader looks like this.
func foreign(word string) bool {
	for _, err := range []error{crs.ErrCardMute, crs.ErrNoCNS, crs.ErrCardProtocol, crs.ErrCardStuck, crs.ErrReaderFailed} {
		if word == crs.Word(err) {
			return true
		}
	}
	return false
}

// ReaderProblems says for each of these readers why its card cannot be used.
func ReaderProblems(problems []crs.Reader) string { return in("").readerProblems(problems) }

// readerProblems says what is wrong with which reader, and only once what several have in common.
func (t texts) readerProblems(problems []crs.Reader) string {
	const most = 2 // of a dialog's height
	var whats []string
	readers := map[string][]string{}
	for _, r := range problems {
		what, _, _ := strings.Cut(t.problem(r.Err), "\n\n")
		if readers[what] == nil {
			whats = append(whats, what)
		}
		readers[what] = append(readers[what], ends(r.Name, maxReader))
	}
	var all []string
	for _, what := range whats[:min(len(whats), most)] {
		names := readers[what]
		list := strings.Join(names[:min(len(names), most)], ",\n")
		if len(names) > most {
			list += ", …"
		}
		all = append(all, t.say("insert.reader", "reader", list, "problem", what))
	}
	return t.paragraphs(all...)
}

// PickCard asks which of several cards to use; rows says how each is called.
func PickCard(p Prompt, cards []crs.Info) (d Text, rows []string) {
	t := in(p.Lang)
	d = t.dialog(KindPick, p, "pick.title", "pick.before", "pick.self")
	d.After = t.say("pick.after")
	d = t.answers(d, "continue", "cancel", "terminal.number")
	for _, card := range cards {
		rows = append(rows, t.say("pick.card", "holder", t.holder(card),
			"kind", literal(card.Kind, maxReader), "validity", t.validity(card),
			"reader", ends(card.Reader, maxReader))) // two readers of a kind differ at the end
	}
	return d, rows
}

// ValidFirst sorts cards so that those whose certificate is valid come first.
func ValidFirst[T any](cards []T, info func(T) crs.Info) {
	now := time.Now()
	rank := func(c T) int {
		if info(c).ValidAt(now) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(cards, func(a, b T) int { return rank(a) - rank(b) })
}

// Validity says when a card expires, or that it has, in brackets: "" if that is not known.
func Validity(card crs.Info) string { return in("").validity(card) }

func (t texts) validity(card crs.Info) string {
	key, day, now := "card.expires", card.NotAfter, time.Now()
	switch {
	case card.NotAfter.IsZero():
		return ""
	case now.Before(card.NotBefore):
		key, day = "card.notyet", card.NotBefore
	case card.ValidAt(now):
	case card.ByModule:
		key = "card.expired.token"
	default:
		key = "card.expired"
	}
	return " (" + t.say(key, "date", day.Format("02/01/2006")) + ")"
}

// SharePersonalData asks whether the site may have the personal data on the card.
func SharePersonalData(p Prompt, card crs.Info) Text {
	t := in(p.Lang)
	d := t.dialog(KindPersonal, p, "personal.title", "personal.before", "personal.before")
	d.After = t.say("personal.after", "holder", t.holder(card))
	return t.answers(d, "personal.yes", "personal.no", "terminal.yesno")
}

// PIN asks for the PIN.
func PIN(p PINPrompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindPIN, p.Prompt, "pin.title", "pin.before", "")
	holder := t.holder(p.Card)
	if !p.Card.ValidAt(time.Now()) { // a site will refuse it
		holder += t.validity(p.Card)
	}
	d.After = t.say("pin.after", "holder", holder) + "\n\n" + t.digits(p.Card) + "\n\n" + t.tries(p)
	if why := t.again(p.Last); why != "" {
		d.Before = strings.TrimSpace(why + "\n\n" + d.Before)
	}
	return t.answers(d, "continue", "pin.cancel", "terminal.pin")
}

// PINOrPUK asks whether the eight digits that were typed as a PIN really are one.
func PINOrPUK(p PINPrompt) Text {
	t := in(p.Lang)
	d := t.dialog(KindPINOrPUK, p.Prompt, "puk.title", "", "")
	d.Site = ""
	d.After = t.say("puk.after")
	return t.answers(d, "puk.yes", "puk.no", "terminal.yesno")
}

// LastTry asks whether to risk what may be the last try.
func LastTry(p PINPrompt) Text {
	t := in(p.Lang)
	title, risk := "last.title", t.of(p.Card, "last.unknown", "last.unknown.token")
	switch {
	case saidBlocked(p):
		title, risk = "last.blockedtitle", t.of(p.Card, "last.blocked", "last.blocked.token")
	case Tries(p) == 1 && !p.Status.Doubtful:
		risk = t.of(p.Card, "last.known", "last.known.token")
	}
	d := t.dialog(KindLastTry, p.Prompt, title, "", "")
	d.Site = ""
	d.After = risk + "\n\n" + t.say("last.after", "holder", t.holder(p.Card))
	yes := "last.yes"
	if p.OnReader {
		yes = "pad.last"
	}
	return t.answers(d, yes, "last.no", "terminal.yesno")
}

// Report says what went wrong and what to do.
func Report(p Prompt, problem error) Text {
	t := in(p.Lang)
	title := "report.title"
	if errors.Is(problem, crs.ErrPINBlocked) {
		title = "blocked.title"
	}
	d := t.dialog(KindReport, p, title, "", "")
	d.Site = ""
	d.After = t.cardProblem(problem)
	if passes(problem) {
		next := "report.again"
		if p.Origin.IsZero() {
			next = "report.command"
		}
		d.After += "\n\n" + t.say(next)
	}
	return t.answers(d, "understood", "", "")
}

// dialog starts a dialog: before introduces the site that asks, self stands in its place when
// the user acts on their own. Either may be "".
func (t texts) dialog(kind Kind, p Prompt, title, before, self string) Text {
	d := Text{Kind: kind, Title: t.say(title), Site: p.Origin.Host()}
	if d.Site == "" {
		before = self
	}
	if before != "" {
		d.Before = t.say(before)
	}
	if before != "" && !p.Top.IsZero() {
		d.Before = strings.TrimSpace(t.say("inside", "top", endOfHost(p.Top)) + "\n\n" + d.Before)
	}
	if p.Developer {
		d.Before = strings.TrimSpace(t.say("developer") + "\n\n" + d.Before)
	}
	return d
}

// endOfHost shortens a host for use in a sentence to its end, which matters most: as many labels as
// fit, and never less than what its owner has registered.
func endOfHost(o crs.Origin) string {
	host := o.Host()
	least, err := publicsuffix.EffectiveTLDPlusOne(o.Hostname())
	if len(host) <= SiteWidth || err != nil {
		return host
	}
	cut := strings.LastIndex(host, least)
	for {
		dot := strings.LastIndexByte(host[:max(0, cut-1)], '.') + 1
		if dot == 0 || len(host)-dot > SiteWidth {
			break
		}
		cut = dot
	}
	if cut == 0 {
		return host
	}
	return "[…]" + host[cut-1:]
}

// answers ends a dialog with the keys of its answers and of what the terminal asks, "" for none.
func (t texts) answers(d Text, yes, no, prompt string) Text {
	if yes != "" {
		d.Yes = t.say(yes)
	}
	if no != "" {
		d.No = t.say(no)
	}
	if prompt != "" {
		d.Prompt = t.say(prompt, "yes", d.Yes, "no", d.No)
	}
	d.Again = t.say("terminal.again")
	return d
}

func (t texts) holder(card crs.Info) string {
	if name := literal(card.Holder, maxHolder); name != "" {
		return name
	}
	return t.say("holder.unknown")
}

// of is say for texts that differ between a CNS and a token: how many wrong PINs block a token is
// not known, and it has no PUK that this software could send.
func (t texts) of(card crs.Info, cns, token string) string {
	if card.ByModule {
		return t.say(token)
	}
	return t.say(cns)
}

// digits says what the PIN of a card looks like.
func (t texts) digits(card crs.Info) string {
	f := card.PINFormat
	switch {
	case card.TwoPartPIN:
		return t.say("pin.twoparts")
	case card.ByModule:
		return t.say("pin.token", "min", strconv.Itoa(f.Min), "max", strconv.Itoa(f.Max))
	case f.Min == f.Max:
		return t.say("pin.exact", "max", strconv.Itoa(f.Max))
	}
	return t.say("pin.range", "min", strconv.Itoa(f.Min), "max", strconv.Itoa(f.Max))
}

// Tries returns the tries left, as far as is known, else -1: the smaller of what the card said
// just now and of what was kept.
func Tries(p PINPrompt) int {
	n := p.Status.Retries
	var pinErr *crs.PINError
	if errors.As(p.Last, &pinErr) && pinErr.Retries >= 0 && (n < 0 || pinErr.Retries < n) {
		n = pinErr.Retries
	}
	return n
}

// saidBlocked reports whether the card itself said, when it was last asked, that the PIN is blocked.
func saidBlocked(p PINPrompt) bool {
	return p.Status.Blocked || Tries(p) == 0 && !p.Status.Doubtful
}

func (t texts) tries(p PINPrompt) string {
	n := Tries(p)
	switch {
	case saidBlocked(p):
		return t.of(p.Card, "tries.blocked", "tries.blocked.token")
	case n < 0:
		return t.of(p.Card, "tries.unknown", "tries.unknown.token")
	case n == 0: // counted by this software, and the card did not say that it is blocked
		return t.say("tries.doubtful")
	case p.Status.Doubtful:
		return t.say("tries.atmost", "tries", strconv.Itoa(n))
	case n == 1:
		return t.say("tries.last")
	}
	return t.say("tries.known", "tries", strconv.Itoa(n))
}
