// Command pack writes the browser extension into a directory: crs-VERSION.zip for the stores of
// Chromium browsers, and the same bytes as crs-VERSION.xpi for that of Firefox. It runs at the root
// of the module.
package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: pack DIRECTORY")
	}
	if err := write(os.DirFS("extension"), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(extension fs.FS, dir string) error {
	b, err := fs.ReadFile(extension, "manifest.json")
	if err != nil {
		return err
	}
	var manifest struct{ Version string }
	if err := json.Unmarshal(b, &manifest); err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := pack(&packed, extension); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, kind := range []string{"zip", "xpi"} {
		file := filepath.Join(dir, "crs-"+manifest.Version+"."+kind)
		if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d bytes\n", file, packed.Len())
	}
	return nil
}

// loaded are the files that browsers load. They are listed so that no other file in the directory
// reaches a store.
var loaded = []string{"manifest.json", "*.js", "popup.html", "popup.css", "_locales/*/messages.json", "icons/*.png"}

// pack writes the extension as both stores take it. The bytes depend on the files alone.
func pack(w io.Writer, extension fs.FS) error {
	z := zip.NewWriter(w)
	for _, pattern := range loaded {
		names, err := fs.Glob(extension, pattern)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("the extension has no %s", pattern)
		}
		for _, name := range names {
			b, err := fs.ReadFile(extension, name)
			if err != nil {
				return err
			}
			// The earliest time that the format can express.
			header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
			file, err := z.CreateHeader(header)
			if err != nil {
				return err
			}
			if _, err := file.Write(b); err != nil {
				return err
			}
		}
	}
	return z.Close()
}
