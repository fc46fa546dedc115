package pkcs11

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// kept are the variables that a worker gets. Others could lead the loader or the module to somebody
// else's files.
var kept = []string{"HOME", "USER", "LOGNAME", "LANG", "LC_ALL"}

// ownProgram is this program as it runs, even if its file has been replaced by a newer one, which
// may speak another protocol.
func ownProgram() (string, error) { return "/proc/self/exe", nil }

func workerDir() string { return "/" }

// workerAttributes: a worker does not outlive the thread that started it. It leads a process group,
// so that its own children end with it and no Ctrl-C in a terminal reaches it, perhaps in the
// middle of a PIN.
func workerAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

func confine(*os.Process) error { return nil }

// memoryOf returns the resident memory of a process, 0 when it has gone.
func memoryOf(p *os.Process) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Pid))
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// startedOver is in the environment of a worker that has run confineSelf before.
const startedOver = "CRS_WORKER_CONFINED"

// confineSelf takes from this process what no module needs: ways to gain rights, open files, core
// dumps. Threads that run already would keep their rights, so this program starts over.
func confineSelf() error {
	if os.Getenv(startedOver) == "" {
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
		files, err := os.ReadDir("/proc/self/fd") // close_range cannot do this before Linux 5.11
		if err != nil {
			return err
		}
		for _, file := range files {
			if fd, err := strconv.Atoi(file.Name()); err == nil && fd > 2 {
				unix.CloseOnExec(fd)
			}
		}
		return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), startedOver+"=1"))
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
