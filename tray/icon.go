package tray

import (
	"bytes"
	"embed"
	"encoding/binary"
)

// picture is the name of an icon. They differ in shape, not only in colour. scripts/icons draws
// the PNG files from the SVG files.
type picture string

const (
	noService  picture = "noservice"
	noReader   picture = "noreader"
	noCard     picture = "nocard"
	cardReady  picture = "ready"
	pinBlocked picture = "blocked"
)

//go:embed icons/*.png
var icons embed.FS

// iconSize is the width of the PNG files: panels scale them down as they need.
const iconSize = 64

func (p picture) png() []byte {
	b, err := icons.ReadFile("icons/" + string(p) + ".png")
	if err != nil {
		panic(err) // the files are part of the program, and tested
	}
	return b
}

// ico wraps a PNG in the file format that Windows requires for icons.
func ico(png []byte) []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, struct {
		Reserved, Type, Count        uint16
		Width, Height, Colours, Zero uint8
		Planes, BitsPerPixel         uint16
		Size, Offset                 uint32
	}{Type: 1, Count: 1, Width: iconSize, Height: iconSize, Planes: 1, BitsPerPixel: 32, Size: uint32(len(png)), Offset: 22})
	b.Write(png)
	return b.Bytes()
}
