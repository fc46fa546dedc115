package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/bridge"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
)

// sites shows and changes which sites may ask for a login. A running service notices.
func sites(_ context.Context, args []string) error {
	f := flags("sites")
	asJSON := f.Bool("json", false, catalog.Say("flag.json"))
	rest, err := parse(f, args, 1, 2, "list", "allow", "block", "forget")
	if err != nil {
		return err
	}
	dir, err := state.Dir()
	if err != nil {
		return err
	}
	list := &state.Sites{Dir: dir}
	if rest[0] == "list" {
		if len(rest) > 1 {
			return usagef("crs sites list: %s", catalog.Say("cli.extra", "word", rest[1]))
		}
		return listSites(list, *asJSON)
	}
	change := map[string]struct {
		do   func(crs.Origin) error
		done string
	}{
		"allow":  {func(o crs.Origin) error { list.Forget(o); return list.Allow(o) }, "sites.allowed"},
		"block":  {list.Block, "sites.blocked"},
		"forget": {list.Forget, "sites.forgotten"},
	}[rest[0]]
	if len(rest) != 2 {
		return usagef("crs sites %s: %s", rest[0], catalog.Say("sites.which"))
	}
	origin, err := crs.ParseOrigin(rest[1])
	if err != nil && rest[0] == "forget" {
		origin, err = listedSite(list, rest[1], err)
	}
	if err != nil {
		return usagef("crs sites %s: %s", rest[0], catalog.Say("sites.noorigin", "site", catalog.Literal(rest[1])))
	}
	if err := change.do(origin); err != nil {
		return told("sites.failed", "detail", err.Error())
	}
	fmt.Println(catalog.Say(change.done, "site", origin.String()))
	return nil
}

// listedSite returns the site of the list that has this name, else err. It may be one that the
// list takes no more.
func listedSite(list *state.Sites, name string, err error) (crs.Origin, error) {
	known, _ := list.List() // that it cannot be read is told when it is to be changed
	for _, s := range known {
		if s.Origin.String() == name {
			return s.Origin, nil
		}
	}
	return crs.Origin{}, err
}

func listSites(list *state.Sites, asJSON bool) error {
	known, err := list.List()
	if err != nil {
		return told("sites.failed", "detail", err.Error())
	}
	type row struct {
		Origin string        `json:"origin"`
		State  crs.SiteState `json:"state"`
	}
	rows := []row{}
	for _, s := range known {
		rows = append(rows, row{s.Origin.String(), s.State})
	}
	if asJSON {
		return printJSON(rows)
	}
	word := map[crs.SiteState]string{
		crs.SiteAllowed: catalog.Say("sites.state.allowed"),
		crs.SiteBlocked: catalog.Say("sites.state.blocked"),
	}
	for _, r := range rows {
		fmt.Printf("%-10s  %s\n", word[r.State], r.Origin)
	}
	if len(rows) == 0 {
		fmt.Println(catalog.Say("sites.none"))
	}
	return nil
}

// keptSites keeps the user's decisions, but not those about a developer's pages: they are allowed
// by a flag, and go when the program does. It implements bridge.Sites.
type keptSites struct {
	kept      *state.Sites
	developer memorySites
}

func (s *keptSites) of(o crs.Origin) bridge.Sites {
	if strings.HasPrefix(o.String(), "https://") {
		return s.kept
	}
	return &s.developer
}

func (s *keptSites) State(o crs.Origin) (crs.SiteState, error) { return s.of(o).State(o) }
func (s *keptSites) Allow(o crs.Origin) error                  { return s.of(o).Allow(o) }

// memorySites forgets the user's decisions when the program ends: bridge.Sites.
type memorySites struct{ allowed sync.Map }

func (s *memorySites) State(o crs.Origin) (crs.SiteState, error) {
	if _, ok := s.allowed.Load(o); ok {
		return crs.SiteAllowed, nil
	}
	return crs.SiteUnknown, nil
}

func (s *memorySites) Allow(o crs.Origin) error {
	s.allowed.Store(o, true)
	return nil
}
