package bridge

import (
	"context"
	"errors"
	"slices"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
)

// view is what a login sees of the readers.
type view struct {
	cards   []crs.Card   // that can be used, the valid ones first
	reading bool         // a card was just inserted
	insert  catalog.Text // asks for a card, if there is none
	useless bool         // there is a card, and no other reader is free
	changed <-chan struct{}
}

func (l *login) snapshot() view {
	readers, changed := l.Cards.Readers()
	v := view{changed: changed}
	for _, r := range readers {
		switch {
		case r.Reading:
			v.reading = true
		case r.Card != nil:
			v.cards = append(v.cards, r.Card)
		}
	}
	catalog.ValidFirst(v.cards, crs.Card.Info)
	if len(v.cards) == 0 {
		free, problems := catalog.Problems(readers)
		v.insert, v.useless = catalog.InsertCard(l.prompt, readers), problems != nil && !free
	}
	return v
}

// same reports whether a question that was asked about v still fits w. A problem that is found
// again at a second try is the same to the user, though not the same error.
func (v view) same(w view) bool {
	return v.reading == w.reading && v.insert == w.insert &&
		slices.EqualFunc(v.cards, w.cards, func(a, b crs.Card) bool { return a.Info() == b.Info() })
}

// chooseCard waits until there is a card, and lets the user pick if there are several. It also
// returns the channel that is closed when the readers change after that.
func (l *login) chooseCard(ctx context.Context) (crs.Card, <-chan struct{}, error) {
	l.report(stateCard)
	for {
		now := l.snapshot()
		var err error
		switch {
		case now.reading:
			err = wait(ctx, now.changed, l.limits().Input)
		case len(now.cards) == 1:
			return now.cards[0], now.changed, nil
		case len(now.cards) == 0:
			err = l.insertCard(ctx, now)
		default:
			var card crs.Card
			if card, err = l.pickCard(ctx, now); err == nil {
				return card, now.changed, nil
			}
		}
		if err != nil && err != errCardsChanged {
			return nil, nil, err
		}
	}
}

func (l *login) insertCard(ctx context.Context, now view) error {
	err := l.whileSame(ctx, now, func(ctx context.Context) error {
		return l.ask(ctx, func(ctx context.Context) error {
			if err := l.Screen.Wait(ctx, now.insert); err != nil {
				return err
			}
			<-ctx.Done() // read, but not closed
			return context.Cause(ctx)
		})
	})
	var by dismissal
	if errors.As(err, &by) && now.useless {
		return dismissal{crs.ErrCardUnusable}
	}
	return err
}

func (l *login) pickCard(ctx context.Context, now view) (crs.Card, error) {
	infos := make([]crs.Info, len(now.cards))
	for i, card := range now.cards {
		infos[i] = card.Info()
	}
	text, rows := catalog.PickCard(l.prompt, infos)
	var picked int
	err := l.whileSame(ctx, now, func(ctx context.Context) (err error) {
		picked, err = l.screen().Choose(ctx, text, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return now.cards[picked], nil
}

// errCardsChanged ends a question about cards that no longer fits them.
var errCardsChanged = errors.New("the cards changed")

// whileSame asks a question, and withdraws it with errCardsChanged when the cards change.
func (l *login) whileSame(ctx context.Context, was view, ask func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for now := was; now.same(was); now = l.snapshot() {
			select {
			case <-ctx.Done():
				return
			case <-now.changed:
			}
		}
		stop(errCardsChanged)
	}()
	err := ask(ctx)
	stop(nil)
	<-watched
	return err
}
