//go:build darwin && !cgo

package tray

import (
	"context"
	"errors"
)

// Run fails: the icon of macOS needs its SDK and cgo.
func (t *Tray) Run(context.Context) error {
	return errors.New("this program was built without the icon for macOS")
}
