package main

import (
	"context"
	"fmt"
	"os"

	"github.com/crs-bridge/crs/internal/browser"
	"github.com/crs-bridge/crs/internal/catalog"
)

// browserHosts writes, removes and shows the files by which browsers find this program.
func browserHosts(_ context.Context, args []string) error {
	f := flags("browser")
	asJSON := f.Bool("json", false, catalog.Say("flag.json"))
	rest, err := parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	do, ok := map[string]func(string) ([]browser.Status, error){
		"install": browser.Install, "uninstall": browser.Uninstall, "status": browser.List,
	}[rest[0]]
	if !ok {
		return usagef("crs browser: %s", catalog.Say("cli.unknown", "word", rest[0]))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	list, err := do(self)
	if err != nil {
		return sentence("browser.failed", "detail", catalog.Literal(err.Error()))
	}
	if *asJSON {
		return printJSON(list)
	}
	says := map[browser.State]string{
		browser.Missing: catalog.Say("browser.missing"), browser.Installed: catalog.Say("browser.installed"),
		browser.Outdated: catalog.Say("browser.outdated"), browser.Foreign: catalog.Say("browser.foreign"),
	}
	foreign := false
	for _, s := range list {
		fmt.Printf("%-15s  %s\n                 %s\n", s.Browser, says[s.State], s.Manifest)
		foreign = foreign || s.State == browser.Foreign
	}
	if foreign && rest[0] != "status" {
		return sentence("browser.kept")
	}
	return nil
}
