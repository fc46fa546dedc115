//go:build !cgo && !windows

package scard

import (
	"errors"
	"strings"
	"testing"
)

// Without cgo there is no service, and the reason is not that pcscd is not installed.
func TestNoService(t *testing.T) {
	_, err := EstablishContext()
	if !errors.Is(err, ErrNoService) || !strings.Contains(err.Error(), "without cgo") {
		t.Errorf("%v", err)
	}
}
