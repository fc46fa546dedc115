package portal

import "fmt"

// Reason says in one word of a closed list why a login was refused. Pages may show a text for
// it; it tells nothing about the person.
type Reason string

// The closed list.
const (
	// ReasonUnconfigured: the verifier lacks its origin or its issuers.
	ReasonUnconfigured Reason = "unconfigured"
	// ReasonCrossSite: the request does not come from a page of this portal.
	ReasonCrossSite Reason = "cross_site"
	// ReasonChallenge: no challenge waits for this browser. It was used, or it is too old.
	ReasonChallenge Reason = "challenge"
	// ReasonMalformed: the token, or its certificate, cannot be read.
	ReasonMalformed Reason = "malformed"
	// ReasonCertificate: crypto/x509 refuses to read the certificate, so its issuer cannot be
	// checked. The card may still be genuine.
	ReasonCertificate Reason = "certificate"
	// ReasonFormat: the token is of an unknown version.
	ReasonFormat Reason = "format"
	// ReasonAlgorithm: the algorithm is unknown, uses SHA-1, or does not fit the key.
	ReasonAlgorithm Reason = "algorithm"
	// ReasonKey: the RSA key is too short, or longer than any card's.
	ReasonKey Reason = "key"
	// ReasonSignature: the signature is not over this origin and this challenge.
	ReasonSignature Reason = "signature"
	// ReasonNotYetValid: the certificate's validity has not begun.
	ReasonNotYetValid Reason = "not_yet_valid"
	// ReasonExpired: the certificate's validity is over.
	ReasonExpired Reason = "expired"
	// ReasonProfile: the certificate is not the authentication certificate of a CNS.
	ReasonProfile Reason = "profile"
	// ReasonCriticalExtension: the certificate has an unknown critical extension.
	ReasonCriticalExtension Reason = "critical_extension"
	// ReasonIssuer: no configured issuer signed the certificate, or the issuer is not valid now.
	ReasonIssuer Reason = "issuer"
	// ReasonSubject: the certificate's subject is not that of a CNS, or its codice fiscale is wrong.
	ReasonSubject Reason = "subject"
	// ReasonPersonalData: the personal data cannot be read.
	ReasonPersonalData Reason = "personal_data"
	// ReasonOtherPerson: the personal data are those of somebody else.
	ReasonOtherPerson Reason = "other_person"
	// ReasonInternal: the portal itself failed.
	ReasonInternal Reason = "internal"
)

// Error is a refusal. It may be logged: it holds nothing from the certificate's subject, the
// personal data, the challenge or the signature.
type Error struct {
	Reason Reason
	Detail string // a sentence for the log
}

func (e *Error) Error() string {
	return fmt.Sprintf("login refused (%s): %s", e.Reason, e.Detail)
}

func refuse(reason Reason, detail string) *Error {
	return &Error{Reason: reason, Detail: detail}
}
