package bridge

import (
	"cmp"
	"time"
)

// Limits bound what a client may ask of the bridge. A zero field means its default.
type Limits struct {
	MessageBytes int           // size of a message: 64 KiB
	MessageRate  int           // messages a second and connection: 10
	MessageBurst int           // messages at once before the rate counts: 50
	MessageWait  time.Duration // how long messages above the rate are held back: 1 s

	OriginConnections int // connections of one origin: 4
	Connections       int // connections in all: 64

	Handshake time.Duration // from connecting to the upgrade: 5 s
	Idle      time.Duration // connection without a message: 10 min
	Ping      time.Duration // between two pings: 30 s

	Login time.Duration // a login, from request to reply: 5 min
	Input time.Duration // one dialog without an answer: 2 min

	Question   time.Duration // from one first-time question to the next: 1 min
	Dismissals int           // dismissals by the user that mute a site: 3
	Mute       time.Duration // dismissals are counted, and a site is mute, for: 10 min
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MessageBytes: cmp.Or(l.MessageBytes, 64<<10),
		MessageRate:  cmp.Or(l.MessageRate, 10),
		MessageBurst: cmp.Or(l.MessageBurst, 50),
		MessageWait:  cmp.Or(l.MessageWait, time.Second),

		OriginConnections: cmp.Or(l.OriginConnections, 4),
		Connections:       cmp.Or(l.Connections, 64),

		Handshake: cmp.Or(l.Handshake, 5*time.Second),
		Idle:      cmp.Or(l.Idle, 10*time.Minute),
		Ping:      cmp.Or(l.Ping, 30*time.Second),

		Login: cmp.Or(l.Login, 5*time.Minute),
		Input: cmp.Or(l.Input, 2*time.Minute),

		Question:   cmp.Or(l.Question, time.Minute),
		Dismissals: cmp.Or(l.Dismissals, 3),
		Mute:       cmp.Or(l.Mute, 10*time.Minute),
	}
}
