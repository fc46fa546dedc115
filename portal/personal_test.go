package portal

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	portaltest "github.com/crs-bridge/crs/internal/test/portal"
)

// identity is that of a card whose certificate carries the hash of these data.
func identity(t testing.TB, hashed []byte) Identity {
	t.Helper()
	card := portaltest.NewCA(t).NewCard(t, portaltest.EC(t, elliptic.P256()), func(c *x509.Certificate) {
		c.Subject = portaltest.Subject(hashed)
	})
	subject, err := crs.ParseSubject(card.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return Identity{Subject: subject, Certificate: card.Certificate}
}

func TestCheckPersonalData(t *testing.T) {
	t.Parallel()
	content := portaltest.PersonalData(t)
	file := append(bytes.Clone(content), make([]byte, 400-len(content))...)
	changed := bytes.Replace(file, []byte("X998"), []byte("X997"), 1)
	odd := bytes.Replace(file, []byte(portaltest.Surname[1:]), []byte("\x92"+portaltest.Surname[2:]), 1)
	blanks := append(bytes.Clone(content), bytes.Repeat([]byte{' '}, 400-len(content))...)
	foreign := bytes.Replace(file, []byte(portaltest.CodiceFiscale), []byte("VRDBRN65T10X999K"), 1)
	for _, tt := range []struct {
		name   string
		hashed []byte
		raw    []byte
		want   Hashed
		reason Reason
	}{
		{"content", content, content, HashedContent, accepted},
		{"content of a padded file", content, file, HashedContent, accepted},
		{"whole file", file, file, HashedFile, accepted},
		{"changed on the way", content, changed, HashedNone, accepted},
		{"changed, whole file", file, changed, HashedNone, accepted},
		{"padding cut off", file, content, HashedNone, accepted},
		{"odd letter", odd[:len(content)], odd, HashedContent, accepted},
		{"odd letter, whole file", odd, odd, HashedFile, accepted},
		{"padded with blanks", content, blanks, HashedContent, accepted},
		{"unwritten", content, make([]byte, 400), HashedNone, ReasonPersonalData},
		{"other person", content, foreign, HashedNone, ReasonOtherPerson},
		{"other person, hash and all", foreign, foreign, HashedNone, ReasonOtherPerson},
		{"empty", content, nil, HashedNone, ReasonPersonalData},
		{"garbage", content, []byte("garbage"), HashedNone, ReasonPersonalData},
		{"cut", content, content[:40], HashedNone, ReasonPersonalData},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := CheckPersonalData(identity(t, tt.hashed), tt.raw)
			if tt.reason != accepted {
				var refusal *Error
				if !errors.As(err, &refusal) || refusal.Reason != tt.reason {
					t.Fatalf("got %v, want %s", err, tt.reason)
				}
				if got != (PersonalData{}) {
					t.Error("a refusal came with data")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Hashed != tt.want || got.Verified != (tt.want != HashedNone) {
				t.Errorf("verified %v by %q, want %q", got.Verified, got.Hashed, tt.want)
			}
			if got.Surname != portaltest.Surname && !strings.Contains(got.Surname, "’") {
				t.Errorf("surname %q", got.Surname)
			}
		})
	}
}

// Data without a codice fiscale are not taken for the holder's.
func TestCheckPersonalDataOfNobody(t *testing.T) {
	t.Parallel()
	raw, err := crs.PersonalData{Surname: portaltest.Surname}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = CheckPersonalData(identity(t, raw), raw)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Reason != ReasonPersonalData {
		t.Errorf("got %v", err)
	}
}

// For any bytes: what is accepted belongs to the holder, and is verified only with the right hash.
func FuzzCheckPersonalData(f *testing.F) {
	content := portaltest.PersonalData(f)
	id := identity(f, content)
	f.Add(content)
	f.Add(append(bytes.Clone(content), 0, 0, 0xff))
	f.Add(bytes.Replace(content, []byte("X998"), []byte("X997"), 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := CheckPersonalData(id, raw)
		if err != nil {
			if got != (PersonalData{}) {
				t.Fatal("a refusal came with data")
			}
			return
		}
		if got.CodiceFiscale != id.CodiceFiscale {
			t.Fatal("accepted the data of another person")
		}
		sum := sha1.Sum(raw)
		if got.Verified && !bytes.HasPrefix(raw, content) && !bytes.Equal(sum[:], id.PersonalDataHash) {
			t.Fatal("verified data that the certificate does not vouch for")
		}
	})
}
