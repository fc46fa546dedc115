package catalog

import (
	"errors"
	"strings"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/state"
)

// CardTitle is what a menu calls a card.
func CardTitle(card crs.Info, blocked bool) string {
	t := in("")
	key := "tray.card"
	if blocked {
		key = "tray.card.blocked"
	}
	return t.say(key, "holder", t.holder(card), "kind", literal(card.Kind, maxReader)) + t.validity(card)
}

// Sites asks which of the sites to decide about anew. A host that is too long for a row continues
// in the next ones; of says which site each row is about.
func Sites(sites []state.Site) (d Text, rows []string, of []int) {
	t := in("")
	d = t.dialog(KindSites, Prompt{}, "tray.sites.title", "", "")
	d.After = t.say("tray.sites.choose")
	for i, s := range sites {
		for n, line := range strings.Split(WrapHost(host(s.Origin)), "\n") {
			if n == 0 {
				line = t.say("tray.sites.row", "state", t.siteState(s.State), "site", line)
			} else {
				line = "        " + line
			}
			rows, of = append(rows, line), append(of, i)
		}
	}
	return t.answers(d, "continue", "tray.sites.close", "terminal.number"), rows, of
}

// NoSites says that there is none yet.
func NoSites() Text {
	t := in("")
	d := t.dialog(KindSites, Prompt{}, "tray.sites.title", "", "")
	d.After = t.say("tray.sites.none")
	return t.answers(d, "understood", "", "")
}

// SiteDecision asks what to decide about a site; each row stands for the state at its index.
func SiteDecision(s state.Site) (d Text, rows []string, states []crs.SiteState) {
	t := in("")
	d = t.dialog(KindSite, Prompt{}, "tray.site.title", "", "")
	d.Site = host(s.Origin)
	d.After = t.say("tray.site.now", "state", t.siteState(s.State))
	for _, choice := range []struct {
		key   string
		state crs.SiteState
	}{{"tray.site.allow", crs.SiteAllowed}, {"tray.site.block", crs.SiteBlocked}, {"tray.site.forget", crs.SiteUnknown}} {
		if choice.state != s.State {
			rows, states = append(rows, t.say(choice.key)), append(states, choice.state)
		}
	}
	return t.answers(d, "continue", "cancel", "terminal.number"), rows, states
}

func (t texts) siteState(s crs.SiteState) string {
	if s == crs.SiteBlocked {
		return t.say("sites.state.blocked")
	}
	return t.say("sites.state.allowed")
}

// host is the part of an origin that people know a site by, whole. Anything but an origin is shown
// as it is.
func host(origin string) string {
	if o, err := crs.ParseOrigin(origin); err == nil {
		return o.Host()
	}
	return literal(origin, len(origin))
}

// Diagnosis shows what doctor found, to be passed on to those who help.
func Diagnosis(found string) Text {
	t := in("")
	d := t.dialog(KindDiagnosis, Prompt{}, "tray.diagnosis.title", "", "")
	d.After = found
	return t.answers(d, "understood", "", "")
}

// TrayFailed says that the menu's item with this key failed, and what to do.
func TrayFailed(key string, err error) Text {
	t := in("")
	d := t.dialog(KindFailed, Prompt{}, "tray.failed.title", "", "")
	d.After = t.say(key) + "\n\n" + t.say("problem.detail", "detail", literal(err.Error(), maxDetail))
	if errors.Is(err, crs.ErrBusy) {
		d.After = t.say("tray.failed.busy")
	}
	return t.answers(d, "understood", "", "")
}
