// Package pages looks at what a citizen sees in a browser: popup, button and demonstration.
package pages

import (
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
)

func TestMain(m *testing.M) { citizen.Main(m) }
