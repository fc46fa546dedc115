package state

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crs-bridge/crs"
)

// Tries keeps an upper bound of the tries that PINs have left, in the file tries.json of Dir.
// Cards are named by HMAC-SHA256 of their id under the key in tries.key: neither file reveals which
// cards were used here. It is safe for concurrent use, by several programs too, and implements
// tries.Store.
//
// If the file is damaged, the worst is assumed: each card has one try left until it accepts a PIN.
// The damaged file is kept as tries.json.damaged.
type Tries struct {
	Dir string
}

// triesFile is the content of tries.json.
type triesFile struct {
	Version int  `json:"version"`
	Lost    bool `json:"lost,omitzero"` // the data of cards that are not listed were lost

	Cards map[string]triesStatus `json:"cards"`
}

type triesStatus struct {
	Retries  int  `json:"retries"`
	Doubtful bool `json:"doubtful,omitzero"`
	Blocked  bool `json:"blocked,omitzero"`
}

const (
	maxCards   = 10_000
	keyLen     = 32
	maxRetries = 15 // the most that a status word can say
)

// worst is the status of a card whose data may have been lost.
var worst = crs.PINStatus{Retries: 1, Doubtful: true}

// Load returns what is known about a card's PIN, crs.UnknownPINStatus if that is nothing.
func (t *Tries) Load(cardID string) (crs.PINStatus, error) {
	f, key, _, err := t.read()
	if err != nil {
		return crs.PINStatus{}, err
	}
	if s, ok := f.Cards[name(key, cardID)]; ok {
		return crs.PINStatus(s), nil
	}
	if f.Lost {
		return worst, nil
	}
	return crs.UnknownPINStatus, nil
}

// Store keeps what is known about a card's PIN. crs.UnknownPINStatus forgets the card.
func (t *Tries) Store(cardID string, s crs.PINStatus) error {
	if s.Retries < -1 || s.Retries > maxRetries {
		return fmt.Errorf("impossible number of tries: %d", s.Retries)
	}
	return t.file().change(func() error {
		f, key, damaged, err := t.read()
		if err != nil {
			return err
		}
		// After a crash between any two of these writes, Load returns either the worst or what it
		// returned before.
		if damaged != nil {
			if err := (file{t.Dir, "tries.json.damaged"}).write(damaged); err != nil {
				return err
			}
			if err := t.file().write(encode(f)); err != nil {
				return err
			}
		}
		forget := s == crs.UnknownPINStatus && !f.Lost
		if key == nil {
			if forget {
				return nil
			}
			key = make([]byte, keyLen)
			rand.Read(key)
			if err := t.keyFile().write(key); err != nil {
				return err
			}
		}
		card := name(key, cardID)
		if _, known := f.Cards[card]; !known && len(f.Cards) >= maxCards {
			f = lost()
		}
		if forget {
			delete(f.Cards, card)
		} else {
			f.Cards[card] = triesStatus(s)
		}
		return t.file().write(encode(f))
	})
}

func (t *Tries) file() file    { return file{t.Dir, "tries.json"} }
func (t *Tries) keyFile() file { return file{t.Dir, "tries.key"} }

func lost() triesFile {
	return triesFile{Version: 1, Lost: true, Cards: map[string]triesStatus{}}
}

// read returns what is known; the key, nil if there is none; and the content of a tries.json
// that cannot be used, because it is damaged or its key is gone.
func (t *Tries) read() (f triesFile, key, damaged []byte, err error) {
	b, info, err := t.file().read()
	if err != nil && !errors.Is(err, errTooLong) {
		return f, nil, nil, err
	}
	key, _, err = t.keyFile().read()
	if err != nil && !errors.Is(err, errTooLong) {
		return f, nil, nil, err
	}
	if len(key) != keyLen {
		key = nil
	}
	if info == nil {
		return triesFile{Version: 1, Cards: map[string]triesStatus{}}, key, nil, nil
	}
	f, err = parseTries(b)
	if err != nil || key == nil && len(f.Cards) > 0 {
		return lost(), key, append([]byte{}, b...), nil
	}
	return f, key, nil, nil
}

func parseTries(b []byte) (triesFile, error) {
	var f triesFile
	if err := json.Unmarshal(b, &f, json.RejectUnknownMembers(true)); err != nil {
		return triesFile{}, errors.New("not JSON of the right shape")
	}
	if f.Version != 1 || f.Cards == nil || len(f.Cards) > maxCards {
		return triesFile{}, errors.New("no tries of version 1")
	}
	for card, s := range f.Cards {
		if b, err := hex.DecodeString(card); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != card {
			return triesFile{}, errors.New("bad name of a card")
		}
		if s.Retries < -1 || s.Retries > maxRetries {
			return triesFile{}, errors.New("impossible number of tries")
		}
	}
	return f, nil
}

// name is the name of a card on the disk.
func name(key []byte, cardID string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(cardID))
	return hex.EncodeToString(mac.Sum(nil))
}

// encode writes readable JSON, the same for the same content.
func encode(v any) []byte {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		panic(err) // strings and numbers can be written
	}
	return append(b, '\n')
}
