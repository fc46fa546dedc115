package crs_test

import (
	"errors"
	"fmt"

	"github.com/crs-bridge/crs"
)

// An origin is refused unless it is what a browser sends, byte for byte: its bytes are signed.
func ExampleParseOrigin() {
	for _, s := range []string{"https://portale.example", "https://Portale.example/", "https://portale.example:443"} {
		origin, err := crs.ParseOrigin(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(origin.Host())
	}
	// Output:
	// portale.example
	// origin "https://Portale.example/": bad character in host
	// origin "https://portale.example:443": default port
}

// EF.DatiPersonali is 16 fields, each with its length before it, and may be padded.
func ExampleParsePersonalData() {
	raw := "00006504609008020320210801032027" + "07ESEMPIO" + "03ADA" + "0801011970" + "01F" + "00" +
		"10SMPDAA70A41X999X" + "00" + "04X999" + "00" + "00" + "04X998" + "00" + "00" + "\x00\x00\x00"
	data, err := crs.ParsePersonalData([]byte(raw))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Name, data.Surname, data.CodiceFiscale)
	fmt.Println("lives in", data.ResidenceMunicipality)

	_, err = crs.ParsePersonalData(make([]byte, 400)) // a card that was never filled in
	fmt.Println(errors.Is(err, crs.ErrNoPersonalData))
	// Output:
	// ADA ESEMPIO SMPDAA70A41X999X
	// lives in X998
	// true
}

// The last character of a codice fiscale checks the others.
func ExampleCheckCodiceFiscale() {
	fmt.Println(crs.CheckCodiceFiscale("SMPDAA70A41X999X"))
	fmt.Println(crs.CheckCodiceFiscale("SMPDAA70A41X999Y") != nil)
	// Output:
	// <nil>
	// true
}

// What a card signs, for those who check it in another language: the SHA-256 of two SHA-256, that of
// the origin and that of the challenge as its base64 text.
func ExampleStatement_Digest() {
	origin, err := crs.ParseOrigin("https://portale.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	challenge, err := crs.ParseChallenge("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		fmt.Println(err)
		return
	}
	statement, err := crs.NewStatement(origin, challenge)
	if err != nil {
		fmt.Println(err)
		return
	}
	digest, err := statement.Digest(crs.ES256)
	fmt.Printf("%x %v\n", digest, err)
	// Output:
	// 8395c94ae83820bf92a0b4467c29396d9a6592b5b28cc6533fa1979039639b2c <nil>
}

// A card's refusal says how many tries are left, and means one code of the closed list.
func ExampleCodeOf() {
	err := fmt.Errorf("log in: %w", &crs.PINError{Blocked: true})
	fmt.Println(string(crs.CodeOf(err)))

	var refused *crs.PINError
	if errors.As(err, &refused) {
		fmt.Println("blocked:", refused.Blocked)
	}
	// Output:
	// pin_blocked
	// blocked: true
}
