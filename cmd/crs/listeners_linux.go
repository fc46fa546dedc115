package main

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/crs-bridge/crs/bridge"
)

// listeners returns the programs that listen on the ports of the service, "" for one of another
// user.
func listeners() map[int]string {
	sockets := map[string]int{} // the port, by what the socket's file descriptor links to
	found := map[int]string{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if port, inode, ok := parseListener(lines.Text()); ok && slices.Contains(bridge.Ports[:], port) {
				sockets["socket:["+inode+"]"] = port
				found[port] = ""
			}
		}
		f.Close()
	}
	if len(sockets) == 0 {
		return found
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil {
			continue
		}
		if port, ok := sockets[to]; ok {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(fd)), "comm"))
			found[port] = strings.TrimSpace(string(name))
		}
	}
	return found
}

// parseListener reads a line of /proc/net/tcp or tcp6, and returns port and inode of a socket that
// listens.
func parseListener(line string) (port int, inode string, ok bool) {
	const listen = "0A"
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != listen {
		return 0, "", false
	}
	_, hex, _ := strings.Cut(fields[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	return int(n), fields[9], err == nil
}
