package pcsc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/changes"
	"github.com/crs-bridge/crs/internal/filewatch"
	"github.com/crs-bridge/crs/internal/scard"
)

// Monitor follows the readers of the PC/SC service and the cards in them. It waits without limit
// and without polling, and outlives the service: readers come back when the service does.
type Monitor struct {
	Driver *Driver

	mu      sync.Mutex
	slots   map[string]*slot // by the service's names
	service error            // why there is no service, nil while there is one
	changed changes.Signal
}

// slot is one reader as the monitor last saw it.
type slot struct {
	state   crs.Reader
	event   scard.StateFlag    // what PC/SC last reported
	stop    context.CancelFunc // ends the reading of the card that was in it
	reading int                // counts insertions: a late result of an earlier one is dropped
}

// pnp is the pseudo-reader whose state changes when readers come and go.
const pnp = `\\?PnP?\Notification`

// Readers implements bridge.Cards. Without a smart card service it returns a single reader whose
// error says so.
func (m *Monitor) Readers() ([]crs.Reader, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	readers := make([]crs.Reader, 0, len(m.slots))
	for _, s := range m.slots {
		readers = append(readers, s.state)
	}
	if m.service != nil {
		readers = append(readers, crs.Reader{Err: m.service})
	}
	slices.SortFunc(readers, func(a, b crs.Reader) int { return cmp.Compare(a.Name, b.Name) })
	return readers, m.changed.Next()
}

// Run follows the readers until the context ends. A PC/SC service that is stuck does not keep it
// from returning.
func (m *Monitor) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.run(ctx)
	}()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
}

func (m *Monitor) run(ctx context.Context) {
	const first, last = 50 * time.Millisecond, 2 * time.Second
	m.Driver.mu.Lock()
	m.Driver.inUse = func(reader string) { m.inUse(ctx, reader) }
	m.Driver.mu.Unlock()
	changed := filewatch.Watch(ctx, socket())
	log := m.Driver.log()
	reported := false
	for delay := first; ctx.Err() == nil; {
		started := time.Now()
		err := m.watch(ctx)
		if ctx.Err() != nil {
			m.forget(nil, nil)
			return
		}
		m.forget(nil, err)
		if time.Since(started) > last {
			delay, reported = first, false // it ran and went: it may be restarting
		}
		if !reported {
			log.Info("no smart card service", "error", err)
			reported = true
		}
		// A service that just made its socket is not yet listening on it. After some tries only a
		// change of the socket's directory is worth another, unless the service is there but
		// refuses, as when it has too many clients: nothing signals the end of that.
		var retry <-chan time.Time
		if delay < last || errors.Is(err, crs.ErrServiceStuck) || serviceListens() {
			retry = time.After(delay)
			delay = min(2*delay, last)
		}
		select {
		case <-ctx.Done():
		case <-retry:
		case <-changed:
			delay = first
		}
	}
}

// watch follows the readers until the service or the context ends. Its context is used by
// nothing else: a second call on it would block, or read freed memory.
func (m *Monitor) watch(ctx context.Context) error {
	d := m.Driver
	if err := d.stuck(noReader); err != nil {
		return err // a thread is already stuck in it
	}
	limit := d.Timeouts.withDefaults().Call
	pcsc, err := withDeadline(d, noReader, limit, serviceStuck, establish, func(pcsc *scard.Context, err error) {
		if err == nil {
			pcsc.Release()
		}
	})
	if err != nil {
		return err
	}
	var lost error
	defer func() {
		if !isAbandoned(lost) { // else it is still in use
			pcsc.Release()
		}
	}()
	d.log().Info("smart card service found")
	pnpState := scard.StateUnaware
	for first := 0; ; {
		names, err := withDeadline(d, noReader, limit, serviceStuck, func() ([]string, error) { return readerNamesOf(pcsc) },
			func([]string, error) { pcsc.Release() })
		if err != nil {
			lost = err
			return err
		}
		m.forget(names, nil)
		watched, all, limit := watchable(names, &first)
		var states []scard.ReaderState
		if all {
			states = append(states, scard.ReaderState{Reader: pnp, CurrentState: pnpState})
		}
		for _, name := range watched {
			states = append(states, scard.ReaderState{Reader: name, CurrentState: m.lastEvent(name)})
		}
		switch err := wait(ctx, pcsc, states, limit); {
		case errors.Is(err, crs.ErrNoReader): // a reader went before it could be looked at
			time.Sleep(50 * time.Millisecond)
			continue
		case err != nil:
			return err
		}
		for _, s := range states {
			switch {
			case s.Reader == pnp:
				pnpState = s.EventState &^ scard.StateChanged
			case s.EventState&scard.StateUnknown == 0: // else it is gone from the next list
				m.update(ctx, s)
			}
		}
	}
}

// maxStates is how many states one SCardGetStatusChange takes (pcsclite.h,
// PCSCLITE_MAX_READERS_CONTEXTS): with more it always fails.
const maxStates = 16

// watchable returns the readers for the next wait, whether they leave room for the pseudo-reader,
// and how long the wait may last, -1 for no limit. If there are too many for one wait, it takes
// turns, beginning at first; on Linux pcsc-lite's own limit of readers keeps that from happening.
func watchable(names []string, first *int) (some []string, all bool, limit time.Duration) {
	switch n := len(names); {
	case n < maxStates:
		return names, true, -1
	case n == maxStates:
		return names, false, 5 * time.Second // then the list is read again
	default:
		for i := range maxStates {
			some = append(some, names[(*first+i)%n])
		}
		*first = (*first + maxStates) % n
		return some, false, time.Second
	}
}

// wait is GetStatusChange, for which running out of time is no error. A Cancel before the call
// began is lost, so it is repeated until the call returns.
func wait(ctx context.Context, pcsc *scard.Context, states []scard.ReaderState, limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- pcsc.GetStatusChange(states, limit) }()
	select {
	case err := <-done:
		switch err {
		case nil:
			return nil
		case scard.ErrTimeout:
			for i := range states {
				states[i].EventState = states[i].CurrentState
			}
			return nil
		}
		return serviceError(err)
	case <-ctx.Done():
	}
	for {
		pcsc.Cancel()
		select {
		case <-done:
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (m *Monitor) lastEvent(name string) scard.StateFlag {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.slots[name]; ok {
		return s.event
	}
	return scard.StateUnaware
}

// insertions is the part of a state that counts insertions and removals.
const insertions = scard.StateFlag(0xFFFF0000)

// update takes in what PC/SC reported about a reader.
func (m *Monitor) update(ctx context.Context, now scard.ReaderState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		m.slots = make(map[string]*slot)
	}
	s, known := m.slots[now.Reader]
	if !known {
		s = &slot{state: crs.Reader{Name: pcscReader(now.Reader).Name()}}
		m.slots[now.Reader] = s
		m.Driver.log().Info("reader", "name", s.state.Name)
		m.Announce()
	}
	before := s.event
	s.event = now.EventState &^ scard.StateChanged
	present := s.event & scard.StatePresent
	const card = scard.StatePresent | scard.StateMute | scard.StateUnavailable | insertions
	if known && s.event&card == before&card {
		return // another program came or went: the card is the same
	}
	m.clear(s)
	switch {
	case s.event&scard.StateUnavailable != 0:
		m.Driver.log().Info("reader failed", "reader", s.state.Name)
		s.state.Err = crs.ErrCardStuck
	case present == 0:
		if before&scard.StatePresent != 0 {
			m.Driver.log().Info("card removed", "reader", s.state.Name)
		}
	case s.event&scard.StateMute != 0:
		m.Driver.log().Info("card does not answer", "reader", s.state.Name)
		s.state.Err = crs.ErrCardMute
	default:
		m.Driver.log().Info("card inserted", "reader", s.state.Name, "atr", fmt.Sprintf("%X", now.Atr))
		s.state.Reading = true
		ctx, s.stop = context.WithCancel(ctx)
		go m.read(ctx, pcscReader(now.Reader), s, s.reading)
	}
	m.Announce()
}

// read opens the card in a reader. After a failure that may pass, such as another program holding
// the card, it tries again while the card stays in: PC/SC does not always report that a card was
// released.
func (m *Monitor) read(ctx context.Context, r pcscReader, s *slot, insertion int) {
	const first, last = time.Second, 3 * time.Second
	for delay := first; ; delay = min(2*delay, last) {
		card, err := m.Driver.Open(ctx, r)
		m.mu.Lock()
		if s.reading != insertion {
			m.mu.Unlock()
			return
		}
		before := s.state
		s.state.Reading, s.state.Card, s.state.Err = false, card, err
		if errors.Is(err, crs.ErrCardRemoved) {
			s.state.Err = nil // the watcher will report it
		}
		if before.Reading || err == nil || fmt.Sprint(before.Err) != fmt.Sprint(s.state.Err) {
			m.Announce()
		}
		m.mu.Unlock()
		if err == nil {
			m.Driver.log().Info("card ready", "reader", r.Name(), "kind", card.Info().Kind, "model", card.Info().Model)
			return
		}
		if delay == first {
			m.Driver.log().Info("card not usable", "reader", r.Name(), "error", err)
		}
		if crs.CodeOf(err) != crs.ErrCard {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
	}
}

// inUse treats a card that another program keeps from us like one that was just inserted: it is
// read again and again until it is released, and the reader says so meanwhile.
func (m *Monitor) inUse(ctx context.Context, reader string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for raw, s := range m.slots {
		if s.state.Name != reader || s.state.Card == nil {
			continue
		}
		m.clear(s)
		s.state.Err = crs.ErrCardInUse
		ctx, s.stop = context.WithCancel(ctx)
		go m.read(ctx, pcscReader(raw), s, s.reading)
		m.changed.Announce()
		return
	}
}

// forget drops the readers that are not in names, and notes whether there is a service.
func (m *Monitor) forget(names []string, service error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if crs.Word(service) != crs.Word(m.service) {
		m.Announce()
	}
	m.service = service
	for name, s := range m.slots {
		if !slices.Contains(names, name) {
			m.clear(s)
			delete(m.slots, name)
			m.Driver.log().Info("reader gone", "name", s.state.Name)
			m.Announce()
		}
	}
}

// clear empties a slot: its card, if any, must not be used again. m.mu must be held.
func (m *Monitor) clear(s *slot) {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	s.reading++
	if card, ok := s.state.Card.(card); ok {
		card.remove()
	}
	s.state = crs.Reader{Name: s.state.Name}
}

// Announce wakes those who wait for a change. It is exported for changes that the monitor cannot
// see, such as of the tries of a PIN.
func (m *Monitor) Announce() { m.changed.Announce() }

// Readers lists the readers once, for short-lived programs, and opens the cards in those whose name
// is wanted. It does not wait long for a card that another program is using.
func (d *Driver) Readers(ctx context.Context, wanted func(name string) bool) ([]crs.Reader, error) {
	names, err := withDeadline(d, noReader, d.Timeouts.withDefaults().Call, serviceStuck, listReaders, func([]string, error) {})
	if err != nil {
		return nil, err
	}
	readers := make([]crs.Reader, len(names))
	for i, name := range names {
		r := pcscReader(name)
		readers[i].Name = r.Name()
		if !wanted(r.Name()) {
			continue
		}
		readers[i].Card, err = d.open(ctx, r, txn{brief: true})
		if !errors.Is(err, crs.ErrCardRemoved) {
			readers[i].Err = err
		}
	}
	return readers, ctx.Err()
}

func listReaders() ([]string, error) {
	pcsc, err := establish()
	if err != nil {
		return nil, err
	}
	defer pcsc.Release()
	return readerNamesOf(pcsc)
}

// readerNamesOf is SCardListReaders, which treats an empty list as an error.
func readerNamesOf(pcsc *scard.Context) ([]string, error) {
	names, err := pcsc.ListReaders()
	if err != nil && err != scard.ErrNoReadersAvailable {
		return nil, serviceError(err)
	}
	return names, nil
}
