package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/dialog"
	"github.com/crs-bridge/crs/internal/ipc"
	"github.com/crs-bridge/crs/internal/state"
	"github.com/crs-bridge/crs/tray"
)

// showTray is the icon with its menu. It opens no card: the service does, and shows its dialogs
// here.
func showTray(ctx context.Context, args []string) error {
	f := flags("tray")
	level := f.String("log", "warn", catalog.Say("flag.log"))
	if _, err := parse(f, args, 0, 0); err != nil {
		return err
	}
	log, err := newLog(*level)
	if err != nil {
		return usageError{err}
	}
	unlock, err := state.LockTray()
	if errors.Is(err, state.ErrTrayRuns) {
		return sentence("tray.running")
	} else if err != nil {
		return err
	}
	defer unlock()

	var screen dialog.Screen = dialog.Windows{}
	link := &ipc.Link{Screen: screen, Log: log}
	if err := (dialog.Windows{}).Usable(); err != nil {
		log.Warn("no dialogs can be shown", "reason", err)
		link.Screen = nil
	}
	ctx, stop := context.WithCancel(ctx)
	linked := make(chan error, 1)
	go func() { linked <- link.Run(ctx) }()
	icon := &tray.Tray{
		Service:      link,
		Screen:       screen,
		Diagnose:     diagnose,
		StartService: func() error { return startService(ctx, link) },
		Language: func() string {
			config, _ := state.LoadConfig() // a failure was logged
			return config.Language
		},
		SetLanguage: func(lang string) error { return setLanguage(ctx, link, lang, log) },
		Log:         log,
	}
	if err = icon.Run(ctx); err != nil {
		err = sentenceError{error: err} // a sentence already
	}
	stop()
	return errors.Join(err, <-linked)
}

// setLanguage keeps the user's choice of a language, here and in the service.
func setLanguage(ctx context.Context, link *ipc.Link, lang string, log *slog.Logger) error {
	if err := state.ChangeConfig(func(c *state.Config) { c.Language = lang }); err != nil {
		return err
	}
	catalog.SetLanguage(lang)
	if err := link.Refresh(ctx); err != nil && !errors.Is(err, ipc.ErrNoService) {
		log.Warn("the service keeps its language", "reason", err)
	}
	return nil
}

// startTime is how long a service may take to answer.
const startTime = 10 * time.Second

// startService starts the service in the background, where it outlives this program, and returns
// when it answers. Its log goes to a file, for the case that it does not.
func startService(ctx context.Context, link *ipc.Link) error {
	path, ended, err := spawnService()
	if err != nil {
		return err
	}
	for timer := time.After(startTime); ; {
		_, answers, changed := link.Status()
		if answers {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errors.New(lastLine(path))
		case <-timer:
			return errors.Join(errors.New("the service does not answer"), link.Problem())
		}
	}
}

// spawnService starts the service in the background, and returns where it logs and a channel that is
// closed when it ends.
func spawnService(args ...string) (log string, ended <-chan struct{}, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	dir, err := state.RuntimeDir()
	if err != nil {
		return "", nil, err
	}
	log = filepath.Join(dir, "serve.log")
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	service := exec.Command(self, append([]string{"serve"}, args...)...)
	service.Args[0] = os.Args[0]
	service.Stderr = file
	service.SysProcAttr = onItsOwn()
	if err := service.Start(); err != nil {
		return "", nil, err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		service.Wait()
	}()
	return log, gone, nil
}

// lastLine returns the last line of a log, which says why the program ended.
func lastLine(path string) string {
	b, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "crs: ")
}
