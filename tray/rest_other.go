//go:build !linux

package tray

import "runtime/debug"

// rest gives back memory that is of no use while nothing happens.
func rest() { debug.FreeOSMemory() }
