package state

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/crs-bridge/crs"
)

// TestOlderFiles: what the program of commit 37ddd55 wrote, before anything was released, is read
// and can be changed. Its cards were virtual ones: one with a wrong PIN, one that reports no number
// of tries, and one that is blocked.
func TestOlderFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/37ddd55")); err != nil {
		t.Fatal(err)
	}
	t.Run("sites", func(t *testing.T) {
		sites := &Sites{Dir: dir}
		want := map[string]crs.SiteState{
			"https://altro.example:8443": crs.SiteAllowed,
			"https://evil.example":       crs.SiteBlocked,
			"https://portale.example":    crs.SiteAllowed,
		}
		for range 2 {
			list, err := sites.List()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]crs.SiteState{}
			for _, s := range list {
				got[s.Origin] = s.State
			}
			if !maps.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			if err := sites.Set("https://evil.example", crs.SiteUnknown); err != nil {
				t.Fatal(err)
			}
			delete(want, "https://evil.example")
		}
	})
	t.Run("tries", func(t *testing.T) {
		tries := &Tries{Dir: dir}
		want := map[string]crs.PINStatus{
			"6233413465792067": {Retries: 2},
			"6240047517650661": {Retries: 2, Doubtful: true},
			"6132866784080919": {Blocked: true},
			"6000000000000000": crs.UnknownPINStatus,
		}
		for range 2 {
			for card, status := range want {
				if got, err := tries.Load(card); err != nil || got != status {
					t.Errorf("%s: %+v, %v, want %+v", card, got, err, status)
				}
			}
			want["6233413465792067"] = crs.PINStatus{Retries: 1}
			if err := tries.Store("6233413465792067", want["6233413465792067"]); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("config", func(t *testing.T) {
		f := file{dir, "config.json"}
		c, err := f.config()
		if err != nil || c.Language != "en" || !maps.Equal(c.Cards, map[string]string{"pcd 00 01": "module", "Bit4id": "native"}) {
			t.Errorf("%+v, %v", c, err)
		}
	})
	for _, name := range []string{"sites.json", "tries.json"} {
		if _, err := os.Stat(filepath.Join(dir, name+".damaged")); err == nil {
			t.Errorf("%s was taken for damaged", name)
		}
	}
}
