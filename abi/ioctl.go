package abi

// Numbers of ioctl requests on Linux. On FreeBSD, those with a structure are the same, and those
// without have bit 29 set.
const (
	NIOCGINFO   = ioctlRW | sizeofNmreq<<16 | ioctlNetmap | 145
	NIOCREGIF   = ioctlRW | sizeofNmreq<<16 | ioctlNetmap | 146
	NIOCUNREGIF = ioctlNetmap | 147
	NIOCTXSYNC  = ioctlNetmap | 148
	NIOCRXSYNC  = ioctlNetmap | 149
	NIOCCONFIG  = ioctlRW | 272<<16 | ioctlNetmap | 150
	NIOCCTRL    = ioctlRW | sizeofHeader<<16 | ioctlNetmap | 151

	// FreeBSDVoid is set on FreeBSD in the numbers without a structure (IOC_VOID).
	FreeBSDVoid = 0x20000000

	// SizeMask is the mask of the structure's size in a number. NIOCGINFO and NIOCREGIF of the
	// first APIs differ from those above in the size only.
	SizeMask = 0x3fff << 16

	ioctlRW     = 3 << 30
	ioctlNetmap = 'i' << 8

	sizeofNmreq  = 60
	sizeofHeader = 88
)
