package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// virtualCard puts a test card into a real pcscd, through the virtual reader vpcd.
func virtualCard(ctx context.Context, args []string) error {
	var profiles []string
	for _, p := range virtualcard.Profiles {
		profiles = append(profiles, p.Name)
	}
	f := flags("virtual-card")
	addr := f.String("vpcd", "127.0.0.1:35963", catalog.Say("flag.vpcd"))
	profile := f.String("profile", profiles[0], catalog.Say("flag.profile", "profiles", strings.Join(profiles, ", ")))
	pin := f.String("pin", virtualcard.DefaultPIN, catalog.Say("flag.pin"))
	puk := f.String("puk", virtualcard.DefaultPUK, catalog.Say("flag.puk"))
	slow := f.Bool("slow", false, catalog.Say("flag.slow"))
	if _, err := parse(f, args, 0, 0); err != nil {
		return err
	}
	if _, ok := virtualcard.ProfileByName(*profile); !ok {
		return usagef("--profile %s: %s", *profile, strings.Join(profiles, ", "))
	}
	for _, secret := range []struct {
		value, problem string
		format         crs.PINFormat
	}{
		{*pin, "virtual.pin", crs.PINFormat{Min: 5, Max: 8, DigitsOnly: true}},
		{*puk, "virtual.puk", crs.PINFormat{Min: catalog.PUKLength, Max: catalog.PUKLength, DigitsOnly: true}},
	} {
		if crs.NewPIN([]byte(secret.value)).Check(secret.format) != nil {
			return usagef("crs virtual-card: %s", catalog.Say(secret.problem))
		}
	}
	config := virtualcard.Config{Profile: *profile, PIN: *pin, PUK: *puk}
	if *slow {
		config.Latency = virtualcard.TraceLatency
	}

	fmt.Println(catalog.Say("virtual.waiting", "address", *addr))
	hint := time.AfterFunc(3*time.Second, func() {
		fmt.Fprintln(os.Stderr, "crs:", catalog.Say("virtual.hint", "address", *addr))
	})
	defer hint.Stop()
	var card *virtualcard.Card
	config.Inserted = sync.OnceFunc(func() {
		hint.Stop()
		holder := card.Person().Data
		fmt.Println(catalog.Say("virtual.inserted", "profile", *profile, "holder", holder.Name+" "+holder.Surname,
			"pin", *pin, "puk", *puk, "address", *addr))
	})
	card = virtualcard.New(config)
	if err := card.ServeVPCD(ctx, *addr); err != nil && !errors.Is(err, crs.ErrCardRemoved) {
		return err
	}
	return nil
}
