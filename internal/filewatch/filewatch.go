// Package filewatch tells when a file, such as the socket of a service, may have come into being.
package filewatch

import (
	"context"
	"time"
)

// pollTime is how often to look where the system does not tell.
const pollTime = 5 * time.Second

// poll sends on events from time to time.
func poll(ctx context.Context, events chan struct{}) {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
}
