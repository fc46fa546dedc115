package pkcs11

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crs-bridge/crs/internal/frame"
)

// Timeouts bound what a module may take; zero fields mean the defaults.
type Timeouts struct {
	Call time.Duration // any call, and the loading of a module: 10 s
	PIN  time.Duration // a login with its signature, and a change of the PIN: 30 s
}

// withDefaults fills in what is not set.
func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{Call: cmp.Or(t.Call, 10*time.Second), PIN: cmp.Or(t.PIN, 30*time.Second)}
}

const (
	maxMemory   = 256 << 20
	memoryCheck = 100 * time.Millisecond // of a worker at work

	firstDelay = time.Second // after the second failure without a success between; doubled
	lastDelay  = time.Minute

	padTime = time.Minute // for the user to type one PIN on the device
)

// host is one module and the worker that runs it, if any.
type host struct {
	path     string
	command  []string
	timeouts Timeouts
	starting *sync.Mutex // of all modules: some cannot be initialised by two processes at once

	turn chan struct{} // holds one token; the caller that took it asks the worker

	mu       sync.Mutex // guards the fields below, which only the caller with the turn changes
	worker   *worker
	atPIN    bool // a PIN is on its way
	failures int  // without a success between
	pause    time.Time
	unusable *failure // the module cannot be loaded

	stderr *output
}

func newHost(path string, command []string, timeouts Timeouts, starting *sync.Mutex) *host {
	h := &host{path: path, command: command, timeouts: timeouts.withDefaults(), starting: starting, turn: make(chan struct{}, 1), stderr: &output{}}
	h.turn <- struct{}{}
	return h
}

// call asks the worker, which is started if needed. sending is called before a PIN leaves, or is
// asked for on the device; from then on call waits for the answer even if ctx ends. It does not use
// the secrets after it returns.
func (h *host) call(ctx context.Context, q request, secrets [][]byte, sending func()) (reply, error) {
	select {
	case <-h.turn:
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
	q.Secrets = len(secrets)
	type result struct {
		reply reply
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { h.turn <- struct{}{} }()
		before := h.running()
		err := h.ready(q)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			done <- result{reply{}, err}
			return
		}
		limit := h.limit(q)
		if q.usesPIN() {
			h.running().silent.Store(true)
			h.pinOnItsWay(true)
			defer h.pinOnItsWay(false)
			sending()
		}
		asked := h.running()
		r, err := h.ask(q, secrets, limit)
		// A worker that was idle may have ended before it was asked. A request with a PIN is never
		// repeated.
		if d := (*died)(nil); errors.As(err, &d) && d.ended && asked == before && !q.usesPIN() {
			if err = h.ready(q); err == nil {
				r, err = h.ask(q, nil, limit)
			}
		}
		done <- result{r, err}
	}()
	select {
	case r := <-done:
		return r.reply, r.err
	case <-ctx.Done():
	}
	// A request without a PIN runs to its end without its caller.
	if q.usesPIN() {
		r := <-done
		return r.reply, r.err
	}
	return reply{}, ctx.Err()
}

// limit is how long the answer to a request may take.
func (h *host) limit(q request) time.Duration {
	switch {
	case !q.usesPIN():
		return h.timeouts.Call
	case q.Secrets > 0:
		return h.timeouts.PIN
	case q.Do == doChange: // typed on the device: the old PIN, and the new one twice
		return h.timeouts.PIN + 3*padTime
	}
	return h.timeouts.PIN + padTime
}

func (h *host) pinOnItsWay(is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.atPIN = is
}

// ready starts a worker for a request unless there is one. The caller must have the turn.
func (h *host) ready(q request) error {
	if w := h.running(); w != nil {
		select {
		case <-w.ended: // between two requests
			h.lose()
		default:
			return nil
		}
	}
	h.mu.Lock()
	unusable, wait := h.unusable, time.Until(h.pause)
	h.mu.Unlock()
	if unusable != nil {
		return unusable
	}
	if wait > 0 {
		return &died{why: "keeps failing and is left alone for a while"}
	}
	h.starting.Lock()
	defer h.starting.Unlock()
	w, err := start(append(slices.Clone(h.command), h.path), h.stderr)
	if err != nil {
		h.lose()
		return &died{why: "does not start: " + err.Error()}
	}
	h.set(w)
	first := request{Do: doLoad}
	if q.Do == doCheck {
		first = q
	}
	_, err = h.ask(first, nil, h.timeouts.Call)
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	w.stop()
	h.lose()
	if f.Call == callLoad {
		h.mu.Lock()
		h.unusable = f // until the file is replaced
		h.mu.Unlock()
	}
	return err
}

func (h *host) running() *worker {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.worker
}

func (h *host) set(w *worker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.worker = w
}

// ask is one request to the running worker, which is killed if its answer is late or broken.
func (h *host) ask(q request, secrets [][]byte, limit time.Duration) (reply, error) {
	w := h.running()
	type result struct {
		reply reply
		err   error
	}
	done := make(chan result, 1)
	go func() {
		r, err := w.exchange(q, secrets)
		done <- result{r, err}
	}()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	memory := time.NewTicker(memoryCheck)
	defer memory.Stop()
	why, ended := "", false
	var r result
	for answered := false; !answered; {
		select {
		case r = <-done:
			answered = true
		case <-deadline.C:
			why = fmt.Sprintf("did not answer in %v", limit)
		case <-memory.C:
			if memoryOf(w.process) > maxMemory {
				why = "took too much memory"
			}
		}
		if why != "" {
			w.kill()
			answered = true
			select {
			case r = <-done: // it may have accepted the PIN
			case <-time.After(endTime):
			}
		}
	}
	switch {
	case why != "":
	case errors.Is(r.err, frame.ErrMalformed):
		why = "answered what is no answer"
	case r.err != nil: // the pipe broke
		w.kill()
		why, ended = "ended: "+w.exit, true
	case memoryOf(w.process) > maxMemory:
		why = "took too much memory"
	default:
		return h.succeeded(q, r.reply)
	}
	w.kill()
	h.lose()
	return r.reply, &died{why, ended}
}

// succeeded handles an answer. If something failed after the PIN was accepted, the worker is
// killed, so that the token does not stay open: its module may not have logged out.
func (h *host) succeeded(q request, r reply) (reply, error) {
	if q.Do != doCheck && q.Do != doLoad {
		h.mu.Lock()
		h.failures, h.pause = 0, time.Time{}
		h.mu.Unlock()
	}
	if r.Failure == nil {
		return r, nil
	}
	if r.Accepted {
		h.running().kill()
		h.set(nil)
	}
	if r.Failure.Call == callLogout {
		return r, nil // what was asked for was already done
	}
	return r, r.Failure
}

// lose forgets the worker, which has ended, and decides when the next one may start: after a first
// failure, at once.
func (h *host) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.worker = nil
	h.failures++
	if h.failures > 1 {
		h.pause = time.Now().Add(min(firstDelay<<min(h.failures-2, 10), lastDelay))
	}
}

// again returns how long to wait before asking after a failure, 0 for never.
func (h *host) again() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unusable != nil {
		return 0
	}
	return max(time.Until(h.pause), firstDelay)
}

// stop ends the worker when it is idle.
func (h *host) stop() {
	<-h.turn
	defer func() { h.turn <- struct{}{} }()
	if w := h.running(); w != nil {
		w.stop()
		h.set(nil)
	}
}

// end is stop for a program that ends: it kills the worker unless that is busy with a PIN.
func (h *host) end() {
	stopped := make(chan struct{})
	go func() {
		h.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return
	case <-time.After(endTime / 10):
	}
	h.mu.Lock()
	w, atPIN := h.worker, h.atPIN
	h.mu.Unlock()
	if w != nil && !atPIN {
		w.process.Kill()
	}
	<-stopped
}
