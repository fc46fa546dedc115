package main

import (
	"context"
	"errors"
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
	decision := map[string]struct {
		state crs.SiteState
		done  string
	}{
		"allow":  {crs.SiteAllowed, "sites.allowed"},
		"block":  {crs.SiteBlocked, "sites.blocked"},
		"forget": {crs.SiteUnknown, "sites.forgotten"},
	}[rest[0]]
	if len(rest) != 2 {
		return usagef("crs sites %s: %s", rest[0], catalog.Say("sites.which"))
	}
	switch err := list.Set(rest[1], decision.state); {
	case errors.Is(err, state.ErrNoOrigin):
		return usagef("crs sites %s: %s", rest[0], catalog.Say("sites.noorigin", "site", catalog.Literal(rest[1])))
	case err != nil:
		return sentence("sites.failed", "detail", err.Error())
	}
	fmt.Println(catalog.Say(decision.done, "site", rest[1]))
	return nil
}

func listSites(list *state.Sites, asJSON bool) error {
	known, err := list.List()
	if err != nil {
		return sentence("sites.failed", "detail", err.Error())
	}
	if asJSON {
		return printJSON(known)
	}
	word := map[crs.SiteState]string{
		crs.SiteAllowed: catalog.Say("sites.state.allowed"),
		crs.SiteBlocked: catalog.Say("sites.state.blocked"),
	}
	for _, r := range known {
		fmt.Printf("%-10s  %s\n", word[r.State], r.Origin)
	}
	if len(known) == 0 {
		fmt.Println(catalog.Say("sites.none"))
	}
	return nil
}

// keptSites keeps the user's decisions, but not those about a developer's pages: they are allowed
// by a flag, and end with the program. It implements bridge.Sites.
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
