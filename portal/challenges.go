package portal

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/crs-bridge/crs"
)

// ChallengeStore keeps a challenge that was handed to a browser until the browser comes back
// with a token. A portal with several servers needs one that they share. Each challenge has a key
// of its own, however many a browser has open.
type ChallengeStore interface {
	// Put keeps the challenge under the key for ChallengeLifetime.
	Put(ctx context.Context, key string, c crs.Challenge) error

	// Take returns the challenge under the key and deletes it in the same step: of two calls
	// at once, one gets it. It returns false when there is none, or it is too old.
	Take(ctx context.Context, key string) (crs.Challenge, bool, error)
}

// ChallengeLifetime is how long a citizen has from pressing the button to the token's arrival. The
// bridge may take 20 minutes for a login: the citizen looks for the card, or finds the PIN blocked
// and unblocks it. The extra minute is for the network. A shorter lifetime would refuse, after the
// right PIN, a token that was signed in time.
const ChallengeLifetime = 21 * time.Minute

// Challenges is a ChallengeStore in the memory of one process. The zero value is ready.
type Challenges struct {
	memory memory[crs.Challenge]
	now    func() time.Time // for tests; nil is time.Now
}

// Put implements ChallengeStore.
func (s *Challenges) Put(_ context.Context, key string, c crs.Challenge) error {
	s.memory.put(key, c, s.clock(), ChallengeLifetime)
	return nil
}

// Take implements ChallengeStore.
func (s *Challenges) Take(_ context.Context, key string) (crs.Challenge, bool, error) {
	c, ok := s.memory.take(key, s.clock())
	return c, ok, nil
}

func (s *Challenges) clock() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}

// newChallenge makes 256 random bits.
func newChallenge() crs.Challenge {
	c, err := crs.ParseChallenge(randomText(base64.StdEncoding))
	if err != nil {
		panic(err) // 32 bytes are always a challenge
	}
	return c
}
