//go:build !linux

package pcsc

// socket returns "", as there is none here: the service is polled every few seconds.
func socket() string { return "" }

// serviceListens returns false: without a socket nobody can know.
func serviceListens() bool { return false }
