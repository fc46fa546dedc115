package browser

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crs-bridge/crs"
)

// Parent is Program for the process that started another one.
func Parent(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return crs.UnknownProgram
	}
	// proc_pid_stat(5): number, name in parentheses, which may hold any character, state, parent.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 2 {
		return crs.UnknownProgram
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return crs.UnknownProgram
	}
	return Program(parent)
}

// Program returns "" when a process runs a browser that the administrator installed, else the
// path of its file, or crs.UnknownProgram.
func Program(pid int) string {
	link := fmt.Sprintf("/proc/%d/exe", pid)
	path, err := os.Readlink(link)
	if err != nil {
		return crs.UnknownProgram
	}
	if known(filepath.Base(path)) && installed(link, path) {
		return ""
	}
	return path
}

// installed reports whether the file that a process runs is the one that this program sees under
// its path, or under that of its Flatpak, and nobody but the administrator can have put it there. A
// process in a mount namespace of its own can run any file under any path.
func installed(link, path string) bool {
	runs, err := os.Stat(link)
	if err != nil {
		return false
	}
	for _, path := range append([]string{path}, flatpaks(path)...) {
		here, err := os.Stat(path)
		if err == nil && os.SameFile(runs, here) && onlyRoot(path) {
			return true
		}
	}
	return false
}

// flatpaks are where a path within a Flatpak may be in the system.
func flatpaks(path string) []string {
	within, ok := strings.CutPrefix(path, "/app/")
	if !ok {
		return nil
	}
	all, _ := filepath.Glob(filepath.Join("/var/lib/flatpak/app/*/current/active/files", filepath.Clean("/"+within)))
	return all
}

// onlyRoot reports whether only root can change a file and the directories that lead to it.
func onlyRoot(path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != 0 || info.Mode()&0o022 != 0 {
			return false
		}
		if path == "/" {
			return true
		}
	}
}

// searchTime bounds the search for whoever holds a socket.
const searchTime = time.Second

// Holder is Program for the processes of this user that hold a socket, by its inode. Each of them
// must be a browser: one that is not may have handed it to one that is.
func Holder(inode uint32) string {
	end := time.Now().Add(searchTime)
	socket := fmt.Sprintf("socket:[%d]", inode)
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return crs.UnknownProgram
	}
	found := false
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if time.Now().After(end) {
			return crs.UnknownProgram
		}
		if !holds(pid, socket) {
			continue
		}
		found = true
		if program := Program(pid); program != "" {
			return program
		}
	}
	if !found {
		return crs.UnknownProgram
	}
	return ""
}

// holds reports whether a process has a socket open. Of another user's, nothing can be told.
func holds(pid int, socket string) bool {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return false
	}
	defer dir.Close()
	files, _ := dir.Readdirnames(-1)
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(dir.Name(), f)); err == nil && to == socket {
			return true
		}
	}
	return false
}
