package main

import (
	"os"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/scard"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// otherProgram has the card of a reader for itself from hold to release.
type otherProgram struct{ hold, release func() }

// otherPrograms are the two ways to have a card for oneself.
var otherPrograms = map[string]func(t *testing.T, reader string) otherProgram{
	"in a transaction": func(t *testing.T, reader string) otherProgram {
		ctx, card := connect(t, reader, scard.ShareShared)
		t.Cleanup(func() { scard.Close(ctx, card, false) })
		return otherProgram{
			func() {
				err := card.BeginTransaction()
				if err == scard.ErrResetCard { // after a login
					if err = card.Reconnect(scard.ShareShared, scard.ProtocolAny, scard.LeaveCard); err == nil {
						err = card.BeginTransaction()
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			func() {
				if err := card.EndTransaction(scard.LeaveCard); err != nil {
					t.Fatal(err)
				}
			},
		}
	},
	"exclusively": func(t *testing.T, reader string) otherProgram {
		var ctx *scard.Context
		var card *scard.Card
		return otherProgram{
			func() { ctx, card = connect(t, reader, scard.ShareExclusive) },
			func() { scard.Close(ctx, card, false) },
		}
	},
}

func connect(t *testing.T, reader string, mode scard.ShareMode) (*scard.Context, *scard.Card) {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	card, err := ctx.Connect(reader, mode, scard.ProtocolAny)
	if err != nil {
		ctx.Release()
		t.Fatal(err)
	}
	return ctx, card
}

// A card that another program is using is waited for by each command that needs it, and its user told so
// once; nothing is sent to it meanwhile, and a PIN that was typed is sent once.
func TestACardInUseIsWaitedFor(t *testing.T) {
	h := citizen.NewHome(t)
	card := citizen.Insert(t, virtualcard.Config{PIN: citizen.PIN})
	const waits = "Un altro programma sta usando la carta: si aspetta"
	for how, other := range otherPrograms {
		t.Run(how, func(t *testing.T) {
			other := other(t, card.Reader)
			for _, test := range []struct {
				args   []string
				typed  bool // the PIN is typed before the card is held
				answer string
				says   string
			}{
				{args: []string{"card", "info"}, says: virtualcard.Shared(2048).CardID},
				{args: []string{"card", "certificate"}, says: "BEGIN CERTIFICATE"},
				{args: []string{"card", "personal-data"}, says: virtualcard.Shared(2048).Data.CodiceFiscale},
				{args: []string{"pin", "verify"}, answer: citizen.PIN, says: "PIN"},
				{args: []string{"pin", "verify"}, typed: true, answer: citizen.PIN, says: "PIN"},
			} {
				card.Forget()
				sent := 0
				hold := func() {
					other.hold()
					sent = len(card.Log())
				}
				if !test.typed {
					hold()
				}
				p := h.Start(t, "crs", test.args...)
				if test.typed {
					p.Next(citizen.PinAsked)
					hold()
					p.Answer(test.answer)
				}
				p.Next(waits)
				if n := len(card.Log()); n != sent || card.Secrets() != 0 {
					t.Errorf("%q: %d commands, %d secrets to a card in use", test.args, n-sent, card.Secrets())
				}
				other.release()
				if test.answer != "" && !test.typed {
					p.Next(citizen.PinAsked)
					p.Answer(test.answer)
				}
				await.That(t, "the program ends", func() bool {
					select {
					case <-p.Ended:
						return true
					default:
						return false
					}
				})
				secrets := 0
				if test.answer != "" {
					secrets = 1
				}
				if p.Code != 0 || !strings.Contains(p.Stdout.String(), test.says) || strings.Count(p.Stderr.String(), waits) != 1 || card.Secrets() != secrets {
					t.Errorf("%q: code %d, %d secrets\n%s%s", test.args, p.Code, card.Secrets(), p.Stdout, p.Stderr)
				}
			}

			other.hold()
			p := h.Start(t, "crs", "pin", "verify")
			p.Next(waits)
			if code := p.Stop(os.Interrupt); code != 1 {
				t.Errorf("code %d after Ctrl-C", code)
			}
			if out := h.Command(t, "card", "list", "--all"); !strings.Contains(out, card.Reader+": Un altro programma sta usando la carta.") {
				t.Errorf("listed as\n%s", out)
			}
			other.release()
		})
	}
}
