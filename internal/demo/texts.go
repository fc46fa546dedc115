package demo

import (
	"net/http"
	"strings"
)

// text is everything that the pages say, in one language. Codes are those of crs.js, of
// package portal with "portal_" before them, and of page.js.
type text struct {
	Lang, LanguageLabel, DateLayout string

	// Every page.
	SkipToContent, DemoPortal, DemoNotice, Motto, Crumbs, Footer string

	// Start.
	LoginTitle, LoginLead, CardHeading, CardText, LogIn, PersonalDataNotice, NoScript string
	NeedsHeading, DemoHint                                                            string
	Needs                                                                             []message
	Steps                                                                             []step
	Progress                                                                          []message
	Cancel, TryAgain, WhatToDo                                                        string
	Errors                                                                            []message

	// After the login.
	Welcome, WelcomeLead, IdentityHeading, IdentityText, SheetTitle string
	Verified, VerifiedText, Unverified, UnverifiedText              string
	NoPersonalData, LogOut, LogOutNotice                            string
	Fields                                                          fields
	Sexes                                                           map[string]string
}

// message is what is said under a code, or several.
type message struct{ Code, Title, Text, Next string }

// step is one of the steps above the progress texts, and the states in which it is the one.
type step struct{ Label, States string }

// fields names what is on a card.
type fields struct {
	Name, CodiceFiscale, CardID, CertificateExpiry                           string
	Surname, GivenName, BirthDate, BirthMunicipality, BirthCountry, BirthAct string
	Sex, Height, Citizenship, ResidenceMunicipality, ResidenceAddress        string
	CardIssuer, CardIssued, CardExpiry, ExpatriationNote                     string
}

var texts = map[string]*text{"it": &italian, "en": &english, "de": &german}

const langCookie = "lang"

// language is the one that the citizen chose on the page, else the first of the browser's that
// there is, else Italian.
func language(r *http.Request) string {
	if c, err := r.Cookie(langCookie); err == nil && texts[c.Value] != nil {
		return c.Value
	}
	for _, tag := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if texts[lang] != nil {
			return lang
		}
	}
	return "it"
}
