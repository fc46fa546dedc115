package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	addr := f.String("vpcd", "127.0.0.1:35963", "where vpcd listens")
	profile := f.String("profile", profiles[0], strings.Join(profiles, ", "))
	pin := f.String("pin", virtualcard.DefaultPIN, "PIN of the test card")
	puk := f.String("puk", virtualcard.DefaultPUK, "PUK of the test card")
	slow := f.Bool("slow", false, "take as long as a real card")
	if _, err := parse(f, args, 0, 0); err != nil {
		return err
	}
	if _, ok := virtualcard.ProfileByName(*profile); !ok {
		return usagef("--profile %s: %s", *profile, strings.Join(profiles, ", "))
	}
	config := virtualcard.Config{Profile: *profile, PIN: *pin, PUK: *puk}
	if *slow {
		config.Latency = virtualcard.TraceLatency
	}
	c := virtualcard.New(config)
	holder := c.Person().Data
	fmt.Println(catalog.Say("virtual.inserted", "profile", *profile, "holder", holder.Name+" "+holder.Surname,
		"pin", *pin, "puk", *puk, "address", *addr))
	if err := c.ServeVPCD(ctx, *addr); err != nil && !errors.Is(err, crs.ErrCardRemoved) {
		return err
	}
	return nil
}
