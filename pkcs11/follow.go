package pkcs11

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	scanEvery = 5 * time.Second // at most, for modules that are installed meanwhile

	// How often modules without events are asked for their slots: often after somebody has looked
	// for a card, for as long as a login may wait for one.
	pollSoon   = 500 * time.Millisecond
	pollLater  = 30 * time.Second
	lookedLong = 30 * time.Second
	waitsLong  = 2 * time.Minute
)

// Run follows modules and tokens until the context ends, and ends the workers then.
func (t *Tokens) Run(ctx context.Context) {
	t.mu.Lock()
	t.wake = make(chan struct{}, 1)
	t.mu.Unlock()
	var following sync.WaitGroup
	for ctx.Err() == nil {
		for _, m := range t.scan() {
			ctx, stop := context.WithCancel(ctx)
			m.stop = stop
			following.Go(func() { t.follow(ctx, m) })
		}
		select {
		case <-ctx.Done():
		case <-t.wake:
		}
	}
	following.Wait()
}

// scan looks for modules and returns the new ones. It stops following those that are gone, or whose
// file was replaced.
func (t *Tokens) scan() (fresh []*driven) {
	find := t.Find
	if find == nil {
		find = Find
	}
	found := find()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scanned = time.Now()
	var kept []*driven
	t.unused = nil
	for _, m := range found {
		if m.Unused != nil {
			t.unused = append(t.unused, m)
			continue
		}
		stamp := stampOf(m.Path)
		i := slices.IndexFunc(t.modules, func(d *driven) bool { return d.Path == m.Path && d.stamp == stamp })
		if i >= 0 {
			kept = append(kept, t.modules[i])
			continue
		}
		d := &driven{Module: m, stamp: stamp, kick: make(chan struct{}, 1), host: newHost(m.Path, t.Command, t.Timeouts, &t.starting)}
		kept, fresh = append(kept, d), append(fresh, d)
		t.log().Info("module", "name", m.Name, "path", m.Path)
	}
	for _, d := range t.modules {
		if !slices.Contains(kept, d) {
			t.clear(d)
			if d.stop != nil {
				d.stop()
			}
		}
	}
	t.modules = kept
	return fresh
}

func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return info.ModTime().String()
}

// follow lists the tokens of a module as often as needed, until the context ends.
func (t *Tokens) follow(ctx context.Context, m *driven) {
	defer m.host.end()
	for {
		var again <-chan time.Time
		if t.isAsked(m) {
			if wait := t.interval(m, t.list(ctx, m)); wait > 0 {
				again = time.After(wait)
			}
		} else {
			m.host.stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-m.kick:
		case <-again:
		}
	}
}

// isAsked reports whether to ask a module now. One that is not asked shows nothing.
func (t *Tokens) isAsked(m *driven) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !m.Module.readers || t.needed {
		return true
	}
	m.reading = false
	t.clear(m)
	return false
}

// interval returns how long until a module is asked again without an event, 0 for never.
func (t *Tokens) interval(m *driven, err error) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	looked := time.Since(t.looked)
	switch {
	case err != nil:
		return m.host.again()
	case m.Module.readers:
		return 0
	case looked < lookedLong, looked < waitsLong && len(m.readers) == 0:
		return pollSoon
	}
	return pollLater
}

// list asks a module for its tokens and takes them in.
func (t *Tokens) list(ctx context.Context, m *driven) error {
	r, err := m.host.call(ctx, request{Do: doList}, nil, nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.reading {
		m.reading = false
		t.changed.Announce()
	}
	if err != nil {
		if ctx.Err() == nil && (m.err == nil || m.err.Error() != err.Error()) {
			t.log().Warn("module failed", "name", m.Name, "error", err)
		}
		m.err = err
		t.clear(m)
		return err
	}
	m.err = nil
	if !r.Unchanged {
		if !slices.EqualFunc(m.tokens, r.Tokens, token.same) {
			m.keyless = nil
		}
		m.tokens = r.Tokens
	}
	t.take(m)
	return nil
}
