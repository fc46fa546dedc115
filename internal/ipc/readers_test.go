package ipc

import (
	"context"
	"testing"

	"github.com/crs-bridge/crs"
)

// keeper is a token: every call but KeptPINStatus goes to a module.
type keeper struct{ crs.Card }

func (keeper) Info() crs.Info               { return crs.Info{Kind: "token"} }
func (keeper) KeptPINStatus() crs.PINStatus { return crs.PINStatus{Retries: 1, Doubtful: true} }

func (keeper) PINStatus(context.Context) (crs.PINStatus, error) {
	panic("the status of the service asks a token")
}

// TestReadersAskNoToken: showing the state asks no card and no module.
func TestReadersAskNoToken(t *testing.T) {
	got := Readers(context.Background(), []crs.Reader{{Name: "T", Card: keeper{}}})
	if c := got[0].Card; c == nil || c.Kind != "token" || c.Tries != 1 || !c.Doubtful || c.Blocked {
		t.Errorf("%+v", got[0])
	}
}
