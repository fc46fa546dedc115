package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set when a release is built: -ldflags "-X main.release=1.2.3".
var release string

func version(_ context.Context, args []string) error {
	if _, err := parse(flags("version"), args, 0, 0); err != nil {
		return err
	}
	fmt.Printf("crs %s (%s %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

func versionString() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// appVersion is what tokens carry as appVersion: a URL, as the token format asks for.
func appVersion() string {
	return "https://github.com/crs-bridge/crs/releases/tag/v" + versionString()
}
