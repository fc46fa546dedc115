package trust

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

const deleteChild = 0x40 // FILE_DELETE_CHILD

// Rights with which a file, or a directory's files, can be changed or replaced.
const changing = windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL |
	adding | deleteChild

// FILE_ADD_FILE and FILE_ADD_SUBDIRECTORY, on a directory.
const adding = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA

// admins are SYSTEM, the administrators' group, TrustedInstaller, and CREATOR OWNER.
var admins = []string{"S-1-5-18", "S-1-5-32-544", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", "S-1-3-0"}

// onlyAdmins reports whether a file or directory belongs to an administrator and nobody else may
// change it. Unless sealed, a directory may be one to which others may add, as they may to C:\ and
// C:\ProgramData: that does not let them replace what is there.
func onlyAdmins(path string, sealed bool) (bool, error) {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return false, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	rights := windows.ACCESS_MASK(changing)
	if info.IsDir() && !sealed {
		rights &^= adding
	}
	return adminsAlone(sd, rights)
}

// adminsAlone reports whether an object with this descriptor belongs to an administrator and nobody
// else has any of these rights.
func adminsAlone(sd *windows.SECURITY_DESCRIPTOR, rights windows.ACCESS_MASK) (bool, error) {
	owner, _, err := sd.Owner()
	if err != nil {
		return false, err
	}
	list, _, err := sd.DACL()
	if err != nil {
		return false, err
	}
	if !isAdmin(owner) || list == nil {
		return false, nil
	}
	for i := range list.AceCount {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, uint32(i), &ace); err != nil {
			return false, err
		}
		const inheritOnly, allowedCallback = 0x8, 0x9 // ACCESS_ALLOWED_CALLBACK_ACE begins like the other
		switch {
		case ace.Header.AceFlags&inheritOnly != 0 || ace.Header.AceType == windows.ACCESS_DENIED_ACE_TYPE:
		case ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE && ace.Header.AceType != allowedCallback:
			return false, nil // not used for files, or unknown
		case ace.Mask&rights != 0 && !isAdmin((*windows.SID)(unsafe.Pointer(&ace.SidStart))):
			return false, nil
		}
	}
	return true, nil
}

func isAdmin(sid *windows.SID) bool {
	text := sid.String()
	for _, admin := range admins {
		if text == admin {
			return true
		}
	}
	return false
}
