//go:build !linux

package pcsc

import "context"

func watchService(ctx context.Context) <-chan struct{} {
	return pollService(ctx, make(chan struct{}, 1))
}

// serviceListens is answered by the polling above.
func serviceListens() bool { return false }
