// Package login logs in with real browsers, with the extension and without.
package login

import (
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
)

func TestMain(m *testing.M) { citizen.Main(m) }
