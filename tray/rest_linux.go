package tray

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rest gives back memory that is not needed while nothing happens: heap, and the pages of the
// program's file, which are read again when they are needed.
func rest() {
	debug.FreeOSMemory()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	var start, end uint64
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 4 && strings.Contains(fields[0], "-"): // a mapping: from-to, rights, …, file
			start, end = 0, 0
			if unwritable(fields) {
				from, to, _ := strings.Cut(fields[0], "-")
				start, _ = strconv.ParseUint(from, 16, 64)
				end, _ = strconv.ParseUint(to, 16, 64)
			}
		case len(fields) > 1 && fields[0] == "Anonymous:" && fields[1] == "0" && start < end:
			// Nobody wrote to its pages before it became read-only, as the loader does to some
			// mappings.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}

// unwritable reports whether a mapping is of a file and read-only.
func unwritable(fields []string) bool {
	return (fields[1] == "r-xp" || fields[1] == "r--p") && len(fields) == 6 && strings.HasPrefix(fields[5], "/")
}
