//go:build linux

package ns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ownRoot gives a namespace of somebody who is not root a "/" of its own. In it the files of the
// machine's root are nobody's, and so the program trusts none of them. These paths, and the
// directories above them, are to belong to the root of the namespace: files are copied, and all
// beside them is what it was.
func ownRoot(paths ...string) error {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil || root.Uid == 0 {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	const at = Modules // is mounted anew afterwards
	if err := tmpfs(at); err != nil {
		return err
	}
	if err := mirror("/", at, paths); err != nil {
		return err
	}
	if err := os.Chdir(at); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil { // the old root comes to lie upon the new one
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	return os.Chdir(here)
}

// mirror fills a directory with what is in another.
func mirror(from, to string, own []string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		above := slices.ContainsFunc(own, func(path string) bool { return path == source || strings.HasPrefix(path, source+"/") })
		copied := slices.Contains(own, source) && !e.IsDir() // a link becomes a file too
		switch {
		case source == Modules:
			err = os.Mkdir(target, 0o755)
		case copied:
			err = copyFile(target, source)
		case e.Type()&os.ModeSymlink != 0:
			var link string
			if link, err = os.Readlink(source); err == nil {
				err = os.Symlink(link, target)
			}
		case e.IsDir():
			if err = os.Mkdir(target, 0o755); err != nil {
				break
			}
			if above {
				err = mirror(source, target, own)
			} else {
				err = unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
			}
		case e.Type().IsRegular():
			if err = os.WriteFile(target, nil, 0o644); err == nil {
				err = unix.Mount(source, target, "", unix.MS_BIND, "")
			}
		}
		if err != nil {
			return fmt.Errorf("%s in a root of its own: %w", source, err)
		}
	}
	return nil
}
