package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// session gives this test the variables of a session of one user; "" leaves them unset.
func session(t *testing.T, home, runtimeDir, stateHome string) {
	t.Helper()
	t.Setenv("HOME", home)
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	t.Setenv("XDG_STATE_HOME", stateHome)
}

// noSessions hides the session directories of the user who runs this test.
func noSessions(t *testing.T) {
	t.Helper()
	was := testOnlySessions
	testOnlySessions = t.TempDir()
	t.Cleanup(func() { testOnlySessions = was })
}

// TestOneService: a user has one service and one tray, in whatever sessions they are started, and
// each session finds the service.
func TestOneService(t *testing.T) {
	noSessions(t)
	home, run, state := t.TempDir(), t.TempDir(), t.TempDir()
	sessions := map[string]func(*testing.T){
		"desktop":          func(t *testing.T) { session(t, home, run, "") },
		"cron":             func(t *testing.T) { session(t, home, "", "") },
		"confined browser": func(t *testing.T) { session(t, home, t.TempDir(), "") },
		"relative":         func(t *testing.T) { session(t, home, "run", "state") },
		"other state":      func(t *testing.T) { session(t, home, "", state) },
		"both":             func(t *testing.T) { session(t, home, run, state) },
	}
	for first, begin := range sessions {
		for second, enter := range sessions {
			t.Run(first+", "+second, func(t *testing.T) {
				begin(t)
				unlock, err := LockService()
				if err != nil {
					t.Fatal(err)
				}
				unlockTray, err := LockTray()
				if err != nil {
					t.Fatal(err)
				}
				at, err := RuntimeDir()
				if err != nil {
					t.Fatal(err)
				}
				enter(t)
				if _, err := LockService(); !errors.Is(err, ErrServiceRuns) {
					t.Errorf("a second one: %v", err)
				}
				if _, err := LockTray(); !errors.Is(err, ErrTrayRuns) {
					t.Errorf("a second tray: %v", err)
				}
				if dirs := ServiceDirs(); !slices.Contains(dirs, at) {
					t.Errorf("its sockets are in %s, and looked for in %q", at, dirs)
				}
				unlock()
				unlockTray()
				again, err := LockService()
				if err != nil {
					t.Fatalf("after the first: %v", err)
				}
				again()
			})
		}
	}
	t.Run("another user", func(t *testing.T) {
		sessions["desktop"](t)
		unlock, err := LockService()
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		session(t, t.TempDir(), t.TempDir(), "")
		other, err := LockService()
		if err != nil {
			t.Fatal(err)
		}
		other()
	})
}

// TestOlderService: earlier versions locked the session's directory alone.
func TestOlderService(t *testing.T) {
	noSessions(t)
	older := func(t *testing.T, dir string) {
		t.Helper()
		if err := makePrivate(dir); err != nil {
			t.Fatal(err)
		}
		lock, err := os.OpenFile(filepath.Join(dir, "serve.lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			err = tryLock(lock)
		}
		if err != nil {
			t.Fatalf("not locked: %v", err)
		}
		t.Cleanup(func() { lock.Close() })
	}
	t.Run("this session", func(t *testing.T) {
		session(t, t.TempDir(), t.TempDir(), "")
		older(t, os.Getenv("XDG_RUNTIME_DIR")+"/crs")
		if _, err := LockService(); !errors.Is(err, ErrServiceRuns) {
			t.Error(err)
		}
	})
	t.Run("of systemd, from cron", func(t *testing.T) {
		session(t, t.TempDir(), "", "")
		older(t, filepath.Join(testOnlySessions, strconv.Itoa(os.Geteuid()), "crs"))
		if _, err := LockService(); !errors.Is(err, ErrServiceRuns) {
			t.Error(err)
		}
	})
	t.Run("without a session", func(t *testing.T) {
		session(t, t.TempDir(), "", "")
		older(t, os.Getenv("HOME")+"/.local/state/crs/run")
		session(t, os.Getenv("HOME"), t.TempDir(), "")
		if _, err := LockService(); !errors.Is(err, ErrServiceRuns) {
			t.Error(err)
		}
	})
}

// TestServiceDirsAreOwn: what says where a service is leads to nothing that others could have made.
func TestServiceDirsAreOwn(t *testing.T) {
	noSessions(t)
	home := t.TempDir()
	session(t, home, "", "")
	unlock, err := LockService()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	own, open, target := t.TempDir(), t.TempDir(), t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Chmod(own, 0o700), os.Chmod(open, 0o770), os.Chmod(target, 0o700), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	foreign := "/etc"
	if os.Getuid() == 0 {
		foreign = t.TempDir()
		if err := errors.Join(os.Chmod(foreign, 0o700), os.Chown(foreign, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		says string
		want bool
	}{
		"own": {own, true}, "open to others": {open, false}, "a link": {link, false}, "another user's": {foreign, false},
		"relative": {"run", false}, "nothing": {"", false}, "gone": {own + "/gone", false}, "a line": {own + "\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := (file{home + "/.local/state/crs/run", servedFrom}).write([]byte(test.says)); err != nil {
				t.Fatal(err)
			}
			if found := slices.Contains(ServiceDirs(), test.says); found != test.want {
				t.Errorf("%q", ServiceDirs())
			}
		})
	}
}

// TestHomeThatCannotBeWritten: the service runs where the session alone can be written to, and not
// where there is no place for its sockets.
func TestHomeThatCannotBeWritten(t *testing.T) {
	noSessions(t)
	for _, home := range []string{"/proc/nowhere", ""} {
		t.Run(home, func(t *testing.T) {
			session(t, home, t.TempDir(), "")
			unlock, err := LockService()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := LockService(); !errors.Is(err, ErrServiceRuns) {
				t.Errorf("a second one: %v", err)
			}
			unlock()
			session(t, home, "", "")
			if _, err := LockService(); err == nil || errors.Is(err, ErrServiceRuns) {
				t.Errorf("without a session: %v", err)
			}
		})
	}
}

// TestSharedHome: a home that several computers share, as in a school, has a service on each of them.
func TestSharedHome(t *testing.T) {
	noSessions(t)
	was := testOnlyComputer
	t.Cleanup(func() { testOnlyComputer = was })
	on := func(computer string) {
		testOnlyComputer = filepath.Join(t.TempDir(), computer)
		if err := os.WriteFile(testOnlyComputer, []byte(computer+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	locks := map[string]struct {
		lock  func() (func(), error)
		taken error
	}{"service": {LockService, ErrServiceRuns}, "tray": {LockTray, ErrTrayRuns}}
	for name, test := range locks {
		t.Run(name, func(t *testing.T) {
			on("one")
			session(t, home, t.TempDir(), "")
			unlockOne, err := test.lock()
			if err != nil {
				t.Fatal(err)
			}
			defer unlockOne()

			on("two")
			run := t.TempDir()
			session(t, home, run, "")
			unlockTwo, err := test.lock()
			if err != nil {
				t.Fatalf("on another computer: %v", err)
			}
			if _, err := test.lock(); !errors.Is(err, test.taken) {
				t.Errorf("a second one there: %v", err)
			}
			unlockTwo()

			on("one")
			session(t, home, t.TempDir(), "")
			if _, err := test.lock(); !errors.Is(err, test.taken) {
				t.Errorf("a second one on the first: %v", err)
			}
			unlockOne()
			on("two")
			again, err := test.lock()
			if err != nil {
				t.Fatalf("when the first computer is off: %v", err)
			}
			again()
		})
	}
}

// TestLookAtTheLock: doctor, which looks whether a service runs, keeps none from starting.
func TestLookAtTheLock(t *testing.T) {
	noSessions(t)
	session(t, t.TempDir(), t.TempDir(), "")
	looked, err := lock("serve.lock", ErrServiceRuns)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(lookTime/4, looked)
	unlock, err := LockService()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
