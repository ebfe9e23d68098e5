//! A Linux kernel image that holds no Linux: a setup header as the boot
//! protocol wants it (Documentation/arch/x86/boot.rst) and some code. For tests
//! of what wraps kernels.

use igvm_core::write::wrap::linux::SetupHeader;
use zerocopy::{FromZeros, IntoBytes};

/// Where the header stands in an image.
pub const HEADER: usize = 0x1f1;
/// Where the 64-bit entry is in the protected-mode code.
pub const ENTRY_64: usize = 0x200;
const SECTOR: usize = 512;

/// The header of a relocatable kernel that likes 16 MiB and unpacks itself in 2
/// MiB, of protocol 2.12.
pub fn header() -> SetupHeader {
    let header_end = HEADER + size_of::<SetupHeader>();
    SetupHeader {
        setup_sects: 1,
        boot_flag: 0xaa55.into(),
        jump: [0xeb, (header_end - 0x202) as u8],
        header: *b"HdrS",
        version: 0x020c.into(),
        loadflags: 1,
        initrd_addr_max: 0x7fff_ffff.into(),
        kernel_alignment: 0x20_0000.into(),
        relocatable_kernel: 1,
        xloadflags: 1.into(),
        cmdline_size: 2047.into(),
        pref_address: 0x100_0000.into(),
        init_size: 0x20_0000.into(),
        ..SetupHeader::new_zeroed()
    }
}

/// An image with this header and, at its 64-bit entry, this code.
pub fn image(header: &SetupHeader, entry: &[u8]) -> Vec<u8> {
    let mut code = vec![0; ENTRY_64];
    code.extend_from_slice(entry);
    code.resize(code.len().next_multiple_of(16), 0);
    let setup = (usize::from(header.setup_sects) + 1) * SECTOR;
    let mut image = vec![0; setup.max(2 * SECTOR)];
    let header = SetupHeader { syssize: (code.len() as u32 / 16).into(), ..*header };
    image[HEADER..HEADER + size_of::<SetupHeader>()].copy_from_slice(header.as_bytes());
    image.truncate(setup);
    image.extend(code);
    image
}
