package trust

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func browserOf(conn net.Conn) (string, error) {
	if local, remote, ok := tcpEnds(conn); ok {
		_, inode, err := socketOwner(remote, local)
		if err != nil {
			return "", err
		}
		return holder(inode)
	}
	cred, err := credentials(conn)
	if err != nil {
		return "", err
	}
	started, err := parent(int(cred.Pid))
	if err != nil {
		return "", err
	}
	return program(started)
}

// parent returns the process that started another one.
func parent(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): number, name in parentheses, which may hold any character, state, parent.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 2 {
		return 0, errors.New("no parent")
	}
	return strconv.Atoi(fields[1])
}

// program returns "" if a process runs a browser that an administrator installed, else the path of
// its file.
func program(pid int) (string, error) {
	link := fmt.Sprintf("/proc/%d/exe", pid)
	path, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if isBrowser(filepath.Base(path)) && installed(link, path) {
		return "", nil
	}
	return path, nil
}

// installed reports whether the file that a process runs is the one that this program sees under
// its path, or under that of its Flatpak, and only an administrator can have put it there. A
// process in a mount namespace of its own can run any file under any path.
func installed(link, path string) bool {
	runs, err := os.Stat(link)
	if err != nil {
		return false
	}
	for _, path := range append([]string{path}, flatpaks(path)...) {
		file, err := AdminOnlyCode(path)
		if err != nil {
			continue
		}
		if here, err := os.Stat(file); err == nil && os.SameFile(runs, here) {
			return true
		}
	}
	return false
}

// flatpaks returns where a path within a Flatpak may be in the system.
func flatpaks(path string) []string {
	within, ok := strings.CutPrefix(path, "/app/")
	if !ok {
		return nil
	}
	all, _ := filepath.Glob(filepath.Join("/var/lib/flatpak/app/*/current/active/files", filepath.Clean("/"+within)))
	return all
}

// searchTime bounds the search for the processes that hold a socket.
const searchTime = time.Second

// holder is program for the processes of this user that hold a socket, by its inode. Each of them
// must be a browser: another program may have passed its socket to a browser.
func holder(inode uint32) (string, error) {
	end := time.Now().Add(searchTime)
	socket := fmt.Sprintf("socket:[%d]", inode)
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	found := false
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if time.Now().After(end) {
			return "", errors.New("the search took too long")
		}
		if !holds(pid, socket) {
			continue
		}
		found = true
		if path, err := program(pid); err != nil || path != "" {
			return path, err
		}
	}
	if !found {
		return "", errors.New("no process holds it")
	}
	return "", nil
}

// holds reports whether a process has a socket open. It is false for processes of other users,
// whose files are not visible.
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
