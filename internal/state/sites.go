package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/crs-bridge/crs"
)

// Sites is the user's list of sites, in the file sites.json of Dir. It is safe for concurrent
// use, by several programs too, and implements bridge.Sites.
//
// If the file is damaged every method says so and none changes it: an empty list in its place would
// forget which sites are blocked.
type Sites struct {
	Dir string

	mu   sync.Mutex
	seen fs.FileInfo // of the file that list was read from
	list map[crs.Origin]crs.SiteState
}

// Site is one entry of the list.
type Site struct {
	Origin string        `json:"origin"`
	State  crs.SiteState `json:"state"`
}

const maxSites = 10_000

// sitesFile is the content of sites.json.
type sitesFile struct {
	Version int                      `json:"version"`
	Sites   map[string]crs.SiteState `json:"sites"`
}

// State returns what the user decided about a site.
func (s *Sites) State(o crs.Origin) (crs.SiteState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return "", err
	}
	return s.list[o], nil
}

// List returns the sites that the user decided about, in alphabetical order.
func (s *Sites) List() ([]Site, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, err
	}
	list := make([]Site, 0, len(s.list))
	for o, state := range s.list {
		list = append(list, Site{o.String(), state})
	}
	slices.SortFunc(list, func(a, b Site) int { return strings.Compare(a.Origin, b.Origin) })
	return list, nil
}

// Allow records that a site may ask, because the user said so to a question of its own. It is an
// error if the user has blocked it meanwhile: only Set undoes that, not a login.
func (s *Sites) Allow(o crs.Origin) error {
	return s.change(o, crs.SiteAllowed, func(was crs.SiteState) error {
		if was == crs.SiteBlocked {
			return fmt.Errorf("%s is blocked: `crs sites forget %s` undoes that", o, o)
		}
		return nil
	})
}

// ErrNoOrigin is the error of Set for a name that is not the origin of a site.
var ErrNoOrigin = errors.New("not the origin of a site")

// Set makes a site allowed, blocked, or, for crs.SiteUnknown, forgotten, overriding earlier
// decisions. A listed site that could no longer be added can still be blocked and forgotten.
func (s *Sites) Set(name string, now crs.SiteState) error {
	if now != crs.SiteUnknown && now != crs.SiteAllowed && now != crs.SiteBlocked {
		return crs.ErrInvalidRequest
	}
	o, err := crs.ParseOrigin(name)
	if err != nil {
		if now == crs.SiteAllowed {
			return ErrNoOrigin
		}
		if o, err = s.listed(name); err != nil {
			return err
		}
	}
	return s.change(o, now, func(crs.SiteState) error { return nil })
}

func (s *Sites) file() file { return file{s.Dir, "sites.json"} }

// refresh rereads the file if it is not the one that was read last.
func (s *Sites) refresh() error {
	info, err := os.Stat(s.file().path())
	if err == nil && s.seen != nil && os.SameFile(info, s.seen) &&
		info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.read()
}

func (s *Sites) read() error {
	s.seen, s.list = nil, nil
	b, info, err := s.file().read()
	if err != nil {
		return err
	}
	list := map[crs.Origin]crs.SiteState{}
	if info != nil {
		if list, err = parseSites(b); err != nil {
			return fmt.Errorf("%s is damaged: %w; repair it, or delete it to start with an empty list", s.file().path(), err)
		}
	}
	s.seen, s.list = info, list
	return nil
}

// listed returns the site of the list with the given name.
func (s *Sites) listed(name string) (crs.Origin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return crs.Origin{}, err
	}
	for o := range s.list {
		if o.String() == name {
			return o, nil
		}
	}
	return crs.Origin{}, ErrNoOrigin
}

// change replaces one entry, if lets accepts its previous state.
func (s *Sites) change(o crs.Origin, now crs.SiteState, lets func(was crs.SiteState) error) error {
	if o.IsZero() {
		return errors.New("no site")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file().change(func() error {
		if err := s.read(); err != nil {
			return err
		}
		was := s.list[o]
		if err := lets(was); err != nil {
			return err
		}
		switch {
		case now == was:
			return nil
		case now == crs.SiteUnknown:
			delete(s.list, o)
		case len(s.list) >= maxSites && was == crs.SiteUnknown:
			return fmt.Errorf("the list holds %d sites already", len(s.list))
		default:
			s.list[o] = now
		}
		err := s.file().write(encodeSites(s.list))
		s.seen = nil // reread what is there now
		return err
	})
}

// parseSites accepts what encodeSites writes, in any layout. Duplicate names are an error: one of
// the two might say that a site is blocked.
func parseSites(b []byte) (map[crs.Origin]crs.SiteState, error) {
	var f sitesFile
	if err := json.Unmarshal(b, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("it is not JSON of the right shape")
	}
	if f.Version != 1 || f.Sites == nil {
		return nil, fmt.Errorf("it has no sites of version 1")
	}
	if len(f.Sites) > maxSites {
		return nil, fmt.Errorf("it holds %d sites, at most %d fit", len(f.Sites), maxSites)
	}
	list := make(map[crs.Origin]crs.SiteState, len(f.Sites))
	for name, state := range f.Sites {
		o, err := parseOrigin(name)
		if err != nil {
			return nil, err
		}
		if state != crs.SiteAllowed && state != crs.SiteBlocked {
			return nil, fmt.Errorf("%q is neither allowed nor blocked", name)
		}
		list[o] = state
	}
	return list, nil
}

func encodeSites(list map[crs.Origin]crs.SiteState) []byte {
	f := sitesFile{Version: 1, Sites: map[string]crs.SiteState{}}
	for o, state := range list {
		f.Sites[o.String()] = state
	}
	return encode(f)
}

// parseOrigin also accepts the pages of a developer, on any port: whether they may ask is decided
// elsewhere.
func parseOrigin(s string) (crs.Origin, error) {
	port := 0
	if local, ok := strings.CutPrefix(s, "http://"); ok {
		_, digits, _ := strings.Cut(local, ":")
		port, _ = strconv.Atoi(digits)
	}
	return crs.ParseDeveloperOrigin(s, port)
}
