//go:build linux

package ns

import (
	"fmt"
	"time"

	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
)

// AwaitSlot waits until pcscd says this of a reader. Without pcscd there is nothing to wait for.
func AwaitSlot(reader string, want scard.StateFlag) error {
	pcsc, err := scard.EstablishContext()
	if err == scard.ErrNoService {
		return nil
	}
	if err != nil {
		return err
	}
	defer pcsc.Release()
	state := []scard.ReaderState{{Reader: reader}}
	for end := time.Now().Add(await.Limit); time.Now().Before(end); {
		if err := pcsc.GetStatusChange(state, time.Second); err != nil && err != scard.ErrTimeout {
			return err
		}
		if state[0].EventState&want != 0 {
			return nil
		}
		state[0].CurrentState = state[0].EventState
	}
	return fmt.Errorf("pcscd does not say %v of %s, but %v", want, reader, state[0].EventState)
}
