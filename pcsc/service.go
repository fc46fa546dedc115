package pcsc

import (
	"context"
	"time"
)

// pollService is for systems where nothing tells that the smart card service started.
func pollService(ctx context.Context, events chan struct{}) <-chan struct{} {
	go func() {
		tick := time.NewTicker(5 * time.Second)
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
	}()
	return events
}
