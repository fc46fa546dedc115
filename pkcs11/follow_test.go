package pkcs11

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
)

// TestHowOftenAModuleIsAsked: often while somebody looks or waits for a card, seldom otherwise; and
// only after an event where there are events.
func TestHowOftenAModuleIsAsked(t *testing.T) {
	token := []crs.Reader{{Name: "token"}}
	for name, test := range map[string]struct {
		looked time.Duration // ago
		m      driven
		err    error
		want   time.Duration
	}{
		"somebody looks":                {0, driven{readers: token}, nil, pollSoon},
		"somebody waits for a card":     {waitsLong - time.Second, driven{}, nil, pollSoon},
		"nobody needs another card":     {lookedLong, driven{readers: token}, nil, pollLater},
		"nobody waits as long as that":  {waitsLong, driven{}, nil, pollLater},
		"events tell":                   {0, driven{Module: Module{readers: true}}, nil, 0},
		"it failed, and is asked later": {0, driven{Module: Module{readers: true}}, errors.New("failed"), firstDelay},
	} {
		t.Run(name, func(t *testing.T) {
			test.m.host = &host{}
			tokens := &Tokens{looked: time.Now().Add(-test.looked)}
			if got := tokens.interval(&test.m, test.err); got != test.want {
				t.Errorf("%v, not %v", got, test.want)
			}
		})
	}
}

// TestWhoIsAsked: looking for a card asks the modules without events, once a second; an event asks
// those that look into readers. Only showing what is there asks none.
func TestWhoIsAsked(t *testing.T) {
	usb := &driven{Module: Module{Name: "usb"}, kick: make(chan struct{}, 1)}
	inReaders := &driven{Module: Module{Name: "readers", readers: true}, kick: make(chan struct{}, 1)}
	tokens := &Tokens{modules: []*driven{usb, inReaders}, wake: make(chan struct{}, 1)}
	is := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	check := func(what string, wantUSB, wantReaders, wantScan bool) {
		t.Helper()
		if u, r, s := is(usb.kick), is(inReaders.kick), is(tokens.wake); u != wantUSB || r != wantReaders || s != wantScan {
			t.Errorf("%s: %v %v, a scan %v", what, u, r, s)
		}
	}
	tokens.Seen()
	check("shows", false, false, false)
	tokens.Readers()
	check("looks", true, false, true)
	tokens.scanned = time.Now()
	tokens.Readers()
	check("looks again", false, false, false)
	tokens.looked = time.Now().Add(-2 * time.Second)
	tokens.Readers()
	check("looks later", true, false, false)
	tokens.Refresh(false)
	check("something changed", false, true, false)
	tokens.Refresh(true)
	check("a card that nobody else can use", false, true, true)
}

// TestReading: while a module reads a card that was inserted, it is in sight; not while it is asked
// about what it has read, or could not, before.
func TestReading(t *testing.T) {
	for name, test := range map[string]struct {
		m      driven
		needed bool
		want   bool
	}{
		"a card":                          {driven{Module: Module{readers: true}}, true, true},
		"a card that others can use":      {driven{Module: Module{readers: true}}, false, false},
		"a token":                         {driven{}, true, false},
		"what was read":                   {driven{Module: Module{readers: true}, tokens: []token{}}, true, false},
		"what could not be read":          {driven{Module: Module{readers: true}, err: errors.New("failed")}, true, false},
		"what is read, of another module": {driven{Module: Module{readers: true}, reading: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := test.m
			m.kick = make(chan struct{}, 1)
			tokens := &Tokens{modules: []*driven{&m}}
			_, changed := tokens.Seen()
			before := m.reading
			tokens.Refresh(test.needed)
			readers, _ := tokens.Seen()
			if shown := len(readers) == 1 && readers[0].Reading; shown != test.want {
				t.Errorf("%+v", readers)
			}
			select {
			case <-changed:
				if before == test.want {
					t.Error("announced without a change")
				}
			default:
				if before != test.want {
					t.Error("not announced")
				}
			}
		})
	}
}

// What is not needed any more is not in reading either.
func TestReadInVain(t *testing.T) {
	m := driven{Module: Module{readers: true}, reading: true}
	if tokens := (&Tokens{}); tokens.isAsked(&m) || m.reading {
		t.Errorf("reading %v", m.reading)
	}
}

// TestTakenIn: what a module shows is sorted, and announced if it is something else than before.
func TestTakenIn(t *testing.T) {
	at := func(readers ...string) (tokens []token) {
		for _, name := range readers {
			tokens = append(tokens, token{Reader: name, Certificates: []certificate{{}}})
		}
		return tokens
	}
	a, b := &driven{Module: Module{Name: "a"}}, &driven{Module: Module{Name: "b"}}
	tokens := &Tokens{modules: []*driven{a, b}}
	for _, step := range []struct {
		m         *driven
		tokens    []token
		want      string
		announced bool
	}{
		{a, at("2"), "2", true},
		{a, at("2"), "2", false},
		{b, at("1", "3"), "1 2 3", true},
		{b, at("1"), "1 2", true},
		{b, at("4"), "2 4", true},
		{b, at(""), "2 b", true},
		{b, at("", ""), "2 b b", true},
		{b, nil, "2", true},
		{b, []token{{Reader: "1"}}, "2", false},
	} {
		_, changed := tokens.Seen()
		step.m.tokens = step.tokens
		tokens.take(step.m)
		readers, _ := tokens.Seen()
		var names []string
		for _, r := range readers {
			names = append(names, r.Name)
		}
		announced := false
		select {
		case <-changed:
			announced = true
		default:
		}
		if got := strings.Join(names, " "); got != step.want || announced != step.announced {
			t.Errorf("%q, not %q; announced %v", got, step.want, announced)
		}
	}
	tokens.clear(a)
	if readers, _ := tokens.Seen(); len(readers) != 0 || a.tokens != nil {
		t.Errorf("after it was cleared: %+v", readers)
	}
}
