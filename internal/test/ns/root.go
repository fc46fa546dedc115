//go:build linux

package ns

import (
	"fmt"
	"os"
	"os/exec"
)

// AsRoot runs this test binary once more, in a user namespace that knows other users besides this
// one, and returns its exit code. It takes newuidmap, from Debian's package uidmap.
func AsRoot() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	inner := exec.Command("unshare", append([]string{"--user", "--map-root-user", "--map-auto", self}, os.Args[1:]...)...)
	inner.Stdin, inner.Stdout, inner.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = inner.Run()
	if inner.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return inner.ProcessState.ExitCode()
}
