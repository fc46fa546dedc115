package main

import (
	"testing"

	"github.com/crs-bridge/crs/internal/virtualcard"
)

// TestOtherReadersAreLeftAlone: a card in a reader that the user did not name is sent nothing.
func TestOtherReadersAreLeftAlone(t *testing.T) {
	h := newHome(t)
	card := insert(t, virtualcard.Config{})
	h.run(t, "card", "list", "--all", "--reader", slots["2"].reader)
	if n := len(card.Log()); n != 0 {
		t.Errorf("%d commands to a card in another reader", n)
	}
	h.run(t, "card", "list", "--reader", card.reader)
	if len(card.Log()) == 0 {
		t.Error("no command to the card in the reader that was named")
	}
}
