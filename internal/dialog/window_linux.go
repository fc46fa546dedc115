package dialog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/trust"
)

// zenityPath is the one program that may see a PIN being typed. It is not searched for in PATH,
// which another program may have changed.
const zenityPath = "/usr/bin/zenity"

// Usable returns nil when windows can be shown, else an error that names what helps: ErrNoDisplay
// or ErrNoZenity.
func (w Windows) Usable() error {
	_, err := w.usable()
	return err
}

func (w Windows) usable() (program string, err error) {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return "", ErrNoDisplay
	}
	return trusted(w.program())
}

func (w Windows) program() string {
	if w.zenity != "" {
		return w.zenity
	}
	return zenityPath
}

// trusted returns the file behind a path, provided that only an administrator can have put it
// there.
func trusted(program string) (string, error) {
	file, err := trust.AdminOnlyCode(program)
	var writable *trust.WritableError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: windows need %s: install it (sudo apt install zenity), or add --ui terminal", ErrNoZenity, program)
	case errors.As(err, &writable):
		return "", fmt.Errorf("%w: others can change %s: mend its owner and mode, or add --ui terminal", ErrNoZenity, writable.Path)
	}
	return file, err
}

func (w Windows) question(ctx context.Context, t catalog.Text) (bool, error) {
	_, err := w.run(ctx, "", "--question", "--default-cancel", "--no-wrap",
		"--title="+t.Title, "--text="+markup(t), "--ok-label="+t.Yes, "--cancel-label="+t.No)
	if errors.Is(err, errNo) {
		return false, nil
	}
	return err == nil, err
}

func (w Windows) message(ctx context.Context, t catalog.Text, button string, problem bool) error {
	kind := "--info"
	if problem {
		kind = "--warning"
	}
	_, err := w.run(ctx, "", kind, "--no-wrap", "--title="+t.Title, "--text="+markup(t), "--ok-label="+button)
	return err
}

// list returns -1 when no row was selected.
func (w Windows) list(ctx context.Context, t catalog.Text, rows []string) (int, error) {
	var lines strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&lines, "%d\n%s\n", i, row)
	}
	// The rows go in by stdin: as an argument, a row that begins with a hyphen would be an option.
	out, err := w.run(ctx, lines.String(),
		"--list", "--hide-header", "--column=0", "--column=1", "--hide-column=1", "--print-column=1",
		"--title="+t.Title, "--text="+markup(t), "--ok-label="+t.Yes, "--cancel-label="+t.No,
		"--width="+strconv.Itoa(listWidth(rows)), "--height=480")
	if errors.Is(err, errNo) {
		err = crs.ErrCancelled
	}
	if err != nil {
		return 0, err
	}
	if i, err := strconv.Atoi(string(out)); err == nil && i >= 0 && i < len(rows) {
		return i, nil
	}
	return -1, nil
}

// listWidth is about what the longest row takes, in pixels, and never more than an old screen has: a
// list hides what does not fit.
func listWidth(rows []string) int {
	longest := 0
	for _, row := range rows {
		longest = max(longest, utf8.RuneCountInString(row))
	}
	return min(max(520, 60+8*longest), 1000)
}

// entry is the window for a PIN. Enter continues in it even while "cancel" has the keyboard
// (zenity 3 does not make that button receive it); Esc and the space bar cancel, and the button's
// label names Esc. --forms would heed the button, but Enter does nothing in its field.
func (w Windows) entry(ctx context.Context, t catalog.Text) (*crs.PIN, error) {
	out, err := w.run(ctx, "", "--entry", "--hide-text",
		"--title="+t.Title, "--text="+plain(t), "--ok-label="+t.Yes, "--cancel-label="+t.No)
	if errors.Is(err, errNo) {
		err = crs.ErrCancelled
	}
	if err != nil {
		return nil, err
	}
	return crs.NewPIN(out), nil
}

// Exit codes that the environment makes zenity return, so that they are not taken for its 1,
// which is also "no display".
const (
	exitNo     = 11
	exitClosed = 12
)

var errNo = errors.New("answered no")

// environment is all that zenity gets: the session and its appearance, and no way to load more code
// into it (LD_PRELOAD, GTK_MODULES). Its arguments are UTF-8.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8", "ZENITY_CANCEL=" + strconv.Itoa(exitNo), "ZENITY_ESC=" + strconv.Itoa(exitClosed)}
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
		"XDG_CURRENT_DESKTOP", "DBUS_SESSION_BUS_ADDRESS", "HOME", "GTK_THEME", "GDK_SCALE", "GDK_DPI_SCALE"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// maxAnswer is longer than any PIN.
const maxAnswer = 256

// run shows one window and returns what zenity printed, without the line break. It returns errNo
// for the second button and crs.ErrCancelled for Esc and the closed window. Other users of the
// computer can read the arguments: host and holder's name are in them, a codice fiscale and what
// is typed never.
func (w Windows) run(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	program, err := w.usable()
	if err != nil {
		return nil, err
	}
	// The window must go when this program is killed. The kernel signals that at the end of the
	// thread that started the child, hence the lock.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	cmd.Env = environment()
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(stdin)
	var stderr tail
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}

	// Not io.ReadAll nor a bytes.Buffer: they leave copies of a PIN behind when they grow.
	buf := make([]byte, maxAnswer)
	n, _ := io.ReadFull(stdout, buf)
	if n == maxAnswer {
		cmd.Process.Kill() // no real answer is that long
	}
	err = cmd.Wait()

	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil || n == maxAnswer:
		return bytes.TrimSuffix(buf[:n], []byte("\n")), nil
	case errors.As(err, &exit) && exit.ExitCode() == exitNo:
		err = errNo
	case errors.As(err, &exit) && exit.ExitCode() == exitClosed:
		err = crs.ErrCancelled
	case strings.Contains(string(stderr), "cannot open display"):
		err = ErrNoDisplay
	default:
		err = fmt.Errorf("the window of %s ended: %w (%q)", w.program(), err, string(stderr))
	}
	clear(buf)
	return nil, err
}

// tail keeps the end of a program's error output.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	const most = 300
	*t = append(*t, p...)
	if len(*t) > most {
		*t = (*t)[len(*t)-most:]
	}
	return len(p), nil
}

// plain is the text of an entry: no markup, but zenity interprets \n and other escapes, and an
// underscore would underline the next letter.
func plain(t catalog.Text) string {
	return strings.NewReplacer(`\`, `\\`, "_", "__").Replace(t.String())
}

// manyLines is more than fits in a window of the usual width, on a screen of 768 lines.
const manyLines = 32

// markup is the text of the other dialogs: all of it literal, the site large. A long text gets a
// wide window, so that the answers at its end are visible.
func markup(t catalog.Text) string {
	if s := markupWithin(t, catalog.Width); strings.Count(s, "\n") < manyLines {
		return s
	}
	return markupWithin(t, catalog.Width*4/3)
}

func markupWithin(t catalog.Text, width int) string {
	literal := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `\`, `\\`)
	var parts []string
	if t.Before != "" {
		parts = append(parts, literal.Replace(catalog.Wrap(t.Before, width)))
	}
	if t.Site != "" {
		size := "x-large"
		if len(t.Site) > catalog.SiteWidth {
			size = "large" // such a name must not make the window bigger
		}
		parts = append(parts, `<span size="`+size+`" weight="bold">`+literal.Replace(catalog.WrapHost(t.Site))+`</span>`)
	}
	if t.After != "" {
		parts = append(parts, literal.Replace(catalog.Wrap(t.After, width)))
	}
	return strings.Join(parts, "\n\n")
}
