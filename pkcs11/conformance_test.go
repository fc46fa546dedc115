package pkcs11

import (
	"testing"

	cardtest "github.com/crs-bridge/crs/internal/test/cards"
)

func TestConformanceFake(t *testing.T) {
	cardtest.Run(t, func(t *testing.T) cardtest.Subject {
		f, tokens := faked(t, oneToken())
		return cardtest.Subject{
			Card: theCard(t, tokens), PIN: rightPIN, WrongPIN: wrongPIN, Certificate: person().Certificate.Raw,
			Tries: func() int { return f.Tries(0) }, Secrets: f.Secrets, IsToken: true,
		}
	})
}
