package main

import (
	"context"
	"os"

	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/pkcs11"
)

// workerCommand is how this program starts itself as the process of a module.
var workerCommand = []string{"crs", "worker", "pkcs11"}

// worker is the process of a module, which another crs starts and speaks with.
func worker(_ context.Context, args []string) error {
	rest, err := parse(flags("worker"), args, 2, 2)
	if err != nil {
		return err
	}
	if rest[0] != "pkcs11" {
		return usagef("crs worker: %s", catalog.Say("cli.unknown", "word", rest[0]))
	}
	os.Exit(pkcs11.Serve(rest[1]))
	return nil
}
