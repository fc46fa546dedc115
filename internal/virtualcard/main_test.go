//go:build linux

package virtualcard

import (
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

func TestMain(m *testing.M) { ns.Main(m) }
