//go:build !linux

package tray

import (
	"context"

	"github.com/ncruces/zenity"
)

// Icons returns nil: these systems always have a place for icons.
func Icons() error { return nil }

type desktop struct{}

func openDesktop(context.Context) (*desktop, error) { return &desktop{}, nil }

func (d *desktop) close() {}

func (d *desktop) notify(title, text string) error { return zenity.Notify(text, zenity.Title(title)) }
