package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// release is set by the Makefile, with -ldflags "-X main.release=1.2.3".
var release string

func version(_ context.Context, args []string) error {
	if _, err := parse(flags("version"), args, 0, 0); err != nil {
		return err
	}
	fmt.Printf("crs %s (%s %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// versionString returns the version without a leading v; "devel" if none is known.
func versionString() string {
	name := release
	if info, ok := debug.ReadBuildInfo(); ok && name == "" {
		name = info.Main.Version
	}
	if name == "" || name == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(name, "v")
}

// appVersion is what tokens carry as appVersion: a URL, as the token format asks for.
func appVersion() string {
	return "https://github.com/crs-bridge/crs/releases/tag/v" + versionString()
}
