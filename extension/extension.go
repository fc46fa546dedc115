// Package extension holds the browser extension, one for Chromium browsers and Firefox, as it is
// packed: the files of this directory, without a step between.
package extension

import (
	"archive/zip"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"time"
)

// Files are those of the extension, as a browser loads them.
//
//go:embed manifest.json *.js popup.html popup.css all:_locales icons/*.png
var Files embed.FS

// Version is the one of the manifest.
func Version() (string, error) {
	b, err := Files.ReadFile("manifest.json")
	if err != nil {
		return "", err
	}
	var manifest struct {
		Version string `json:"version"`
	}
	return manifest.Version, json.Unmarshal(b, &manifest)
}

// Pack writes the extension as both stores take it. The bytes depend on the files alone.
func Pack(w io.Writer) error {
	z := zip.NewWriter(w)
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := Files.ReadFile(name)
		if err != nil {
			return err
		}
		// The earliest time that the format can express.
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		file, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = file.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	return z.Close()
}
