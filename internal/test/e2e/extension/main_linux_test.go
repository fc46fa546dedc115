// Package extension disturbs the extension in real browsers: by hostile pages, by an end of what it talks
// to, and by time.
package extension

import (
	"testing"

	"github.com/crs-bridge/crs/internal/test/citizen"
)

func TestMain(m *testing.M) { citizen.Main(m) }
