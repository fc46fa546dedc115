package portal

import (
	"bytes"
	"crypto/sha1"

	"github.com/crs-bridge/crs"
)

// PersonalData is what EF.DatiPersonali says, and whether that can be believed.
type PersonalData struct {
	crs.PersonalData

	// Verified says that the certificate vouches for the data: it carries their hash.
	Verified bool

	// Hashed says which bytes the certificate's issuer hashed; HashedNone unless Verified.
	Hashed Hashed
}

// Hashed names the bytes under the hash in the certificate. The specification says EF.DatiPersonali
// but leaves open whether its padding belongs to it.
type Hashed string

// What may have been hashed.
const (
	HashedNone    Hashed = ""
	HashedContent Hashed = "content" // up to the last field
	HashedFile    Hashed = "file"    // with the padding, as long as the page handed it in
)

// CheckPersonalData reads EF.DatiPersonali as it came from the browser. The data are not
// under the login's signature, so anybody between card and portal may have changed them: only
// the hash in the certificate vouches for them. A hash that does not match is reported but is no
// error, because no public document says exactly what it covers. Data of another person are an
// error.
//
// The hash is SHA-1, by the specification of the CNS. Nobody can make other data with the same
// hash; only the issuer of the certificate itself could make two files with one hash.
func CheckPersonalData(id Identity, raw []byte) (PersonalData, error) {
	data, err := crs.ParsePersonalData(raw)
	if err != nil {
		return PersonalData{}, refuse(ReasonPersonalData, "EF.DatiPersonali cannot be read")
	}
	if data.CodiceFiscale == "" {
		return PersonalData{}, refuse(ReasonPersonalData, "EF.DatiPersonali names no codice fiscale")
	}
	if data.CodiceFiscale != id.CodiceFiscale {
		return PersonalData{}, refuse(ReasonOtherPerson, "the personal data have another codice fiscale than the certificate")
	}
	content, err := crs.PersonalDataContent(raw)
	if err != nil {
		return PersonalData{}, refuse(ReasonPersonalData, "EF.DatiPersonali cannot be read")
	}
	checked := PersonalData{PersonalData: data}
	switch {
	case hashes(content, id.PersonalDataHash):
		checked.Verified, checked.Hashed = true, HashedContent
	case hashes(raw, id.PersonalDataHash):
		checked.Verified, checked.Hashed = true, HashedFile
	}
	return checked, nil
}

func hashes(data, sum []byte) bool {
	got := sha1.Sum(data)
	return bytes.Equal(got[:], sum)
}
