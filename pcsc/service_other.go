//go:build !linux

package pcsc

// socket is none here: the service is looked for every few seconds.
func socket() string { return "" }

// serviceListens is answered by that.
func serviceListens() bool { return false }
