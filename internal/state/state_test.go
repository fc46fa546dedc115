package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// childVariable makes the test binary another program: what it does, and in which directory.
const childVariable = "CRS_STATE_TEST"

func TestMain(m *testing.M) {
	if call := os.Getenv(childVariable); call != "" {
		what, dir, _ := strings.Cut(call, ":")
		child(what, dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(what, dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	switch what {
	case "crash 1", "crash 2", "crash 3", "crash 4":
		left := int(what[len(what)-1] - '0')
		testOnlyBeforeRename = func() {
			if left--; left > 0 {
				return
			}
			self, err := os.FindProcess(os.Getpid())
			check(err)
			self.Kill()
			select {} // until it takes effect
		}
		check((&Tries{Dir: dir}).Store("new", crs.PINStatus{Retries: 1}))
		check((&Sites{Dir: dir}).Allow(origin("https://new.example")))
	default:
		sites, tries := &Sites{Dir: dir}, &Tries{Dir: dir}
		for i := range 30 {
			check(sites.Allow(origin(fmt.Sprintf("https://%s-%d.example", what, i))))
			check(tries.Store(fmt.Sprint(what, i), crs.PINStatus{Retries: i % 4}))
		}
	}
}

func start(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+what+":"+dir)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func origin(s string) crs.Origin {
	o, err := crs.ParseOrigin(s)
	if err != nil {
		panic(err)
	}
	return o
}

// states returns the list as one line.
func states(t *testing.T, s *Sites) string {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, site := range list {
		all = append(all, site.Origin+"="+string(site.State))
	}
	return strings.Join(all, " ")
}

func TestSites(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "crs")
	s, other := &Sites{Dir: dir}, &Sites{Dir: dir} // as in another program
	a, b := origin("https://a.example"), origin("https://b.example:8443")
	local, err := crs.ParseDeveloperOrigin("http://localhost:3000", 3000)
	if err != nil {
		t.Fatal(err)
	}
	if state, err := s.State(a); state != crs.SiteUnknown || err != nil {
		t.Errorf("at first: %q, %v", state, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("reading made the directory")
	}
	for i, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return s.Allow(b) }, "https://b.example:8443=allowed"},
		{func() error { return other.Allow(a) }, "https://a.example=allowed https://b.example:8443=allowed"},
		{func() error { return s.Set(a.String(), crs.SiteBlocked) }, "https://a.example=blocked https://b.example:8443=allowed"},
		{func() error { return other.Set(b.String(), crs.SiteUnknown) }, "https://a.example=blocked"},
		{func() error { return other.Set(b.String(), crs.SiteUnknown) }, "https://a.example=blocked"},
		{func() error { return s.Allow(local) }, "http://localhost:3000=allowed https://a.example=blocked"},
		{func() error { return s.Set(local.String(), crs.SiteUnknown) }, "https://a.example=blocked"},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for _, list := range []*Sites{s, other, {Dir: dir}} {
			if got := states(t, list); got != step.want {
				t.Errorf("step %d: %s", i, got)
			}
		}
	}
	if err := s.Allow(a); err == nil || !strings.Contains(err.Error(), "crs sites forget https://a.example") {
		t.Errorf("allowing a blocked site: %v", err)
	}
	if state, _ := other.State(a); state != crs.SiteBlocked {
		t.Errorf("a blocked site became %q", state)
	}
	if s.Allow(crs.Origin{}) == nil {
		t.Error("the zero origin is allowed")
	}
	if (&Sites{}).Allow(a) == nil {
		t.Error("writes without a directory")
	}
	private(t, filepath.Dir(dir))
}

// TestSetSites: the user's own decision overrides earlier ones. What is no origin can only be
// blocked or forgotten, and only if it stands in the list.
func TestSetSites(t *testing.T) {
	t.Parallel()
	const site, local = "https://a.example", "http://localhost:3000"
	all := []crs.SiteState{crs.SiteUnknown, crs.SiteAllowed, crs.SiteBlocked}
	for _, name := range []string{site, local} {
		for _, before := range all {
			for _, now := range all {
				t.Run(fmt.Sprintf("%s %q then %q", name, before, now), func(t *testing.T) {
					s := &Sites{Dir: t.TempDir()}
					o, err := parseOrigin(name)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.change(o, before, func(crs.SiteState) error { return nil }); err != nil {
						t.Fatal(err)
					}
					err = s.Set(name, now)
					if name == local && (before == crs.SiteUnknown || now == crs.SiteAllowed) {
						now = before
						if !errors.Is(err, ErrNoOrigin) {
							t.Errorf("a developer's page that is not in the list, or is to be allowed: %v", err)
						}
					} else if err != nil {
						t.Error(err)
					}
					if got, err := s.State(o); got != now || err != nil {
						t.Errorf("%q %v", got, err)
					}
				})
			}
		}
	}
	s := &Sites{Dir: t.TempDir()}
	for _, name := range []string{"", "a.example", "http://a.example", "https://A.example", "https://a.example/", "http://localhost:80"} {
		if err := s.Set(name, crs.SiteBlocked); !errors.Is(err, ErrNoOrigin) {
			t.Errorf("Set(%q) = %v", name, err)
		}
	}
	if err := s.Set(site, "perhaps"); crs.CodeOf(err) != crs.ErrInvalidRequest {
		t.Errorf("an unknown state: %v", err)
	}
}

// private checks that nobody else can read anything in a directory.
func private(t *testing.T, dir string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		info, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
}

// A list that cannot be read stops everything, and stays as it is.
func TestDamagedSites(t *testing.T) {
	t.Parallel()
	a := origin("https://a.example")
	for name, content := range map[string]string{
		"empty":         "",
		"zeros":         "\x00\x00\x00\x00",
		"cut off":       `{"version":1,"sites":{"https://a.example":"blo`,
		"no version":    `{"sites":{}}`,
		"later version": `{"version":2,"sites":{}}`,
		"no sites":      `{"version":1}`,
		"null":          `{"version":1,"sites":null}`,
		"twice":         `{"version":1,"sites":{"https://a.example":"blocked","https://a.example":"allowed"}}`,
		"odd state":     `{"version":1,"sites":{"https://a.example":"perhaps"}}`,
		"odd origin":    `{"version":1,"sites":{"https://A.example":"blocked"}}`,
		"http":          `{"version":1,"sites":{"http://a.example":"allowed"}}`,
		"more":          `{"version":1,"sites":{},"x":1}`,
		"twice a file":  `{"version":1,"sites":{}}{"version":1,"sites":{}}`,
		"too long":      `{"version":1,"sites":{}}` + strings.Repeat(" ", maxFile),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "sites.json")
			s := &Sites{Dir: dir}
			if err := s.Set(a.String(), crs.SiteBlocked); err != nil { // read well, before
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			state, err := s.State(a)
			if err == nil || state == crs.SiteAllowed || !strings.Contains(err.Error(), path) {
				t.Errorf("%q, %v", state, err)
			}
			if s.Allow(a) == nil || s.Set(a.String(), crs.SiteBlocked) == nil || s.Set(a.String(), crs.SiteUnknown) == nil {
				t.Error("was changed")
			}
			if now, _ := os.ReadFile(path); string(now) != content {
				t.Error("did not stay as it was")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Allow(a); err != nil {
				t.Errorf("after deleting it: %v", err)
			}
		})
	}
}

// Somebody edits the list by hand: "allowed" and "blocked" are of one length, and an editor may
// keep the file or its time.
func TestEditedSites(t *testing.T) {
	t.Parallel()
	s := &Sites{Dir: t.TempDir()}
	path := s.file().path()
	if err := s.Allow(origin("https://a.example")); err != nil {
		t.Fatal(err)
	}
	before := states(t, s)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, content := range []string{
		`{"version":1,"sites":{"https://a.example":"blocked"}}`,
		`{"version":1,"sites":{"https://a.example":"allowed"}}`,
		`{"version":1,"sites":{}}`,
	} {
		when := info.ModTime().Add(time.Duration(min(i, 1)) * time.Second) // the last two are of one time
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
		if now := states(t, s); now == before {
			t.Errorf("edit %d is not seen: %s", i, now)
		} else {
			before = now
		}
	}
}

// A disk that is full: the list stays as it was, and nobody is told otherwise.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil && runtime.GOOS != "linux" {
		return // only Linux has it
	}
	s := &Sites{Dir: t.TempDir()}
	a, b := origin("https://a.example"), origin("https://b.example")
	if err := s.Set(a.String(), crs.SiteBlocked); err != nil {
		t.Fatal(err)
	}
	before := states(t, s)
	if err := os.Symlink(full, s.file().path()+".new"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"allow":  func() error { return s.Allow(b) },
		"forget": func() error { return s.Set(a.String(), crs.SiteUnknown) },
	} {
		t.Run(name, func(t *testing.T) {
			if change() == nil {
				t.Error("no error")
			}
			if now := states(t, s); now != before {
				t.Errorf("%s", now)
			}
		})
	}
}

// What a crash left behind is longer than what is written over it.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	s := &Sites{Dir: t.TempDir()}
	if err := os.WriteFile(s.file().path()+".new", make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(origin("https://a.example").String(), crs.SiteBlocked); err != nil {
		t.Fatal(err)
	}
	if now := states(t, s); now != "https://a.example=blocked" {
		t.Error(now)
	}
}

// For the race detector.
func TestSitesConcurrently(t *testing.T) {
	t.Parallel()
	s := &Sites{Dir: t.TempDir()}
	var group sync.WaitGroup
	for i := range 4 {
		o := origin(fmt.Sprintf("https://s%d.example", i))
		group.Go(func() {
			for range 10 {
				_, stateErr := s.State(o)
				_, listErr := s.List()
				if err := errors.Join(stateErr, listErr, s.Allow(o), s.Set(o.String(), crs.SiteUnknown)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestForeignFiles(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		// Only root can give a file away; to anybody else root's own files are foreign.
		if _, _, err := (file{"/etc", "hostname"}).read(); !errors.Is(err, errForeign) {
			t.Error(err)
		}
		if makePrivate("/etc") == nil {
			t.Error("/etc is private")
		}
		return
	}
	dir := t.TempDir()
	s := &Sites{Dir: dir}
	if err := s.Allow(origin("https://a.example")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "sites.json"), 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Sites{Dir: dir}).State(origin("https://a.example")); !errors.Is(err, errForeign) {
		t.Errorf("a foreign file is believed: %v", err)
	}
	tries := &Tries{Dir: dir}
	if err := errors.Join(tries.Store("id", crs.PINStatus{Retries: 1}), os.Chown(filepath.Join(dir, "tries.json"), 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	if _, err := tries.Load("id"); !errors.Is(err, errForeign) {
		t.Errorf("foreign tries are believed: %v", err)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	if makePrivate(foreign) == nil {
		t.Error("another user's directory is private")
	}
}

func TestSitesAreBounded(t *testing.T) {
	t.Parallel()
	s := &Sites{Dir: t.TempDir()}
	full := map[crs.Origin]crs.SiteState{}
	for i := range maxSites {
		full[origin(fmt.Sprintf("https://s%d.example", i))] = crs.SiteAllowed
	}
	if err := s.file().change(func() error { return s.file().write(encodeSites(full)) }); err != nil {
		t.Fatal(err)
	}
	if s.Allow(origin("https://one.more.example")) == nil {
		t.Error("one more is allowed")
	}
	if err := s.Set(origin("https://s5.example").String(), crs.SiteBlocked); err != nil {
		t.Errorf("a known one: %v", err)
	}
	full[origin("https://one.more.example")] = crs.SiteAllowed
	if list, err := parseSites(encodeSites(full)); err == nil {
		t.Errorf("a list of %d is read", len(list))
	}
}

func TestTwoPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var running sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		c := start(t, name, dir)
		running.Go(func() {
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	s := &Sites{Dir: dir}
	finished := make(chan struct{})
	go func() { running.Wait(); close(finished) }()
	for reading := true; reading; {
		select {
		case <-finished:
			reading = false
		default:
			if _, err := s.List(); err != nil { // never half a file
				t.Fatal(err)
			}
			if _, err := (&Tries{Dir: dir}).Load("a0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 90 {
		t.Errorf("%d sites, %v", len(list), err)
	}
	for _, name := range []string{"a", "b", "c"} {
		for i := range 30 {
			if got, err := (&Tries{Dir: dir}).Load(fmt.Sprint(name, i)); got.Retries != i%4 || err != nil {
				t.Errorf("card %s%d: %v, %v", name, i, got, err)
			}
		}
	}
}

// A program that dies before the n-th rename leaves the files as they were, and no lock.
func TestCrashBeforeRename(t *testing.T) {
	t.Parallel()
	for before, name := range []string{"tries.json", "sites.json"} {
		dir := t.TempDir()
		s, tries := &Sites{Dir: dir}, &Tries{Dir: dir}
		old := crs.PINStatus{Retries: 2}
		if err := errors.Join(s.Set(origin("https://old.example").String(), crs.SiteBlocked), tries.Store("old", old)); err != nil {
			t.Fatal(err)
		}
		if err := start(t, fmt.Sprint("crash ", before+1), dir).Wait(); err == nil {
			t.Fatal("the program did not crash")
		}
		if _, err := os.Stat(filepath.Join(dir, name+".new")); err != nil {
			t.Errorf("%s: crashed elsewhere: %v", name, err)
		}
		if got := states(t, &Sites{Dir: dir}); got != "https://old.example=blocked" {
			t.Errorf("%s: %s", name, got)
		}
		if got, err := tries.Load("old"); got != old || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if err := errors.Join(s.Set(origin("https://x.example").String(), crs.SiteBlocked), tries.Store("x", old)); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

// Nor does a crash while a damaged file is replaced make anything known better than it was.
func TestCrashDuringRepair(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 4; n++ { // the damaged file aside, an empty one, a new key, the new status
		dir := t.TempDir()
		tries := &Tries{Dir: dir}
		if err := tries.Store("a", crs.PINStatus{Retries: 1}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "tries.key")); err != nil {
			t.Fatal(err)
		}
		if err := start(t, fmt.Sprint("crash ", n), dir).Wait(); err == nil {
			t.Fatal("the program did not crash")
		}
		if list, err := (&Sites{Dir: dir}).List(); len(list) != 0 || err != nil {
			t.Errorf("%d: crashed elsewhere: %v, %v", n, list, err)
		}
		if got, err := tries.Load("a"); got != worst || err != nil {
			t.Errorf("%d: %v, %v", n, got, err)
		}
	}
}

// Two versions of the list may be of one length and one time.
func TestSameLengthAndTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, other := &Sites{Dir: dir}, &Sites{Dir: dir}
	a := origin("https://a.example")
	path := filepath.Join(dir, "sites.json")
	if err := s.Allow(a); err != nil {
		t.Fatal(err)
	}
	if state, err := s.State(a); state != crs.SiteAllowed || err != nil {
		t.Fatalf("%q, %v", state, err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Set(a.String(), crs.SiteBlocked), os.Chtimes(path, before.ModTime(), before.ModTime())); err != nil {
		t.Fatal(err)
	}
	if state, err := s.State(a); state != crs.SiteBlocked || err != nil {
		t.Errorf("%q, %v", state, err)
	}
}

func TestTries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tries, other := &Tries{Dir: dir}, &Tries{Dir: dir}
	const id = "6030000000000017"
	load := func(want crs.PINStatus) {
		t.Helper()
		for _, each := range []*Tries{tries, other} {
			if got, err := each.Load(id); got != want || err != nil {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		}
	}
	load(crs.UnknownPINStatus)
	if err := tries.Store(id, crs.UnknownPINStatus); err != nil {
		t.Error(err)
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, "tries.[jk]*[ny]")); len(entries) != 0 {
		t.Errorf("forgetting what nobody knew wrote %v", entries)
	}
	for _, s := range []crs.PINStatus{{Retries: 2}, {Retries: 1, Doubtful: true}, {Blocked: true}, {Retries: 0}, {Retries: -1, Doubtful: true}, crs.UnknownPINStatus} {
		if err := other.Store(id, s); err != nil {
			t.Fatal(err)
		}
		load(s)
	}
	if got, _ := tries.Load("another"); got != crs.UnknownPINStatus {
		t.Errorf("another card: %v", got)
	}
	for _, n := range []int{-2, 16} {
		if tries.Store(id, crs.PINStatus{Retries: n}) == nil {
			t.Errorf("%d tries are stored", n)
		}
	}
	private(t, dir)
}

// The files do not reveal which cards were used.
func TestNoCardIDOnDisk(t *testing.T) {
	t.Parallel()
	const id = "6030000000000017"
	var files [2][]byte
	for i := range files {
		dir := t.TempDir()
		if err := (&Tries{Dir: dir}).Store(id, crs.PINStatus{Retries: 2}); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(id)) {
				t.Errorf("%s holds the card's id", e.Name())
			}
			if e.Name() == "tries.json" {
				files[i] = b
			}
		}
	}
	if len(files[0]) == 0 || bytes.Equal(files[0], files[1]) {
		t.Error("a card has the same name on two computers")
	}
}

// What was known of a card cannot get better by damage.
func TestDamagedTries(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(dir string) error{
		"no JSON":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "tries.json"), []byte("{"), 0o600) },
		"empty":     func(dir string) error { return os.Truncate(filepath.Join(dir, "tries.json"), 0) },
		"too long":  func(dir string) error { return os.Truncate(filepath.Join(dir, "tries.json"), maxFile+1) },
		"key gone":  func(dir string) error { return os.Remove(filepath.Join(dir, "tries.key")) },
		"key short": func(dir string) error { return os.Truncate(filepath.Join(dir, "tries.key"), 31) },
		"key long":  func(dir string) error { return os.Truncate(filepath.Join(dir, "tries.key"), maxFile+1) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tries := &Tries{Dir: dir}
			if err := tries.Store("a", crs.PINStatus{Retries: 1}); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			for _, card := range []string{"a", "b"} {
				if got, err := tries.Load(card); got != worst || err != nil || !got.LastTry() {
					t.Errorf("card %s: %v, %v", card, got, err)
				}
			}
			// A card that accepted its PIN is known again; the others are not.
			if err := tries.Store("b", crs.UnknownPINStatus); err != nil {
				t.Errorf("%v", err)
			}
			if got, _ := tries.Load("b"); got != crs.UnknownPINStatus {
				t.Errorf("after a success: %v", got)
			}
			if got, _ := tries.Load("a"); got != worst {
				t.Errorf("the other card: %v", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "tries.json.damaged")); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestParseTries(t *testing.T) {
	t.Parallel()
	card := name([]byte("key"), "id")
	if _, err := parseTries([]byte(`{"version":1,"cards":{"` + card + `":{"retries":15}}}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		`{"version":2,"cards":{}}`, `{"cards":{}}`, `{"version":1}`, `{"version":1,"cards":null}`, `{"version":1,"cards":{},"x":1}`,
		`{"version":1,"cards":{"` + card + `":{"retries":16}}}`,
		`{"version":1,"cards":{"` + card + `":{"retries":-2}}}`,
		`{"version":1,"cards":{"` + card + `":{"retries":2,"x":1}}}`,
		`{"version":1,"cards":{"` + card + `":{"retries":1},"` + card + `":{"retries":3}}}`,
		`{"version":1,"cards":{"` + card[2:] + `":{"retries":2}}}`,
		`{"version":1,"cards":{"` + strings.ToUpper(card) + `":{"retries":2}}}`,
		`{"version":1,"cards":{"6030000000000017":{"retries":2}}}`,
	} {
		if f, err := parseTries([]byte(bad)); err == nil || f.Cards != nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestTriesAreBounded(t *testing.T) {
	t.Parallel()
	tries := &Tries{Dir: t.TempDir()}
	if err := tries.Store("first", crs.PINStatus{Retries: 0}); err != nil {
		t.Fatal(err)
	}
	full := triesFile{Version: 1, Cards: map[string]triesStatus{}}
	for i := range maxCards {
		full.Cards[name([]byte("key"), fmt.Sprint(i))] = triesStatus{Retries: 2}
	}
	if err := tries.file().write(encode(full)); err != nil {
		t.Fatal(err)
	}
	if err := tries.Store("one more", crs.PINStatus{Retries: 2}); err != nil {
		t.Fatal(err)
	}
	if got, err := tries.Load("one more"); got.Retries != 2 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, _ := tries.Load("first"); got != worst {
		t.Errorf("one that had to go: %v", got)
	}
}

func TestLockedByAnother(t *testing.T) {
	t.Parallel()
	s := &Sites{Dir: t.TempDir()}
	a := origin("https://a.example")
	inside, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- s.file().change(func() error { close(inside); <-leave; return nil })
	}()
	<-inside
	if err := (&Sites{Dir: s.Dir}).Allow(a); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("written at the same time: %v", err)
	}
	if _, err := (&Sites{Dir: s.Dir}).State(a); err != nil {
		t.Errorf("reading waits: %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Allow(a); err != nil {
		t.Error(err)
	}
}

func TestDirs(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	check := func(want string, f func() (string, error)) {
		t.Helper()
		if got, err := f(); got != want || err != nil {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	check(home+"/.local/state/crs", Dir)
	check(home+"/.local/state/crs/run", RuntimeDir)
	private(t, home+"/.local/state/crs")
	t.Setenv("XDG_STATE_HOME", "relative")
	check(home+"/.local/state/crs", Dir)
	t.Setenv("XDG_STATE_HOME", home+"/state")
	check(home+"/state/crs", Dir)
	t.Setenv("XDG_RUNTIME_DIR", "relative")
	check(home+"/state/crs/run", RuntimeDir)

	run := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", run)
	check(run+"/crs", RuntimeDir)
	if err := os.Chmod(run+"/crs", 0o777); err != nil {
		t.Fatal(err)
	}
	check(run+"/crs", RuntimeDir)
	private(t, run+"/crs")
	// A link may lead anywhere.
	if err := errors.Join(os.Remove(run+"/crs"), os.Symlink(home, run+"/crs")); err != nil {
		t.Fatal(err)
	}
	check(home+"/state/crs/run", RuntimeDir)
}

func FuzzSites(f *testing.F) {
	f.Add([]byte(`{"version":1,"sites":{"https://a.example":"blocked","https://b.example:8443":"allowed","http://localhost:3000":"allowed"}}`))
	f.Add([]byte(`{"version":1,"sites":{}}`))
	f.Add([]byte(`{"version":1,"sites":{"https://A.example":"blocked"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		list, err := parseSites(in)
		if err != nil {
			if list != nil {
				t.Error("a list and an error")
			}
			return
		}
		again, err := parseSites(encodeSites(list))
		if err != nil || len(again) != len(list) {
			t.Fatalf("written and read again: %v", err)
		}
		for o, state := range list {
			if again[o] != state || state != crs.SiteAllowed && state != crs.SiteBlocked {
				t.Errorf("%s: %q", o, state)
			}
		}
	})
}

func FuzzTries(f *testing.F) {
	card := name([]byte("key"), "id")
	f.Add([]byte(`{"version":1,"cards":{"` + card + `":{"retries":2}}}`))
	f.Add([]byte(`{"version":1,"lost":true,"cards":{"` + card + `":{"retries":-1,"doubtful":true,"blocked":true}}}`))
	f.Add([]byte(`{"version":1,"cards":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := parseTries(in)
		if err != nil {
			if got.Cards != nil {
				t.Error("tries and an error")
			}
			return
		}
		again, err := parseTries(encode(got))
		if err != nil || !bytes.Equal(encode(again), encode(got)) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
