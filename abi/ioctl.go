package abi

// Ioctl request numbers, as Linux encodes them. FreeBSD encodes those that carry a structure alike, and marks those
// that carry none with bit 29.
const (
	NIOCGINFO   = ioctlRW | sizeofNmreq<<16 | ioctlNetmap | 145
	NIOCREGIF   = ioctlRW | sizeofNmreq<<16 | ioctlNetmap | 146
	NIOCUNREGIF = ioctlNetmap | 147
	NIOCTXSYNC  = ioctlNetmap | 148
	NIOCRXSYNC  = ioctlNetmap | 149
	NIOCCONFIG  = ioctlRW | 272<<16 | ioctlNetmap | 150
	NIOCCTRL    = ioctlRW | sizeofHeader<<16 | ioctlNetmap | 151

	// FreeBSDVoid is or-ed into the numbers without a structure on FreeBSD. // IOC_VOID
	FreeBSDVoid = 0x20000000

	// SizeMask are the bits of a number that hold the size of the structure. NIOCGINFO and NIOCREGIF of the first APIs are
	// those above with another size.
	SizeMask = 0x3fff << 16

	ioctlRW     = 3 << 30
	ioctlNetmap = 'i' << 8

	sizeofNmreq  = 60
	sizeofHeader = 88
)
