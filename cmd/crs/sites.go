package main

import (
	"context"
	"fmt"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
)

// sites shows and changes which sites may ask for a login. A running service notices.
func sites(_ context.Context, args []string) error {
	f := flags("sites")
	asJSON := f.Bool("json", false, "for programs")
	rest, err := parse(f, args, 1, 2)
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
	change, ok := map[string]struct {
		do   func(crs.Origin) error
		done string
	}{
		"allow":  {func(o crs.Origin) error { list.Forget(o); return list.Allow(o) }, "sites.allowed"},
		"block":  {list.Block, "sites.blocked"},
		"forget": {list.Forget, "sites.forgotten"},
	}[rest[0]]
	if !ok {
		return usagef("crs sites: %s", catalog.Say("cli.unknown", "word", rest[0]))
	}
	if len(rest) != 2 {
		return usagef("crs sites %s: %s", rest[0], catalog.Say("sites.which"))
	}
	origin, err := crs.ParseOrigin(rest[1])
	if err != nil {
		return usagef("%w; %s", err, catalog.Say("sites.which"))
	}
	if err := change.do(origin); err != nil {
		return told("sites.failed", "detail", err.Error())
	}
	fmt.Println(catalog.Say(change.done, "site", origin.String()))
	return nil
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
