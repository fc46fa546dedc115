package virtualcard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// file is an EF or, when it has no content, a DF.
type file struct {
	id       uint16
	parent   *file
	children []*file
	content  []byte // nil: a DF

	secrets map[byte]*secret // of a DF, by id

	application []byte // identifier of a DF that is an application
}

const mfID = 0x3F00

// fileSystem builds the tree (CNS file system, section 2 of its table).
func (c *Card) fileSystem() *file {
	mf := &file{id: mfID, secrets: map[byte]*secret{}}
	if c.config.Foreign != NotForeign {
		mf.put("2F00", []byte("\x61\x0B\x4F\x09\xE8\x28\xBD\x08\x0F\xF2\x50\x41\x50")) // EF.DIR, an AID
	} else {
		c.putCNS(mf)
	}
	for path, content := range c.config.Files {
		mf.remove(path)
		if content != nil {
			mf.put(path, content)
		}
	}
	return mf
}

// putCNS fills in what a CNS has.
func (c *Card) putCNS(mf *file) {
	const certificateSize = 2048 // of the file on IDEMIA cards
	layout := c.profile.layout
	if layout.application != nil {
		mf = mf.dir("ACE0")
		mf.application = layout.application
		mf.put("1100/1102", c.person.PersonalDataFile())
		mf.put(layout.certificate, c.person.Certificate.Raw)
		return
	}
	certificate := c.person.Certificate.Raw
	if layout.wrapped {
		certificate = append([]byte{0x01, byte(len(certificate) >> 8), byte(len(certificate)), 0x00, 0x00}, certificate...)
	}
	mf.put("2F02", []byte("\x5A\x0A\x80\x38\x00\x00\x00\x00\x00\x00\x00\x00")) // EF_GDO, a number of zeros
	mf.put("3F01", padded(nil, 300, 0x00))                                     // EF_KeyPub, not used
	mf.put("3F02", []byte{0x00})                                               // EF_CardStatus
	mf.put("1000/1002", padded([]byte("CHIP"), 54, 0x00))                      // EF_DatiProcessore
	mf.put("1000/1003", []byte(c.person.CardID))                               // EF_IDCarta
	mf.put("1100/1102", c.person.PersonalDataFile())                           // EF_DatiPersonali
	mf.dir("1400")                                                             // DF_DS, may be empty
	mf.put(layout.certificate, padded(certificate, certificateSize, 0x00))
	if layout.keyDir != "" {
		mf.dir(layout.keyDir)
	}
	if layout.wrapped {
		mf.put("2FFF/0000", []byte{0x00}) // OpenSC selects it before it uses the key
	}
}

// dir returns the DF of a path and makes what is missing.
func (f *file) dir(path string) *file {
	for _, part := range strings.Split(path, "/") {
		id := fileID(part)
		next := f.child(id)
		if next == nil {
			next = &file{id: id, parent: f, secrets: map[byte]*secret{}}
			f.children = append(f.children, next)
		}
		f = next
	}
	return f
}

func (f *file) put(path string, content []byte) *file {
	ef := f.dir(path)
	ef.content = content
	return ef
}

func (f *file) remove(path string) {
	for _, part := range strings.Split(path, "/") {
		if f = f.child(fileID(part)); f == nil {
			return
		}
	}
	f.parent.children = slices.DeleteFunc(f.parent.children, func(other *file) bool { return other == f })
}

func (f *file) child(id uint16) *file {
	for _, child := range f.children {
		if child.id == id {
			return child
		}
	}
	return nil
}

func fileID(hex string) uint16 {
	id, err := strconv.ParseUint(hex, 16, 16)
	if err != nil {
		panic(fmt.Sprintf("virtualcard: file id %q", hex)) // paths stand in the program
	}
	return uint16(id)
}

// path finds a file from f, by file ids one after another.
func (f *file) path(ids []byte) *file {
	for ; f != nil && len(ids) >= 2; ids = ids[2:] {
		f = f.child(binary.BigEndian.Uint16(ids))
	}
	return f
}

// selectFile is SELECT: by path from the MF (P1 08) or from the current DF (09), or by file id
// (00), with the FCI (P2 00) or without an answer (0C).
func (c *Card) selectFile(cmd command) (data []byte, sw uint16) {
	if cmd.p2 != 0x00 && cmd.p2 != 0x0C {
		return nil, swParameters
	}
	s := &c.state
	var found *file
	switch ids := cmd.data; {
	case cmd.p1 == 0x04: // by application identifier
		for _, child := range c.mf.children {
			if child.application != nil && bytes.Equal(child.application, ids) {
				found = child
			}
		}
	case cmd.p1 != 0x00 && cmd.p1 != 0x08 && cmd.p1 != 0x09:
		return nil, swParameters
	case len(ids)%2 != 0:
		return nil, swLength
	case cmd.p1 == 0x08 && len(ids) > 0:
		found = c.mf.path(ids)
	case cmd.p1 == 0x09 && len(ids) > 0:
		found = s.dir.path(ids)
	case cmd.p1 != 0x00 || len(ids) > 2:
		return nil, swLength
	case len(ids) == 0 || binary.BigEndian.Uint16(ids) == mfID:
		found = c.mf
	default:
		found = s.dir.near(binary.BigEndian.Uint16(ids))
	}
	if found == nil {
		return nil, swFileNotFound
	}
	if s.dir, s.ef = found, nil; found.content != nil {
		s.dir, s.ef = found.parent, found
	}
	if c.config.SelectForgetsPIN {
		c.pin.verified = false
	}
	if cmd.p2 == 0x0C {
		return nil, swOK
	}
	return found.fci(), swOK
}

// near finds what one file id can select in a DF: a child, the DF itself, its parent, a DF
// beside it (ISO/IEC 7816-4, section 11.2.2).
func (f *file) near(id uint16) *file {
	if child := f.child(id); child != nil {
		return child
	}
	if f.id == id || f.parent == nil {
		return f.self(id)
	}
	if beside := f.parent.child(id); beside != nil && beside.content == nil {
		return beside
	}
	return f.parent.self(id)
}

func (f *file) self(id uint16) *file {
	if f.id == id {
		return f
	}
	return nil
}

// fci describes a file as the cards seen do: size, kind, id, life cycle, access conditions,
// conditions of secure messaging (none).
func (f *file) fci() []byte {
	const always, never = 0x00, 0xFF
	kind := []byte{0x38, 0x00, 0x00}
	if f.content != nil {
		kind = []byte{0x01, 0x00, 0x00}
	}
	b := []byte{0x80, 0x02, byte(len(f.content) >> 8), byte(len(f.content))}
	b = append(b, 0x82, byte(len(kind)))
	b = append(b, kind...)
	b = append(b, 0x83, 0x02, byte(f.id>>8), byte(f.id))
	b = append(b, 0x85, 0x01, 0x01)
	b = append(b, 0x86, 0x09, always) // read, then eight ways to change the file
	b = append(b, padded(nil, 8, never)...)
	b = append(b, 0x8A, 0x01, 0x05)
	b = append(b, 0xCB, 0x18)
	b = append(b, padded(nil, 0x18, 0xFF)...)
	return append([]byte{0x6F, byte(len(b))}, b...)
}

// readBinary is READ BINARY of the current EF, at an offset of 15 bits.
func (c *Card) readBinary(cmd command) (data []byte, sw uint16) {
	switch {
	case cmd.data != nil || cmd.le == 0:
		return nil, swLength
	case cmd.p1&0x80 != 0: // by short file identifier
		return nil, swParameters
	case c.state.ef == nil:
		return nil, swNoCurrentEF
	}
	offset := int(cmd.p1)<<8 | int(cmd.p2)
	content := c.state.ef.content
	if offset >= len(content) {
		return nil, swOffset
	}
	rest := content[offset:]
	if cmd.le <= len(rest) {
		return rest[:cmd.le], swOK
	}
	switch c.profile.eof {
	case eofWarning:
		return rest, swEndOfFile
	case eofLength:
		return nil, swWrongLe | uint16(len(rest)&0xff)
	}
	return rest, swOK
}
