package pkcs11

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// The test binary is the worker too.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "worker" {
		if os.Args[2] != "pkcs11" {
			misbehave(os.Args[2])
		}
		os.Exit(Serve(os.Args[3]))
	}
	if len(os.Args) == 4 && os.Args[1] == "parent" {
		parent(os.Args[2], os.Args[3])
	}
	if len(os.Args) == 3 && os.Args[1] == "replaced" {
		replaced(os.Args[2])
	}
	runTests(m)
}

// misbehave is a worker whose memory a module took over.
func misbehave(how string) {
	switch how {
	case "garbage":
		fmt.Print("HTTP/1.1 400 Bad Request\r\n\r\n")
	case "mute":
		os.Stdout.Close()
	case "accepts":
		for range 3 {
			writeMessage(os.Stdout, reply{Accepted: true})
		}
	}
	time.Sleep(time.Hour)
}

// replaced is parent, of a program whose file is taken away before it uses the module.
func replaced(module string) {
	self, err := os.Executable()
	if err == nil {
		err = os.Remove(self)
	}
	if err != nil {
		panic(err)
	}
	parent("pkcs11", module)
}

// parent uses a module, says which process has loaded it, or is to if that is deaf, and stays.
func parent(how, module string) {
	tokens := &Tokens{Command: []string{"crs", "worker", how}, Find: func() []Module { return []Module{{Path: module}} }}
	listed := make(chan struct{})
	go func() {
		tokens.List(context.Background(), true)
		close(listed)
	}()
	if how != "deaf" {
		<-listed
	}
	for len(tokens.used()) == 0 || tokens.used()[0].host.running() == nil {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(tokens.used()[0].host.running().process.Pid)
	time.Sleep(time.Minute)
}

var workerCommand = []string{"crs", "worker", "pkcs11"}
