package main

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// printTokens prints what the service and the process of a module take with a token in that nobody
// uses.
func printTokens(t *testing.T, file string) {
	for _, module := range []string{"SoftHSM", "the fake module"} {
		t.Run(module, func(t *testing.T) {
			h := citizen.NewHome(t)
			token := tokenOf(somebodyElse(t))
			if module == "SoftHSM" {
				register(t, "softhsm", tokentest.SoftHSMModule)
				tokentest.NewSoftHSM(t, string(h), token)
			} else {
				f := tokentest.NewFake(t, "")
				f.Insert(token)
				register(t, "fake", f.Path)
			}
			serve := knowing(t, h, file)
			serve.Answer(citizen.PIN)
			site := open(t, citizen.Portale)
			site.mustLogIn()
			site.ws.Close()
			time.Sleep(30 * time.Second) // in which the service looks at the token all the time
			printWaiting(t,
				waiting{"crs serve, idle with a token of " + module, serve.Process.Pid},
				waiting{"the worker of " + module, workers(serve)[0]})
			serve.Stop(syscall.SIGTERM)
		})
	}
}

// printHang prints how long a page waits for an answer while a module hangs in the login of another.
func printHang(t *testing.T, file string) {
	h := citizen.NewHome(t)
	f := tokentest.NewFake(t, "")
	f.Insert(tokenOf(somebodyElse(t)))
	register(t, "fake", f.Path)
	serve := knowing(t, h, file)
	site := open(t, citizen.Portale)
	for _, fault := range []string{"", "hang"} {
		f.Fault("C_Sign", fault)
		sent := f.Secrets()
		serve.Answer(citizen.PIN)
		ended := make(chan error, 1)
		go func() {
			_, err := site.login(false)
			ended <- err
		}()
		await.That(t, "the module signs", func() bool { return f.Secrets() > sent })
		if fault == "" {
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
		var took []time.Duration
		for range 4 { // the service lets ten messages a second through, after fifty
			other := open(t, "https://altro.example")
			for range 50 {
				began := time.Now()
				if _, err := other.call("hello", map[string]any{"client": "test", "protocol": 1}); err != nil {
					t.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			other.ws.Close()
		}
		slices.Sort(took)
		what := "no login is under way"
		if fault != "" {
			what = "a module hangs in C_Sign"
			if len(ended) > 0 {
				t.Fatal("the module did not hang for so long")
			}
			for _, pid := range workers(serve) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			if err := <-ended; err == nil {
				t.Fatal("the module did not hang")
			}
		}
		fmt.Printf("hello, while %s (median of %d): %.2f ms\n", what, len(took), float64(took[len(took)/2].Microseconds())/1000)
	}
	serve.Stop(syscall.SIGTERM)
}
