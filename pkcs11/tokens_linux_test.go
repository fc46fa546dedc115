package pkcs11

import (
	"context"
	"sync"
	"testing"
)

// Tokens may be used from everywhere at once: the race detector finds where they may not.
func TestManyAtOnce(t *testing.T) {
	tokens := tokensOf(t)
	var busy sync.WaitGroup
	for _, use := range []func(){
		func() { tokens.List(context.Background(), true) },
		func() { tokens.List(context.Background(), false) },
		func() { tokens.Check(context.Background()) },
		func() { tokens.Modules() },
		tokens.Close,
	} {
		busy.Go(func() {
			for range 1000 {
				use()
			}
		})
	}
	busy.Wait()
}
