package tray

import (
	"slices"
	"strconv"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/ipc"
)

// view is all that the user sees of the tray, made anew from the state at each change. Its menu
// always has the same items, some of them hidden: panels lose items of submenus when a menu is
// replaced while they read it, and close it while the user is in it.
type view struct {
	icon  picture
	title string // the state in words
	menu  []item
}

// item is a line of the menu. The zero value is a separator.
type item struct {
	label   string
	hidden  bool
	off     bool // it only informs, or is of no use now
	checked bool // the chosen one of several items
	action  action
	items   []item // a submenu
}

// action is what an item does.
type action struct {
	do     verb
	reader string // of changePIN and unblockPIN
	lang   string // of setLanguage
}

type verb string

const (
	changePIN    verb = "change PIN"
	unblockPIN   verb = "unblock PIN"
	showSites    verb = "sites"
	setLanguage  verb = "language"
	diagnose     verb = "diagnose"
	startService verb = "start"
	quitTray     verb = "quit"
)

// maxCards is how many cards a menu has a place for.
const maxCards = 6

// render returns what the user sees of a state; ok is false while no service answers. The language
// is the one that the user chose.
func render(s ipc.Status, ok bool, language string) view {
	icon, key, cards := sum(s, ok)
	title := catalog.Say(key, "count", strconv.Itoa(len(cards)), "version", catalog.Literal(s.Version))
	one, several := ipc.Reader{Card: &ipc.Card{}}, len(cards) > 1
	if len(cards) == 1 {
		one = cards[0]
	}
	menu := []item{
		{label: title, off: true},
		{label: catalog.Say("tray.without.port"), hidden: !slices.Contains(s.Without, ipc.WithoutPort), off: true},
		{label: catalog.Say("tray.without.browsers"), hidden: !slices.Contains(s.Without, ipc.WithoutBrowsers), off: true},
		{label: catalog.Say("tray.start"), hidden: ok || s.Version != "", action: action{do: startService}},
		{label: catalog.CardTitle(one.Card.Info(), false), hidden: len(cards) != 1, off: true},
		{},
	}
	for _, i := range pinItems(one) {
		i.hidden = several
		menu = append(menu, i)
	}
	for i := range maxCards {
		r, hidden := ipc.Reader{Card: &ipc.Card{}}, !several || i >= len(cards)
		if !hidden {
			r = cards[i]
		}
		menu = append(menu, item{label: catalog.CardTitle(r.Card.Info(), r.Card.Blocked), hidden: hidden, items: append(
			[]item{{label: catalog.Say("tray.reader", "reader", catalog.Literal(r.Name)), off: true}}, pinItems(r)...)})
	}
	return view{icon, title, append(menu,
		item{},
		item{label: catalog.Say("tray.sites"), off: !ok, action: action{do: showSites}},
		item{label: catalog.Say("tray.language"), items: languages(language)},
		item{label: catalog.Say("tray.diagnose"), action: action{do: diagnose}},
		item{},
		item{label: catalog.Say("tray.quit"), action: action{do: quitTray}},
	)}
}

// sum sums up a state, by what is most urgent in it, and returns the readers whose card can be
// used.
func sum(s ipc.Status, ok bool) (icon picture, key string, cards []ipc.Reader) {
	switch {
	case !ok && s.Version != "":
		return noService, "tray.otherversion", nil
	case !ok:
		return noService, "tray.noservice", nil
	}
	icon, key = noReader, "tray.noreader"
	var blocked, reading, free bool
	var problems []string
	for _, r := range s.Readers {
		switch {
		case r.Card != nil:
			cards = append(cards, r)
			blocked = blocked || r.Card.Blocked
		case r.Name == "": // stands for the smart card service, which is not running
			key = catalog.TrayProblem(r.Problem)
			continue
		case r.Reading:
			reading = true
		case r.Problem != "":
			problems = append(problems, r.Problem)
		default:
			free = true // that is where a card belongs, no matter what is in the others
		}
		icon, key = noCard, "tray.nocard"
	}
	switch {
	case len(cards) > 0:
		icon, key = cardReady, "tray.ready"
	case reading:
		key = "tray.reading"
	case len(problems) > 0 && !(free && catalog.Beside(problems)):
		key = catalog.TrayProblem(problems[len(problems)-1])
	}
	if blocked {
		icon, key = pinBlocked, "tray.blocked"
	}
	if len(cards) > 1 {
		key = "tray.several"
	}
	if key == "tray.ready" && !cards[0].Card.Info().ValidAt(time.Now()) {
		icon, key = noCard, "tray.expired"
	}
	catalog.ValidFirst(cards, func(r ipc.Reader) crs.Info { return r.Card.Info() })
	return icon, key, cards
}

// pinItems offers what can be done about the PIN of the card in a reader, the urgent first.
func pinItems(r ipc.Reader) []item {
	change := item{label: catalog.Say("tray.change"), off: !r.Card.CanChange, action: action{do: changePIN, reader: r.Name}}
	unblock := item{label: catalog.Say("tray.unblock"), off: !r.Card.CanUnblock, action: action{do: unblockPIN, reader: r.Name}}
	if r.Card.Blocked {
		return []item{unblock, change}
	}
	return []item{change, unblock}
}

// languages lists each language under its own name, so that a user who chose the wrong one finds
// the way back.
func languages(now string) (items []item) {
	items = []item{{label: catalog.Say("tray.language.system"), checked: now == "", action: action{do: setLanguage}}}
	for _, l := range catalog.Languages {
		items = append(items, item{label: l.Name, checked: l.Code == now, action: action{do: setLanguage, lang: l.Code}})
	}
	return items
}

// notice is something that happened to a card, of which its owner is notified at once.
type notice struct {
	blocked bool   // else unblocked
	holder  string // "" if there is only one card
	kind    string
}

// news returns what happened to the PINs of cards that stayed in their readers.
func news(old, now ipc.Status) (all []notice) {
	before := map[string]*ipc.Card{}
	for _, r := range old.Readers {
		before[r.Name] = r.Card
	}
	cards := 0
	for _, r := range now.Readers {
		if r.Card != nil {
			cards++
		}
	}
	for _, r := range now.Readers {
		was, is := before[r.Name], r.Card
		if was == nil || is == nil || was.Blocked == is.Blocked || was.Holder != is.Holder || was.Kind != is.Kind {
			continue
		}
		n := notice{blocked: is.Blocked}
		if cards > 1 {
			n.holder, n.kind = is.Holder, is.Kind
		}
		all = append(all, n)
	}
	return all
}

func (n notice) title() string {
	if n.blocked {
		return catalog.Say("tray.notice.blocked")
	}
	return catalog.Say("tray.notice.unblocked")
}

func (n notice) text() string {
	text := catalog.Say("tray.notice.unblocked.after")
	if n.blocked {
		text = catalog.Say("tray.notice.blocked.after")
	}
	if n.kind != "" {
		text = catalog.CardTitle(crs.Info{Holder: n.holder, Kind: n.kind}, false) + "\n" + text
	}
	return text
}
