//go:build linux

package virtualcard

import (
	"testing"

	"github.com/crs-bridge/crs/internal/testns"
)

func TestMain(m *testing.M) { testns.Main(m) }
