//go:build unix

package pkcs11

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// givePipes has a worker find its requests on stdin, and send its replies to stdout.
func givePipes(cmd *exec.Cmd, requests, replies *os.File) error {
	cmd.Stdin, cmd.Stdout = requests, replies
	return nil
}

// endRest kills what a worker that has ended leaves behind. The group keeps its number as long as
// any process is in it.
func endRest(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }

// takePipes takes stdin and stdout away from the module: some print to stdout.
func takePipes() (in, out *os.File, err error) {
	fds := [2]int{}
	for i := range fds {
		if fds[i], err = unix.FcntlInt(uintptr(i), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return nil, nil, err
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), 0); err != nil {
		return nil, nil, err
	}
	if err := unix.Dup2(2, 1); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "requests"), os.NewFile(uintptr(fds[1]), "replies"), nil
}

// environment is the part of this program's environment that a worker gets.
func environment(getenv func(string) string) []string {
	env := []string{"PATH=/usr/bin:/bin"}
	for _, name := range kept {
		if value := getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
