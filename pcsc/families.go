package pcsc

import (
	"context"
	"errors"

	"github.com/crs-bridge/crs"
)

// card is a card of one of the families, for one insertion.
type card interface {
	crs.Card
	// remove says that the card left the reader: what is remembered about it must not be used for
	// the next one.
	remove()
}

// families are the kinds of cards, in the order in which they are tried. A new family is a row
// here, and files of its own; a new model of a CNS is a row of layouts.
//
// Each sends nothing but SELECT and READ BINARY. It returns an error of code crs.ErrCardUnusable if
// the card is not of the family, or cannot be used.
var families = []func(*session, Reader) (card, error){
	identifyCNS,
	identifyACe,
}

// Open identifies the card in a reader and reads its certificate, in one short transaction
// that is left without a reset, with nothing but SELECT and READ BINARY. The error is of code
// crs.ErrCardUnusable if this software cannot use the card, crs.ErrCard if the card or the reader
// failed.
func (d *Driver) Open(ctx context.Context, r Reader) (crs.Card, error) { return d.open(ctx, r, txn{}) }

func (d *Driver) open(ctx context.Context, r Reader, t txn) (crs.Card, error) {
	var found card
	err := d.transaction(ctx, r, t, func(s *session) (err error) {
		found, err = identify(s, r)
		if s.lost {
			return err
		}
		// Other programs begin at the MF.
		if mfErr := s.selectPath(nil); err == nil {
			err = mfErr
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// identify asks one family after the other. For a card that none can use it returns the error of
// the family that knows it, or else of the first, to which most cards belong.
func identify(s *session, source Reader) (card, error) {
	var first error
	for _, identify := range families {
		found, err := identify(s, source)
		if err == nil || crs.CodeOf(err) != crs.ErrCardUnusable || errors.Is(err, crs.ErrModelCannotSign) {
			return found, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}
