package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	"github.com/crs-bridge/crs/internal/tries"
)

// TestT18LyingWorker: a worker that does not keep to the protocol is ended at once.
func TestT18LyingWorker(t *testing.T) {
	for how, want := range map[string]string{"garbage": "no answer", "mute": "ended: signal: killed"} {
		t.Run(how, func(t *testing.T) {
			h := newHost("/none", []string{"crs", "worker", how}, Timeouts{Call: time.Hour}, &sync.Mutex{})
			w := follow(t, h)
			_, err := h.call(context.Background(), request{Do: doList}, nil, nil)
			if !errors.Is(err, crs.ErrModule) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
			isEnded(t, how, <-w)
		})
	}
	w, err := start([]string{"crs", "worker", "accepts", "/none"}, &output{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.kill()
	if r, err := w.exchange(request{Do: doVerify, Token: &token{}}, nil); err != nil || !r.Accepted {
		t.Errorf("accepted twice: %+v %v", r, err)
	}
}

// follow returns the first worker that a host starts.
func follow(t *testing.T, h *host) <-chan *worker {
	found := make(chan *worker, 1)
	go func() {
		for end := time.Now().Add(await.Limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if w := h.running(); w != nil {
				found <- w
				return
			}
		}
		close(found)
	}()
	return found
}

func isEnded(t *testing.T, what string, w *worker) {
	t.Helper()
	if w == nil {
		t.Errorf("%s: no worker", what)
		return
	}
	select {
	case <-w.ended:
	case <-time.After(await.Limit):
		t.Errorf("%s: the worker lives on", what)
		w.kill()
	}
}

// Each request has a limit of its own; a PIN that is typed on the device takes its time.
func TestLimits(t *testing.T) {
	const call, pin = 10 * time.Second, 30 * time.Second
	h := newHost("", nil, Timeouts{}, nil)
	for _, test := range []struct {
		do      string
		secrets int
		want    time.Duration
	}{
		{doCheck, 0, call}, {doLoad, 0, call}, {doList, 0, call}, {doStatus, 0, call},
		{doVerify, 1, pin}, {doSign, 1, pin}, {doChange, 2, pin},
		{doVerify, 0, pin + padTime}, {doSign, 0, pin + padTime}, {doChange, 0, pin + 3*padTime},
	} {
		t.Run(test.do, func(t *testing.T) {
			if got := h.limit(request{Do: test.do, Secrets: test.secrets}); got != test.want {
				t.Errorf("%s with %d PINs: %v", test.do, test.secrets, got)
			}
		})
	}
}

// A module that hangs while it is asked without a PIN is ended too, also by the end of the program.
func TestHangsWithoutPIN(t *testing.T) {
	f, tokens := faked(t, oneToken())
	h := theCard(t, tokens).host
	w := h.running()
	f.Fault("C_GetTokenInfo", "hang")
	h.timeouts.Call = 200 * time.Millisecond
	if _, err := h.call(context.Background(), request{Do: doList}, nil, nil); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Error(err)
	}
	isEnded(t, "after its limit", w)

	h.timeouts.Call = time.Hour
	next := follow(t, h)
	failed := make(chan error)
	go func() {
		_, err := h.call(context.Background(), request{Do: doList}, nil, nil)
		failed <- err
	}()
	w = <-next
	tokens.Close()
	if err := <-failed; !errors.Is(err, crs.ErrModule) {
		t.Error(err)
	}
	isEnded(t, "after the program", w)
}

// Rule 7: once a PIN is on its way its answer is waited for, whatever happens to the page and the
// program; and the try was counted before.
func TestRule7NothingCancels(t *testing.T) {
	f, tokens := faked(t, oneToken())
	spent := &counting{kept: map[string]crs.PINStatus{}}
	tokens.Tries = &tries.Book{Store: spent}
	c := theCard(t, tokens)
	c.host.timeouts.PIN = time.Second
	f.Fault("C_Login", "hang")
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error)
	go func() {
		_, err := c.Sign(ctx, cardtest.PIN(rightPIN), cardtest.NewStatement(t))
		answered <- err
	}()
	await.That(t, "the try is counted", func() bool { return spent.spent.Load() > 0 })
	select {
	case err := <-answered:
		t.Errorf("the try was counted after the answer: %v", err)
	default:
	}
	cancel()
	tokens.Close()
	if e := refused(t, <-answered); !e.Uncertain || !strings.Contains(e.Error(), "did not answer") {
		t.Error(e)
	}
}

// Workers are started one after another, and a page that is closed meanwhile has no PIN sent.
func TestClosedWhileStarting(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	c.host.running().kill()
	tokens.starting.Lock() // another one is starting
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error)
	go func() {
		_, err := c.Sign(ctx, cardtest.PIN(rightPIN), cardtest.NewStatement(t))
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("beside another one: %v", err)
		answered = make(chan error, 1)
		answered <- context.Canceled
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	tokens.starting.Unlock()
	if err := <-answered; !errors.Is(err, context.Canceled) || f.Secrets() != 0 {
		t.Errorf("%v, %d PINs", err, f.Secrets())
	}
}

// Rule 1: no matter what a module does, what is typed once is sent once.
func TestRule1OnePIN(t *testing.T) {
	for _, call := range []string{"C_Sign", "C_SignInit", "C_Logout"} {
		for _, fault := range []string{"exit", "crash", "5", "gone"} {
			f, tokens := faked(t, oneToken())
			c := theCard(t, tokens)
			f.Fault(call, fault)
			login(t, c, rightPIN)
			if n := f.Secrets(); n != 1 {
				t.Errorf("%s %s: %d PINs came", call, fault, n)
			}
		}
	}
}

// A worker that ends as it is asked is started again, for what carries no PIN.
func TestEndsAsItIsAsked(t *testing.T) {
	_, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	w := c.host.running()
	w.process.Signal(syscall.SIGSTOP)
	asked := make(chan error)
	go func() {
		_, err := c.PINStatus(context.Background())
		asked <- err
	}()
	time.Sleep(50 * time.Millisecond) // before or after it is asked: both must work
	w.process.Kill()
	if err := <-asked; err != nil {
		t.Error(err)
	}
	w = c.host.running()
	w.process.Signal(syscall.SIGSTOP)
	go func() { asked <- login(t, c, rightPIN) }()
	for sent := false; !sent; time.Sleep(time.Millisecond) {
		c.host.mu.Lock()
		sent = c.host.atPIN
		c.host.mu.Unlock()
	}
	w.process.Kill()
	if e := refused(t, <-asked); !e.Uncertain {
		t.Error(e)
	}
}

// A module that takes all memory is ended long before its time is over.
func TestT18Memory(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	c.host.timeouts.PIN = time.Hour
	f.Fault("C_Sign", "eat")
	if err := login(t, c, rightPIN); !errors.Is(err, crs.ErrModule) || !strings.Contains(err.Error(), "memory") {
		t.Error(err)
	}
}

// A module that takes a little more memory with each of many quick calls is killed when that is too
// much.
func TestT18Leak(t *testing.T) {
	f, tokens := faked(t, oneToken())
	w := theCard(t, tokens).host.running()
	f.Fault("C_GetTokenInfo", "leak")
	for range maxMemory / (32 << 20) {
		tokens.List(context.Background(), true)
	}
	isEnded(t, "one with too much memory", w)
}

// TestT18WhatAModuleStarts: a process that a module started ends with the worker, and one that left the
// worker's group keeps no file of this program open.
func TestT18WhatAModuleStarts(t *testing.T) {
	f, tokens := faked(t, oneToken())
	c := theCard(t, tokens)
	started := func(fault string) (pid int) {
		f.Fault("C_Sign", fault)
		c.host.timeouts.PIN = 300 * time.Millisecond
		if err := login(t, c, rightPIN); !errors.Is(err, crs.ErrModule) {
			t.Errorf("%s: %v", fault, err)
		}
		if b, err := os.ReadFile(f.Path + ".child"); err != nil {
			t.Fatal(err)
		} else if _, err := fmt.Sscan(string(b), &pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	child := started("fork")
	defer syscall.Kill(child, syscall.SIGKILL)
	await.That(t, "it ends", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	daemon := started("daemon")
	defer syscall.Kill(daemon, syscall.SIGKILL)
	theirs := pipesOf(t, daemon)
	if len(theirs) < 3 {
		t.Fatalf("it holds the pipes %v", theirs)
	}
	await.That(t, "its pipes are closed on this side", func() bool {
		return !slices.ContainsFunc(pipesOf(t, os.Getpid()), func(pipe string) bool { return slices.Contains(theirs, pipe) })
	})
}

// pipesOf returns the pipes that a process has open.
func pipesOf(t *testing.T, pid int) (pipes []string) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); strings.HasPrefix(to, "pipe:") {
			pipes = append(pipes, to)
		}
	}
	return pipes
}

// TestDelays: a module that fails is tried again at once, then after longer and longer, and after a
// success as if nothing had been.
func TestDelays(t *testing.T) {
	h := newHost("", nil, Timeouts{}, nil)
	began := time.Now()
	waits := func(d time.Duration) bool {
		return !h.pause.Before(began.Add(d)) && !h.pause.After(time.Now().Add(d))
	}
	h.lose()
	if !h.pause.IsZero() {
		t.Errorf("after the first failure not before %v", h.pause)
	}
	for i, want := range []time.Duration{firstDelay, 2 * firstDelay, 4 * firstDelay} {
		if h.lose(); !waits(want) {
			t.Errorf("after failure %d: in %v", i+2, time.Until(h.pause))
		}
	}
	if err := h.ready(request{Do: doList}); err == nil || !strings.Contains(err.Error(), "left alone") {
		t.Error(err)
	}
	for range 100 {
		h.lose()
	}
	if !waits(lastDelay) {
		t.Errorf("in the end: in %v", time.Until(h.pause))
	}
	h.succeeded(request{Do: doCheck}, reply{})
	if h.succeeded(request{Do: doLoad}, reply{}); !waits(lastDelay) {
		t.Error("to be loaded is a success")
	}
	if h.succeeded(request{Do: doList}, reply{}); !h.pause.IsZero() || h.failures != 0 {
		t.Errorf("after a success: in %v", time.Until(h.pause))
	}
	if h.again() != firstDelay {
		t.Errorf("again in %v", h.again())
	}
	h.unusable = &failure{Call: callLoad}
	if h.again() != 0 || h.ready(request{Do: doList}) != error(h.unusable) {
		t.Error("what cannot be loaded is tried again")
	}
}

// What cannot be loaded is loaded once, what ends as soon as it is asked is asked once, what hangs at
// its end is ended.
func TestFirstAndLastCall(t *testing.T) {
	h := newHost("/etc/passwd", workerCommand, Timeouts{}, &sync.Mutex{})
	w := follow(t, h)
	for range 3 {
		if _, err := h.call(context.Background(), request{Do: doList}, nil, nil); !errors.Is(err, crs.ErrModule) {
			t.Error(err)
		}
	}
	if h.failures != 1 {
		t.Errorf("%d failures", h.failures)
	}
	isEnded(t, "one that loaded nothing", <-w)
	f, tokens := faked(t, oneToken())
	f.Fault("C_GetSlotList", "exit")
	tokens.List(context.Background(), true)
	if h := tokens.modules[0].host; h.failures != 1 {
		t.Errorf("a module that ends in its first call was asked %d times", h.failures)
	}
	f.Fault("", "")
	last := theCard(t, tokens).host.running()
	f.Fault("C_Finalize", "hang")
	tokens.Close()
	isEnded(t, "one that hangs at its end", last)
}
