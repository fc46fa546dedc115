package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// The frames of native messaging, over a real native host and service.

// raw writes bytes as they are. A native host need not read what it refuses.
func (e *extension) raw(bytes string) {
	e.t.Helper()
	if _, err := e.to.Write([]byte(bytes)); err != nil && !errors.Is(err, syscall.EPIPE) {
		e.t.Fatal(err)
	}
}

func frame(message string) string {
	return string(binary.NativeEndian.AppendUint32(nil, uint32(len(message)))) + message
}

// helloOf is a hello of the given size in bytes.
func helloOf(bytes int) string {
	hello := `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"%s","protocol":1}}`
	return fmt.Sprintf(hello, strings.Repeat("x", bytes-len(hello)+len("%s")))
}

// TestT25NativeFrames: a frame that cannot be one ends its own connection, with a word if the
// browser may be there still, and no other; one that can be is answered however it comes.
func TestT25NativeFrames(t *testing.T) {
	const most = 64 << 10
	h := citizen.NewHome(t)
	serve := h.Serve(t)
	for _, test := range []struct {
		name, raw, want string
		ends            bool
	}{
		{"of 4 GiB", "\xff\xff\xff\xff{", "invalid_request", true},
		{"of 2 GiB", "\x00\x00\x00\x80{", "invalid_request", true},
		{"with its length the other way round", "\x00\x00\x00\x20" + strings.Repeat(" ", 32), "invalid_request", true},
		{"of one byte too many", frame(helloOf(most + 1)), "invalid_request", true},
		{"as long as may be", frame(helloOf(most)), `{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`, false},
		{"of nothing", frame(""), "invalid_request", false},
		{"without UTF-8", frame("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"), "invalid_request", false},
		{"of two lengths", frame(frame(helloRequest)), "invalid_request", false},
		{"of zeros", frame(strings.Repeat("\x00", 100)), "invalid_request", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := startHost(t, h)
			e.connect(citizen.Portale)
			e.raw(test.raw)
			e.must(test.want)
			if !test.ends {
				e.send(helloRequest)
				e.must(`"protocol":1`)
				e.to.Close()
			}
			if m, ok := e.read(); ok {
				t.Errorf("another answer: %s", m)
			}
			e.ends()
			// As the first of a connection it ends it in any case.
			e = startHost(t, h)
			e.raw(test.raw)
			e.must("invalid_request")
			if m, ok := e.read(); ok {
				t.Errorf("another answer: %s", m)
			}
			e.ends()
		})
	}
	for name, part := range map[string]string{
		"within a length": "\x10\x00", "after a length": "\x10\x00\x00\x00", "within a message": frame(helloRequest)[:20],
	} {
		t.Run("that ends "+name, func(t *testing.T) {
			e := startHost(t, h)
			e.connect(citizen.Portale)
			e.raw(part)
			e.to.Close()
			if m, ok := e.read(); ok {
				t.Errorf("an answer: %s", m)
			}
			e.ends()
		})
	}
	t.Run("two in one write", func(t *testing.T) {
		e := startHost(t, h)
		e.connect(citizen.Portale)
		e.raw(frame(helloRequest) + frame(strings.Replace(helloRequest, `"id":1`, `"id":2`, 1)))
		e.must(`"id":1,"result"`)
		e.must(`"id":2,"result"`)
	})
	t.Run("byte by byte", func(t *testing.T) {
		e := startHost(t, h)
		e.connect(citizen.Portale)
		for _, b := range []byte(frame(helloRequest)) {
			e.raw(string(b))
			time.Sleep(time.Millisecond)
		}
		e.must(`"id":1,"result"`)
	})
	if said := serve.Stderr.String(); strings.Contains(said, citizen.SiteAsked) {
		t.Errorf("the citizen is asked: %s", said)
	}
}

// TestDeafBrowser: a browser that does not read its messages keeps nobody from logging in, and its
// own login ends with it.
func TestDeafBrowser(t *testing.T) {
	h := citizen.NewHome(t)
	h.Command(t, "sites", "allow", citizen.Portale)
	serve := h.Serve(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	serve.Next(citizen.CardReady)
	deaf := startHost(t, h)
	deaf.connect(citizen.Portale)
	deaf.send(loginRequest)
	serve.Next(citizen.PinAsked)
	pipe := int(deaf.from.(*os.File).Fd())
	if _, err := unix.FcntlInt(uintptr(pipe), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	for range 45 { // no more than may come at once
		deaf.send(strings.Replace(helloRequest, `"id":1`, `"id":"`+strings.Repeat("x", 64)+`"`, 1))
	}
	await.That(t, "the pipe is full", func() bool {
		full, err := unix.IoctlGetInt(pipe, unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		return full >= 3900
	})
	other := startHost(t, h)
	other.connect(citizen.Portale)
	other.send(helloRequest)
	other.must(`"protocol":1`)
	deaf.to.Close()
	serve.Next("code=gone")
	other.send(loginRequest)
	serve.Next(citizen.PinAsked)
	serve.Answer(citizen.PIN)
	for m := other.must(""); !strings.Contains(m, `"token"`); m = other.must("") {
	}
	if card.Secrets() != 1 {
		t.Errorf("%d PINs were sent", card.Secrets())
	}
}
