//go:build !cgo

package pkcs11

import "github.com/crs-bridge/crs"

// openLibrary answers that this program was built without cgo, which loads modules.
func openLibrary(string) (answer func(request, []*crs.PIN, func()) reply, end func()) {
	return func(request, []*crs.PIN, func()) reply {
		return reply{Failure: &failure{Call: callLoad, Text: "this program was built without support for modules"}}
	}, func() {}
}
