//go:build linux

package ns

import (
	"os"
	"os/exec"
	"slices"
)

// rootArgs make a user namespace in which this user is root, and which knows other users too. It
// takes newuidmap, from Debian's package uidmap.
var rootArgs = []string{"--user", "--map-root-user", "--map-auto"}

// mapsUsers reports whether such a namespace can be made.
func mapsUsers() bool {
	return exec.Command("unshare", slices.Concat(rootArgs, []string{"true"})...).Run() == nil
}

// asRoot runs this test binary once more, in such a namespace, and returns its exit code.
func asRoot() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	inner := exec.Command("unshare", slices.Concat(rootArgs, []string{self}, os.Args[1:])...)
	inner.Stdin, inner.Stdout, inner.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = inner.Run()
	if inner.ProcessState == nil {
		return 0, err
	}
	return inner.ProcessState.ExitCode(), nil
}
