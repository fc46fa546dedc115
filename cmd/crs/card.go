package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/cards"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/outside"
	"github.com/crs-bridge/crs/pkcs11"
)

// card shows what is in the readers. It needs no PIN.
func card(ctx context.Context, args []string) error {
	f := flags("card")
	all := f.Bool("all", false, catalog.Say("flag.all"))
	reader := f.String("reader", "", catalog.Say("flag.reader"))
	asJSON := f.Bool("json", false, catalog.Say("flag.json"))
	rest, err := parse(f, args, 1, 1, "list", "info", "certificate", "personal-data")
	if err != nil {
		return err
	}
	held := sayHeld()
	if rest[0] == "list" {
		held = nil // that another program is using a card is what is listed
	}
	readers, tokens, err := findReaders(ctx, held, *reader)
	if tokens != nil {
		defer tokens.Close()
	}
	if rest[0] == "list" && *all && tokens != nil {
		tokens.Check(ctx)
		listErr := listCards(readers, tokens.Modules(), true, *asJSON)
		return cmp.Or(err, listErr) // why there is no reader says more than "no card"
	}
	if err != nil {
		return err
	}
	if rest[0] == "list" {
		return listCards(readers, nil, *all, *asJSON)
	}
	c, err := theCard(readers)
	if err != nil {
		return err
	}
	return map[string]func(context.Context, crs.Card, bool) error{
		"info": showInfo, "certificate": showCertificate, "personal-data": showPersonalData,
	}[rest[0]](ctx, c, *asJSON)
}

// findReaders opens the cards in the readers whose name contains a word, and the tokens. It sends
// nothing to other readers: they may be in use.
func findReaders(ctx context.Context, held func(), word string) ([]crs.Reader, *pkcs11.Tokens, error) {
	word = outside.Text(word) // as for the names of readers
	wanted := func(name string) bool {
		return strings.Contains(strings.ToLower(name), strings.ToLower(word))
	}
	all, tokens, err := find(ctx, held, wanted, func(native []crs.Reader, choice cards.Choice) bool {
		return cards.Needed(native, choice, nil)
	})
	var found []crs.Reader
	for _, r := range all {
		if wanted(r.Name) {
			found = append(found, r)
		}
	}
	switch {
	case len(found) > 0:
		return found, tokens, nil
	case err != nil:
		return nil, tokens, err
	case len(all) == 0:
		return nil, tokens, sentence("card.noreader")
	}
	return nil, tokens, sentence("card.nosuchreader", "word", word, "readers", names(all))
}

// sayHeld returns what says, once, that another program is using the card and that it is waited for.
func sayHeld() func() {
	return sync.OnceFunc(func() { fmt.Fprintln(os.Stderr, "crs:", catalog.Wrap(catalog.Say("card.held"), catalog.Width)) })
}

// theCard returns the one card that can be used.
func theCard(readers []crs.Reader) (crs.Card, error) {
	var usable []crs.Reader
	for _, r := range readers {
		if r.Card != nil {
			usable = append(usable, r)
		}
	}
	free, problems := catalog.Problems(readers)
	switch {
	case len(usable) == 1:
		return usable[0].Card, nil
	case len(usable) > 1:
		return nil, sentence("card.several", "readers", names(usable))
	case problems != nil && !free:
		return nil, problems[0].Err
	case problems != nil:
		return nil, sentenceError{error: errors.New(catalog.Say("card.none") + "\n\n" + catalog.ReaderProblems(problems)), key: "card.none"}
	}
	return nil, sentence("card.none")
}

func names(readers []crs.Reader) string {
	var b strings.Builder
	for _, r := range readers {
		b.WriteString("\n  " + catalog.Literal(r.Name))
		if r.Card != nil {
			card := r.Card.Info()
			b.WriteString(": " + catalog.CardTitle(card, false))
		}
	}
	return b.String()
}

// listed is a row of `crs card list --json`.
type listed struct {
	Reader  string   `json:"reader,omitempty"`
	Kind    string   `json:"kind,omitempty"`
	Model   string   `json:"model,omitempty"`
	Holder  string   `json:"holder,omitempty"`
	ID      string   `json:"id,omitempty"`
	Error   crs.Code `json:"error,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Expires string   `json:"expires,omitempty"`

	// For a row about a module instead of a reader.
	Module string   `json:"module,omitempty"`
	Path   string   `json:"path,omitempty"`
	Output []string `json:"output,omitempty"` // the last lines that a failed one wrote

	problem  string // what Reason means, for people
	validity string // what Expires means
}

// maxOutput is how many lines of a module are shown: the last, which say most.
const maxOutput = 5

func listCards(readers []crs.Reader, modules []pkcs11.Module, all, asJSON bool) error {
	rows := []listed{}
	for _, r := range readers {
		row := listed{Reader: r.Name}
		switch {
		case r.Card != nil:
			i := r.Card.Info()
			row.Kind, row.Model, row.Holder, row.ID = i.Kind, i.Model, i.Holder, i.ID
			if !i.NotAfter.IsZero() {
				row.Expires = i.NotAfter.UTC().Format("2006-01-02")
			}
			row.validity = catalog.Validity(i)
		case !all:
			continue
		case r.Err != nil:
			row.Error, row.Reason = crs.CodeOf(r.Err), r.Err.Error()
			if model := (*crs.ModelError)(nil); errors.As(r.Err, &model) {
				row.Holder = model.Holder
			}
			row.problem = strings.ReplaceAll(catalog.Report(catalog.Prompt{}, r.Err).After, "\n\n", " ")
		}
		rows = append(rows, row)
	}
	seen := len(rows)
	for _, m := range modules {
		row := listed{Module: m.Name, Path: outside.Text(m.Path)}
		_, row.problem = moduleState(m)
		if m.Unused != nil {
			row.Reason = m.Unused.Error()
			row.Output = m.Output[max(0, len(m.Output)-maxOutput):]
		}
		rows = append(rows, row)
	}
	if asJSON {
		return printJSON(rows)
	}
	for _, row := range rows[:seen] {
		what := catalog.Say("card.empty")
		switch {
		case row.Kind != "":
			what = row.Kind + "  " + catalog.Literal(row.Holder) + "  " + row.ID + row.validity
		case row.Error != "":
			// The problem goes on the reader's line, the advice on the lines below.
			sentence, advice, _ := strings.Cut(row.problem, ". ")
			what = sentence + ".\n    " + strings.ReplaceAll(catalog.Wrap(advice, catalog.Width), "\n", "\n    ")
		}
		fmt.Printf("%s: %s\n", catalog.Literal(row.Reader), what)
	}
	for _, row := range rows[seen:] {
		fmt.Println(catalog.Say("module.row", "name", catalog.Literal(row.Module), "path", catalog.Literal(row.Path)))
		fmt.Println("    " + strings.ReplaceAll(catalog.Wrap(row.problem, catalog.Width), "\n", "\n    "))
		for _, line := range row.Output {
			fmt.Println("    | " + catalog.Literal(line))
		}
	}
	if all && len(modules) == 0 {
		fmt.Println(catalog.Wrap(catalog.Say("module.none"), catalog.Width))
	}
	if seen == 0 {
		_, err := theCard(readers) // why there is none
		return err
	}
	return nil
}

func showInfo(ctx context.Context, c crs.Card, asJSON bool) error {
	i := c.Info()
	cert, err := c.Certificate(ctx)
	if err != nil {
		return err
	}
	status, err := c.PINStatus(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(struct {
			listed
			Expires    string `json:"expires"`
			Issuer     string `json:"issuer"`
			KeyBits    int    `json:"keyBits"`
			Retries    int    `json:"retries"` // -1: not known
			PINBlocked bool   `json:"pinBlocked"`
		}{listed{Reader: i.Reader, Kind: i.Kind, Model: i.Model, Holder: i.Holder, ID: i.ID},
			cert.NotAfter.UTC().Format("2006-01-02"), cert.Issuer.CommonName, keyBits(cert), status.Retries, status.Blocked})
	}
	printFields([][2]string{
		{catalog.Say("field.reader"), i.Reader},
		{catalog.Say("field.kind"), i.Kind + " (" + i.Model + ")"},
		{catalog.Say("field.holder"), i.Holder},
		{catalog.Say("field.id"), i.ID},
		{catalog.Say("field.issuer"), cert.Issuer.CommonName},
		{catalog.Say("field.expires"), cert.NotAfter.Format("02/01/2006")},
		{catalog.Say("field.key"), fmt.Sprintf("%v %d", cert.PublicKeyAlgorithm, keyBits(cert))},
		{catalog.Say("field.pin"), catalog.PINStatus(status)},
	})
	return nil
}

func keyBits(cert *x509.Certificate) int {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen()
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize
	}
	return 0
}

func showCertificate(ctx context.Context, c crs.Card, asJSON bool) error {
	cert, err := c.Certificate(ctx)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}
	if asJSON {
		return printJSON(map[string]string{"certificate": string(pem.EncodeToMemory(block))})
	}
	return pem.Encode(os.Stdout, block)
}

func showPersonalData(ctx context.Context, c crs.Card, asJSON bool) error {
	reader, ok := c.(crs.PersonalDataReader)
	if !ok {
		return sentence("card.nodata")
	}
	b, err := reader.PersonalData(ctx)
	if errors.Is(err, crs.ErrNoPersonalData) {
		return sentence("card.nodata")
	}
	if err != nil {
		return err
	}
	p, err := crs.ParsePersonalData(b)
	if err != nil {
		return sentence("card.baddata", "detail", err.Error())
	}
	if asJSON {
		return printJSON(p)
	}
	printFields([][2]string{
		{catalog.Say("field.surname"), p.Surname},
		{catalog.Say("field.name"), p.Name},
		{catalog.Say("field.sex"), p.Sex},
		{catalog.Say("field.born"), date(p.BirthDate)},
		{catalog.Say("field.birthplace"), p.BirthMunicipality},
		{catalog.Say("field.birthcountry"), p.BirthCountry},
		{catalog.Say("field.birthact"), p.BirthAct},
		{catalog.Say("field.height"), p.Height},
		{catalog.Say("field.cf"), p.CodiceFiscale},
		{catalog.Say("field.citizenship"), p.Citizenship},
		{catalog.Say("field.municipality"), p.ResidenceMunicipality},
		{catalog.Say("field.address"), p.ResidenceAddress},
		{catalog.Say("field.issuercode"), p.IssuerCode},
		{catalog.Say("field.issued"), date(p.IssueDate)},
		{catalog.Say("field.expires"), date(p.ExpiryDate)},
		{catalog.Say("field.expatriation"), p.ExpatriationNote},
	})
	return nil
}

// date writes DDMMYYYY as DD/MM/YYYY, and anything else as it is.
func date(s string) string {
	if len(s) != 8 {
		return s
	}
	return s[:2] + "/" + s[2:4] + "/" + s[4:]
}

// printFields prints what has a value, the values in one column.
func printFields(fields [][2]string) {
	width := 0
	for _, f := range fields {
		width = max(width, len([]rune(f[0])))
	}
	for _, f := range fields {
		if f[1] != "" {
			fmt.Printf("%-*s  %s\n", width, f[0], catalog.Literal(f[1]))
		}
	}
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
