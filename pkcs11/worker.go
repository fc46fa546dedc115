package pkcs11

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/crs-bridge/crs"
)

// A module of a vendor can crash, hang, call _exit or overwrite memory. So it is loaded by a
// separate process, a worker, which its host starts when there is something to ask, asks one thing
// at a time with a limit, and kills when the answer is late or too large.

const endTime = time.Second // for a worker to close its module

// worker is a process that has loaded a module.
type worker struct {
	process *os.Process
	in, out *os.File
	silent  atomic.Bool   // it was sent a PIN, or lets its user type one: see output.keep
	ended   chan struct{} // closed when the process has ended
	exit    string        // how it ended, when ended is closed
}

// start starts a worker. The goroutine that starts it keeps its thread until the worker ends: Linux
// kills the child when the thread that started it ends, not when the process does.
func start(command []string, stderr *output) (*worker, error) {
	var pipes [6]*os.File // of stdin, stdout, stderr: the reading and the writing end of each
	closeAll := func() {
		for _, f := range pipes {
			if f != nil {
				f.Close()
			}
		}
	}
	for i := 0; i < len(pipes); i += 2 {
		var err error
		if pipes[i], pipes[i+1], err = os.Pipe(); err != nil {
			closeAll()
			return nil, err
		}
	}
	exe, err := ownProgram()
	if err != nil {
		closeAll()
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: exe, Args: command, Env: environment(os.Getenv), Dir: workerDir(),
		Stderr: pipes[5], SysProcAttr: workerAttributes(),
	}
	if err := givePipes(cmd, pipes[0], pipes[3]); err != nil {
		closeAll()
		return nil, err
	}
	w := &worker{in: pipes[1], out: pipes[2], ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			w.process = cmd.Process
			err = confine(cmd.Process)
		}
		started <- err
		if w.process == nil {
			return
		}
		cmd.Wait()
		endRest(cmd.Process)
		w.exit = cmd.ProcessState.String()
		close(w.ended)
	}()
	err = <-started
	pipes[0].Close()
	pipes[3].Close()
	pipes[5].Close()
	if err != nil {
		if w.process != nil {
			w.process.Kill()
		}
		w.in.Close()
		w.out.Close()
		pipes[4].Close()
		return nil, err
	}
	go func() {
		stderr.keep(pipes[4], &w.silent)
		pipes[4].Close()
	}()
	go func() {
		<-w.ended
		time.Sleep(endTime) // until what it wrote last has been read
		w.in.Close()
		w.out.Close() // what it started may hold the other end
		pipes[4].Close()
	}()
	return w, nil
}

// kill ends the process and waits for that. A process that the kernel does not end in time is left
// behind.
func (w *worker) kill() {
	w.process.Kill()
	select {
	case <-w.ended:
	case <-time.After(endTime):
	}
}

// stop lets the worker close its module, which logs out, and then ends it.
func (w *worker) stop() {
	w.in.Close()
	select {
	case <-w.ended:
	case <-time.After(endTime):
		w.kill()
	}
}

// exchange sends a request and returns the last reply to it, and whether the token accepted the
// PIN before. It returns when the worker answered or its pipes broke.
func (w *worker) exchange(q request, secrets [][]byte) (reply, error) {
	err := writeMessage(w.in, q)
	for _, s := range secrets {
		if err == nil {
			err = writeSecret(w.in, s)
		}
	}
	accepted := false
	for err == nil {
		var r reply
		if r, err = readReply(w.out); err == nil {
			if r.Accepted && !accepted {
				accepted = true
				continue
			}
			r.Accepted = accepted
			return r, nil
		}
	}
	return reply{Accepted: accepted}, err
}

// Serve is a worker: it answers requests from stdin with the module of a path until its input
// ends, and returns the exit code.
func Serve(path string) int {
	if err := confineSelf(); err != nil {
		fmt.Fprintln(os.Stderr, "crs worker:", err)
		return 1
	}
	in, out, err := takePipes()
	if err != nil {
		fmt.Fprintln(os.Stderr, "crs worker:", err)
		return 1
	}
	runtime.LockOSThread() // some modules keep state of a thread
	answer, end := openLibrary(path)
	serve(in, out, answer, func() {
		time.Sleep(2 * endTime) // the host has gone, and the module may hang
		os.Exit(1)
	})
	end()
	return 0
}

// serve answers requests until in ends or is malformed. If in ends while a request is being
// answered, gone runs at the same time.
func serve(in io.Reader, out io.Writer, answer func(request, []*crs.PIN, func()) reply, gone func()) {
	type asked struct {
		request request
		secrets []*crs.PIN
	}
	requests := make(chan asked)
	go func() {
		defer close(requests)
		for {
			q, secrets, err := readRequest(in)
			if err != nil {
				go gone()
				return
			}
			requests <- asked{q, secrets}
		}
	}()
	for a := range requests {
		r := answer(a.request, a.secrets, func() { writeMessage(out, reply{Accepted: true}) })
		wipe(a.secrets)
		if writeMessage(out, r) != nil {
			return
		}
	}
}
