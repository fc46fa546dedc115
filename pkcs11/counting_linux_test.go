package pkcs11

import (
	"sync/atomic"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

// counting is a Tries that counts how often a try is spent: once for each PIN that is sent.
type counting struct {
	kept  map[string]crs.PINStatus
	spent atomic.Int64
}

func (c *counting) Load(id string) (crs.PINStatus, error) {
	if s, ok := c.kept[id]; ok {
		return s, nil
	}
	return crs.UnknownPINStatus, nil
}

func (c *counting) Store(id string, s crs.PINStatus) error {
	if before, _ := c.Load(id); s == tries.Spend(before) && s != before {
		c.spent.Add(1)
	}
	c.kept[id] = s
	return nil
}
