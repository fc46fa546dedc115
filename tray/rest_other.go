//go:build !linux

package tray

import "runtime/debug"

// rest gives back memory that is not needed while nothing happens.
func rest() { debug.FreeOSMemory() }
