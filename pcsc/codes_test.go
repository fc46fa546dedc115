package pcsc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/scard"
)

// One code means one thing of the service and another of a card.
func TestCodes(t *testing.T) {
	for _, test := range []struct {
		code          scard.Error
		service, card string
	}{
		{scard.ErrNoService, "no_service", "no_service"},
		{scard.ErrServiceStopped, "no_service", "no_service"},
		{scard.ErrShutdown, "no_service", "no_service"},
		{scard.ErrCommError, "no_service", "no_service"},
		{scard.ErrInvalidHandle, "no_service", "no_service"},
		{scard.ErrSecurityViolation, "service_refuses", "service_refuses"},
		{scard.ErrNoAccess, "service_refuses", "service_refuses"},
		{scard.ErrServerTooBusy, "service_stuck", "service_stuck"},
		{scard.ErrNoMemory, "no_memory", "no_memory"},
		{scard.ErrNoReadersAvailable, "no_reader", "removed"},
		{scard.ErrUnknownReader, "no_reader", "removed"},
		{scard.ErrReaderUnavailable, "no_reader", "removed"},
		{scard.ErrNoSmartcard, "service_failed", "removed"},
		{scard.ErrRemovedCard, "service_failed", "removed"},
		{scard.ErrResetCard, "service_failed", "reset"},
		{scard.ErrSharingViolation, "service_failed", "in_use"},
		{scard.ErrUnresponsiveCard, "service_failed", "mute"},
		{scard.ErrUnpoweredCard, "service_failed", "mute"},
		{scard.ErrUnsupportedCard, "service_failed", "mute"},
		{scard.ErrProtoMismatch, "service_failed", "protocol"},
		{scard.ErrCommDataLost, "service_failed", "contact_lost"},
		{scard.ErrNotTransacted, "service_failed", "contact_lost"},
		{scard.ErrUnknownError, "service_failed", "reader_failed"},
		{scard.ErrUnexpected, "service_failed", "reader_failed"},
		{scard.ErrInvalidParameter, "service_failed", "card_error"},
		{scard.ErrInsufficientBuffer, "service_failed", "card_error"},
		{0x80100099, "service_failed", "card_error"},
	} {
		t.Run(fmt.Sprintf("%08X", uint32(test.code)), func(t *testing.T) {
			for want, err := range map[string]error{test.service: serviceError(test.code), test.card: cardError(test.code)} {
				if crs.CodeOf(err) != crs.ErrCard && crs.CodeOf(err) != crs.ErrCardUnusable || crs.Word(err) != want {
					t.Errorf("%v: %q, want %q", err, crs.Word(err), want)
				}
				if !strings.Contains(err.Error(), fmt.Sprintf("%08X", uint32(test.code))) {
					t.Errorf("%v does not tell the code", err)
				}
			}
		})
	}
	if err := cardError(errors.New("anything")); !errors.Is(err, crs.ErrCard) {
		t.Error(err)
	}
	if err := serviceError(errors.New("anything")); !errors.Is(err, crs.ErrServiceFailed) {
		t.Error(err)
	}
	if err := cardError(serviceError(scard.ErrUnknownError)); !errors.Is(err, crs.ErrServiceFailed) {
		t.Errorf("of the service, and told as %v", err)
	}
	// Within a transaction the card lost its protocol by a reset.
	if err := transmitError(scard.ErrProtoMismatch); !errors.Is(err, crs.ErrCardReset) {
		t.Error(err)
	}
	if err := transmitError(scard.ErrRemovedCard); !errors.Is(err, crs.ErrCardRemoved) {
		t.Error(err)
	}
}

// No context can be had of a service that is there: it refuses.
func TestNoContext(t *testing.T) {
	for _, test := range []struct {
		code    scard.Error
		listens bool
		want    string
	}{
		{scard.ErrNoService, false, "no_service"},
		{scard.ErrNoService, true, "service_refuses"},
		{scard.ErrCommError, true, "service_refuses"},
		{scard.ErrSecurityViolation, true, "service_refuses"},
		{scard.ErrNoMemory, true, "no_memory"},
	} {
		if err := establishError(test.code, func() bool { return test.listens }); crs.Word(err) != test.want {
			t.Errorf("%08X, listens %v: %v", uint32(test.code), test.listens, err)
		}
	}
}

// No wait asks about more readers than one call takes, and none of them is left out for long.
func TestWatchable(t *testing.T) {
	for _, test := range []struct {
		readers int
		news    bool // the pseudo-reader is watched too
		limit   time.Duration
	}{{0, true, -1}, {1, true, -1}, {15, true, -1}, {16, false, 5 * time.Second}, {17, false, time.Second}, {40, false, time.Second}} {
		t.Run(fmt.Sprint(test.readers), func(t *testing.T) {
			var names []string
			for i := range test.readers {
				names = append(names, fmt.Sprint(i))
			}
			first, seen := 0, map[string]bool{}
			for range 3 {
				some, news, limit := watchable(names, &first)
				n := len(some)
				if news {
					n++
				}
				if n > maxStates || news != test.news || limit != test.limit {
					t.Errorf("%d states, %v, %v", n, news, limit)
				}
				if slices.Sort(some); len(slices.Compact(some)) != len(some) {
					t.Error("a reader twice in one call")
				}
				for _, name := range some {
					seen[name] = true
				}
			}
			if len(seen) != test.readers {
				t.Errorf("%d readers are looked at", len(seen))
			}
		})
	}
	first := 9 // of a list that was longer
	if some, _, _ := watchable(make([]string, 17), &first); len(some) != maxStates {
		t.Errorf("%d readers", len(some))
	}
}
