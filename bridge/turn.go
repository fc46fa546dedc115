package bridge

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/crs-bridge/crs"
)

// turns gives the user's attention to one login at a time.
type turns struct {
	mu     sync.Mutex
	holder *turn
}

// turn is the right of one login to ask the user.
type turn struct {
	all     *turns
	ctx     context.Context
	end     context.CancelCauseFunc
	ended   chan struct{}
	unasked bool // an unknown site's first-time question was not answered yet
}

// take returns a turn for a login, which must use the turn's context from then on, or crs.ErrBusy.
// The login of an allowed site takes precedence over an unknown site's unanswered question, or else
// any page could keep all others out; it waits until that dialog is closed.
func (t *turns) take(ctx context.Context, allowed bool) (*turn, error) {
	t.mu.Lock()
	before := t.holder
	if before != nil && !(allowed && before.unasked) {
		t.mu.Unlock()
		return nil, crs.ErrBusy
	}
	next := &turn{all: t, ended: make(chan struct{}), unasked: !allowed}
	next.ctx, next.end = context.WithCancelCause(ctx)
	t.holder = next
	if before != nil {
		before.unasked = false
		before.end(crs.ErrBusy)
	}
	t.mu.Unlock()

	if before != nil {
		// Even if ctx ends meanwhile, or else the next login would open a second dialog. It does
		// not take long, because nothing but that dialog is open, and it was just told to close.
		<-before.ended
		if ctx.Err() != nil {
			next.release()
			return nil, context.Cause(ctx)
		}
	}
	return next, nil
}

// answered ends the time in which an allowed site can take this turn away.
func (t *turn) answered() error {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	t.unasked = false
	return context.Cause(t.ctx)
}

func (t *turn) release() {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	if t.all.holder == t {
		t.all.holder = nil
	}
	t.end(nil)
	close(t.ended)
}

// questions spaces out the first-time questions of all unknown sites together.
type questions struct {
	mu   sync.Mutex
	last time.Time
	yes  crs.Origin // the last question was answered with yes: this site may ask again at once
}

func (q *questions) take(o crs.Origin, every time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if !q.last.IsZero() && now.Sub(q.last) < every && q.yes != o {
		return crs.ErrBusy
	}
	q.last, q.yes = now, crs.Origin{}
	return nil
}

func (q *questions) answeredYes(o crs.Origin) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.yes = o
}

// mutes counts dismissals by the user, by registrable domain: a page can make up sub-domains.
type mutes struct {
	mu         sync.Mutex
	dismissals map[string][]time.Time
	until      map[string]time.Time
}

func (m *mutes) muted(o crs.Origin) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.until[registrable(o)])
}

func (m *mutes) dismissed(o crs.Origin, l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, site := time.Now(), registrable(o)
	if m.until == nil {
		m.dismissals, m.until = map[string][]time.Time{}, map[string]time.Time{}
	}
	for name, times := range m.dismissals { // as many as the user dismissed lately
		if now.Sub(times[len(times)-1]) >= l.Mute {
			delete(m.dismissals, name)
			delete(m.until, name)
		}
	}
	var recent []time.Time
	for _, t := range append(m.dismissals[site], now) {
		if now.Sub(t) < l.Mute {
			recent = append(recent, t)
		}
	}
	m.dismissals[site] = recent
	if len(recent) >= l.Dismissals {
		m.until[site] = now.Add(l.Mute)
	}
}

// registrable returns the domain that somebody registered, without sub-domains; for an address,
// localhost or a public suffix itself, the whole host.
func registrable(o crs.Origin) string {
	host := o.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return domain
}
