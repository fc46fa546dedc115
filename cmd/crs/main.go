// Command crs lets a citizen log in to public portals with a health card. main.go finds the
// command; each command is a file of this directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/state"
)

// commands are the words after crs. A command returns a usageError for wrong arguments; any other
// error is shown to the user, and makes the exit code 1.
var commands = map[string]func(ctx context.Context, args []string) error{
	"serve":        serve,
	"demo":         demo,
	"card":         card,
	"pin":          pin,
	"sites":        sites,
	"tray":         showTray,
	"doctor":       doctor,
	"browser":      browserHosts,
	"native-host":  nativeHost,
	"virtual-card": virtualCard,
	"version":      version,
	"worker":       worker,
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the first signal asks this program to end, the next one kills it
	loadLanguage(slog.New(slog.DiscardHandler))
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Print(catalog.Usage())
		return 0
	}
	if startedByBrowser(args) {
		args = append([]string{"native-host"}, args...)
	}
	command, ok := commands[args[0]]
	if !ok {
		fmt.Fprintln(os.Stderr, "crs:", catalog.Say("cli.unknown", "word", args[0]))
		fmt.Fprintln(os.Stderr, "crs:", catalog.Say("cli.help"))
		return 2
	}
	err := command(ctx, args[1:])
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, "crs:", err)
		fmt.Fprintln(os.Stderr, "crs:", catalog.Say("cli.help"))
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 1 // Ctrl-C: the user knows
	}
	fmt.Fprintln(os.Stderr, "crs:", explain(err))
	return 1
}

// loadLanguage makes everything appear in the language that the user chose. A bad configuration is
// no reason to fail.
func loadLanguage(log *slog.Logger) {
	config, err := state.LoadConfig()
	if err != nil {
		log.Warn("configuration not read", "reason", err)
		return
	}
	catalog.SetLanguage(config.Language)
}

// explain says what an error means and what to do. Errors that only this program can have are
// already sentences of the catalogue.
func explain(err error) string {
	var said sentenceError
	if errors.As(err, &said) {
		return said.Error()
	}
	return catalog.Report(catalog.Prompt{}, err).String()
}

// usageError is a mistake in the arguments.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// sentenceError is a failure that is explained in a sentence of the catalogue.
type sentenceError struct {
	error
	key   string // of the sentence, "" if it was composed
	cause error
}

func (e sentenceError) Unwrap() error { return e.cause }

func sentence(key string, pairs ...string) error {
	return sentenceError{error: errors.New(catalog.Say(key, pairs...)), key: key}
}

// flags is a flag set that reports mistakes as usageError and shows help on request.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet("crs "+name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// parse reads flags, which may stand before, between and after the positional arguments, and
// returns the latter. It wants between least and most of them, and if words is not empty the first
// must be one of words.
func parse(f *flag.FlagSet, args []string, least, most int, words ...string) ([]string, error) {
	var rest []string
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			printHelp(f)
			return nil, err
		} else if err != nil {
			return nil, usagef("%s: %s %s", f.Name(), flagMistake(err), catalog.Say("flag.help", "command", f.Name()))
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	possible := catalog.Say("cli.words", "words", strings.Join(words, ", "))
	switch {
	case len(rest) < least:
		return nil, usagef("%s: %s %s", f.Name(), catalog.Say("cli.missing"), possible)
	case len(rest) > most:
		return nil, usagef("%s: %s", f.Name(), catalog.Say("cli.extra", "word", strings.Join(rest[most:], " ")))
	case len(words) > 0 && !slices.Contains(words, rest[0]):
		return nil, usagef("%s: %s %s", f.Name(), catalog.Say("cli.unknown", "word", rest[0]), possible)
	}
	return rest, nil
}

// flagMistake is an error of package flag in the language of the session. The package has no
// types for its errors.
func flagMistake(err error) string {
	text := catalog.Literal(err.Error())
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: "); ok {
		return catalog.Say("flag.unknown", "option", name)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return catalog.Say("flag.empty", "option", name)
	}
	if value := badFlag.FindStringSubmatch(text); value != nil {
		return catalog.Say("flag.bad", "value", value[1], "option", value[2])
	}
	return catalog.Say("flag.wrong", "detail", text)
}

var badFlag = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?(-[^:]+): `)

// printHelp is flag's PrintDefaults in the language of the session.
func printHelp(f *flag.FlagSet) {
	fmt.Println(f.Name())
	f.VisitAll(func(option *flag.Flag) {
		value, text := flag.UnquoteUsage(option)
		switch option.DefValue {
		case "", "0", "false":
		default:
			text += "\n" + catalog.Say("flag.default", "value", option.DefValue)
		}
		text = strings.ReplaceAll(catalog.Wrap(text, catalog.Width), "\n", "\n        ")
		fmt.Printf("\n    %s\n        %s\n", strings.TrimSpace("--"+option.Name+" "+value), text)
	})
}
