package scard

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Close is the only way to give back a card, in tests too: they have pcscd's clients side by side in one
// process as the program has.
func TestNobodyDisconnects(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch path {
			case filepath.Join(root, "build"), filepath.Join(root, ".git"), filepath.Join(root, "internal", "scard"):
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte("internal/scard\"")) {
			seen++
			if bytes.Contains(b, []byte(".Disconnect(")) {
				t.Errorf("%s calls Disconnect: see Close", path)
			}
		}
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files looked at, %v", seen, err)
	}
}
