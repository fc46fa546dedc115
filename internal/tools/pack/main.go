// Command pack writes the extension into a directory: crs-VERSION.zip for the stores of Chromium
// browsers, and the same bytes as crs-VERSION.xpi for that of Firefox.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/crs-bridge/crs/extension"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: pack DIRECTORY")
	}
	if err := pack(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func pack(dir string) error {
	version, err := extension.Version()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := extension.Pack(&b); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, kind := range []string{"zip", "xpi"} {
		file := filepath.Join(dir, "crs-"+version+"."+kind)
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d bytes\n", file, b.Len())
	}
	return nil
}
