package pcsc

import (
	"errors"

	"github.com/crs-bridge/crs"
)

// The ACe 2025 of Actalis has the marker of a CNS in its ATR and its files within an application. Its
// certificate is where a public trace found it (OpenSC issue 3804); the references of its key and its
// PIN, and how it signs, are not public. So it is recognised but not used: its PIN would be tried
// on a guess (docs/card-safety.md, rule 2).
var (
	aceApplication = []byte{0xA0, 0x00, 0x00, 0x05, 0x30, 0x00, 0x0B, 0x10, 0x40, 0x01, 0x02, 0x1A}
	aceCertificate = []byte{0xDA, 0x01, 0xC0, 0x01} // path from the application
)

// identifyACe recognises a card whose ATR says CNS and that has this application. It returns no
// card, but an error that says whose it is, and crs.ErrNoCNS for any other card.
func identifyACe(s *session, _ Reader) (card, error) {
	a, _ := parseATR(s.conn.ATR())
	if !a.saysCNS() {
		return nil, crs.ErrNoCNS
	}
	if err := s.selectFrom(0x04, aceApplication); err != nil {
		return nil, notCNS(err)
	}
	known := &crs.ModelError{ATR: s.conn.ATR(), Err: crs.ErrModelCannotSign}
	der, err := readACeCertificate(s)
	if err != nil && !answered(err) {
		return nil, err
	}
	if cert, err := crs.ParseCertificate(der); err == nil {
		known.Expires = cert.NotAfter
		if subject, err := crs.ParseSubject(cert); err == nil {
			known.Holder = subject.FullName()
		}
	}
	return nil, known
}

// readACeCertificate reads the certificate's file, in short commands as the trace did.
func readACeCertificate(s *session) ([]byte, error) {
	if err := s.selectFrom(0x09, aceCertificate); err != nil {
		return nil, err
	}
	b, err := s.read(0, maxShort, false)
	if err != nil {
		return nil, err
	}
	end, err := derLength(b, 0)
	if err != nil {
		return nil, crs.ErrCertificate
	}
	return s.readTo(b, end)
}

// answered reports whether an error is an answer of the card, rather than the reader's.
func answered(err error) bool {
	var status sw
	return errors.As(err, &status) || errors.Is(err, crs.ErrCertificate)
}
