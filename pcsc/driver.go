package pcsc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

// Driver opens the cards in readers. Its zero value works, keeps retry counters for its own
// life only, and does not log.
type Driver struct {
	Tries    *tries.Book
	Log      *slog.Logger
	Timeouts Timeouts

	// Language returns the language of the messages on a reader's own display: "it", "en" or "de".
	// If nil, they are Italian.
	Language func() string

	// GiveUp is called when too many abandoned calls have not returned: then only a new process
	// helps.
	GiveUp func()

	// Held is called when another program has kept a card for so long that the user should know, once a
	// transaction. If it is set, a transaction waits until that program releases the card or the
	// context ends, instead of for Timeouts.Call. Nothing has been sent to the card by then.
	Held func(reader string)

	// CannotSign is called when an identified card supports none of the ways to sign.
	CannotSign func(crs.Info)

	mu        sync.Mutex
	inUse     func(reader string) // is called when another program keeps a card from us, if set
	readers   map[string]*readerState
	abandoned int
	own       tries.Book // if there is no other
}

// Timeouts bound calls that may never return. A zero field means its default.
type Timeouts struct {
	Call time.Duration // any call: 10 s
	PIN  time.Duration // a command that carries a PIN or PUK: 30 s
	Sign time.Duration // a signature: 30 s
	Pad  time.Duration // beyond what the reader waits for a PIN typed on it: 40 s
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Call: cmp.Or(t.Call, 10*time.Second),
		PIN:  cmp.Or(t.PIN, 30*time.Second),
		Sign: cmp.Or(t.Sign, 30*time.Second),
		Pad:  cmp.Or(t.Pad, 40*time.Second),
	}
}

const (
	maxAbandoned     = 8
	maxBeginAttempts = 3

	// unsaid is how long another program may keep a card before the user is told: few transactions
	// take longer.
	unsaid = 2 * time.Second
)

// readerState is what a Driver knows of a reader beyond a connection.
type readerState struct {
	turn      chan struct{} // holds one token; the goroutine that took it talks to the reader
	stuck     error         // why an abandoned call has not returned, nil if there is none
	shortOnly bool          // an extended command broke the connection
}

var discard = slog.New(slog.DiscardHandler)

func (d *Driver) log() *slog.Logger { return cmp.Or(d.Log, discard) }

func (d *Driver) tries() *tries.Book {
	if d.Tries == nil {
		return &d.own
	}
	return d.Tries
}

func (d *Driver) language() string {
	if d.Language == nil {
		return ""
	}
	return d.Language()
}

func (d *Driver) reader(name string) *readerState {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readers == nil {
		d.readers = make(map[string]*readerState)
	}
	r, ok := d.readers[name]
	if !ok {
		r = &readerState{turn: make(chan struct{}, 1)}
		r.turn <- struct{}{}
		d.readers[name] = r
	}
	return r
}

// noReader stands for the service itself where a reader is named.
const noReader = ""

// stuck returns why an abandoned call to a reader has not returned, nil if there is none.
func (d *Driver) stuck(reader string) error {
	state := d.reader(reader)
	d.mu.Lock()
	defer d.mu.Unlock()
	return state.stuck
}

func (d *Driver) shortOnly(reader string) bool {
	state := d.reader(reader)
	d.mu.Lock()
	defer d.mu.Unlock()
	return state.shortOnly
}

func (d *Driver) setShortOnly(reader string, only bool) {
	state := d.reader(reader)
	d.mu.Lock()
	defer d.mu.Unlock()
	state.shortOnly = only
}

// withDeadline runs a call that may never return and waits for it no longer than limit. An SCard call
// cannot be cancelled: past the limit it is abandoned, and its reader is skipped until the call
// returns after all and dispose has released what it holds. Making it in a separate process and
// killing that would cost little (some 15 µs a call, 10 MB) and gain nothing: the service goes on
// waiting for the reader, the next caller hangs too, and what frees the reader (the card answers or
// is pulled, the service is restarted) lets the abandoned call return as well. late says what the
// delay means.
func withDeadline[T any](d *Driver, reader string, limit time.Duration, late func() error, call func() (T, error), dispose func(T, error)) (T, error) {
	return withPatience(context.Background(), d, reader, limit, late, call, dispose)
}

// withPatience is withDeadline for a call made before anything was sent to the card. It asks late each
// time the limit has passed and waits on while late returns nil. It also abandons the call when ctx ends.
func withPatience[T any](ctx context.Context, d *Driver, reader string, limit time.Duration, late func() error, call func() (T, error), dispose func(T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var why, ended error
	for why == nil {
		select {
		case r := <-done:
			return r.value, r.err
		case <-timer.C:
			why = late()
			timer.Reset(limit)
		case <-ctx.Done():
			why, ended = crs.ErrCardInUse, ctx.Err()
		}
	}
	// A card in use is released sooner or later: a new process would not help.
	counts := !errors.Is(why, crs.ErrCardInUse)
	state := d.reader(reader)
	d.mu.Lock()
	state.stuck = why
	if counts {
		d.abandoned++
	}
	giveUp := counts && d.abandoned == maxAbandoned
	d.mu.Unlock()
	d.log().Warn("call to the reader abandoned", "reader", reader, "after", limit, "reason", crs.Word(why))
	if giveUp && d.GiveUp != nil {
		d.GiveUp()
	}
	go func() {
		r := <-done
		dispose(r.value, r.err)
		d.mu.Lock()
		state.stuck = nil
		if counts {
			d.abandoned--
		}
		d.mu.Unlock()
		d.log().Info("abandoned call returned", "reader", reader)
	}()
	var zero T
	return zero, abandoned{cmp.Or(ended, why)}
}

// abandoned is why a call was abandoned. The call owns its arguments until it returns.
type abandoned struct{ error }

func (a abandoned) Unwrap() error { return a.error }

func isAbandoned(err error) bool { return errors.As(err, new(abandoned)) }

// What a call that takes too long means: see withDeadline.
func readerStuck() error  { return crs.ErrCardStuck }
func serviceStuck() error { return crs.ErrServiceStuck }

// held says what it means that a card to which nothing was sent yet cannot be had in time: what the
// reader knows about it, or else usual.
func held(r Reader, usual error) func() error {
	return func() error {
		if r, ok := r.(interface{ Wait() error }); ok {
			if why := r.Wait(); !errors.Is(why, crs.ErrCardStuck) {
				return why
			}
		}
		return usual
	}
}

// holdUp is how a transaction waits for a card that another program keeps.
type holdUp struct {
	ctx   context.Context // ends the waiting
	limit time.Duration   // how often late is called
	said  func()          // tells the user, once; nil: the card is not waited for
	most  time.Duration   // how long a call may take for other reasons
}

func (d *Driver) holdUp(ctx context.Context, reader string, limits Timeouts, brief bool) holdUp {
	switch {
	case brief:
		return holdUp{context.Background(), min(unsaid, limits.Call), nil, limits.Call}
	case d.Held == nil:
		return holdUp{context.Background(), limits.Call, nil, limits.Call}
	}
	return holdUp{ctx, min(unsaid, limits.Call), sync.OnceFunc(func() { d.Held(reader) }), limits.Call}
}

// late is for one call of withPatience; why says why the call takes so long.
func (h holdUp) late(why func() error) func() error {
	passed := time.Duration(0)
	return func() error {
		passed += h.limit
		switch err := why(); {
		case !errors.Is(err, crs.ErrCardInUse) && passed < h.most:
			return nil
		case !errors.Is(err, crs.ErrCardInUse), h.said == nil:
			return err
		}
		h.said()
		return nil
	}
}

// free repeats try while another program has the card, if the card is waited for.
func (h holdUp) free(try func() error) error {
	const pause = 200 * time.Millisecond
	for passed := time.Duration(0); ; passed += pause {
		err := try()
		if h.said == nil || isAbandoned(err) || !errors.Is(err, crs.ErrCardInUse) {
			return err
		}
		if passed >= h.limit {
			h.said()
		}
		select {
		case <-h.ctx.Done():
			return h.ctx.Err()
		case <-time.After(pause):
		}
	}
}

// txn is how a transaction begins and ends.
type txn struct {
	brief bool // does not wait long for a card that another program keeps
	clean bool // begins with a reset: no PIN is verified
	reset bool // ends with a reset, in every path
}

// transaction runs f with the card of a reader to itself, as one PC/SC transaction. No command was
// sent before f runs. What an earlier transaction learned of the card must be checked again: it may
// be another card.
func (d *Driver) transaction(ctx context.Context, r Reader, t txn, f func(*session) error) (err error) {
	state := d.reader(r.Name())
	defer func() {
		d.mu.Lock()
		tell := d.inUse
		d.mu.Unlock()
		if tell != nil && errors.Is(err, crs.ErrCardInUse) {
			tell(r.Name())
		}
	}()
	select {
	case <-state.turn:
		defer func() { state.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	limits := d.Timeouts.withDefaults()
	h := d.holdUp(ctx, r.Name(), limits, t.brief)
	s := &session{driver: d, limits: limits, ctx: ctx, reader: r.Name(), holdUp: h, held: held(r, crs.ErrCardInUse)}
	err = h.free(func() (err error) {
		if err := d.stuck(r.Name()); err != nil {
			return err
		}
		s.conn, err = withPatience(h.ctx, d, s.reader, h.limit, h.late(held(r, crs.ErrCardStuck)), r.Connect, func(c Conn, err error) {
			if err == nil {
				c.Close()
			}
		})
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if !s.lost {
			s.call(func() error { return s.conn.Close() })
		}
	}()
	if err = s.begin(); err != nil {
		return err
	}
	s.t0 = s.conn.Protocol() == 0
	if t.clean {
		err = s.beginClean()
	}
	if err == nil {
		err = f(s)
	}
	if s.lost {
		return err
	}
	endErr := s.call(func() error { return s.conn.End(t.reset) })
	if endErr != nil {
		// Close, deferred above, resets a card whose transaction did not end.
		d.log().Info("transaction did not end", "reader", s.reader, "error", endErr)
	}
	return err
}
