//! What a kernel is handed: `struct boot_params`, the "zero page"
//! (Documentation/arch/x86/zero-page.rst; arch/x86/include/uapi/asm/bootparam.h).

use core::mem::offset_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `E820_MAX_ENTRIES_ZEROPAGE`
pub const E820_ENTRIES_MAX: usize = 128;

/// `struct setup_header`, up to protocol 2.12 (Documentation/arch/x86/boot.rst,
/// "The Real-Mode Kernel Header"). Later fields follow in [`BootParams`] as
/// bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SetupHeader {
    /// Sectors of real-mode code behind the boot sector; 0 means 4.
    pub setup_sects: u8,
    /// Deprecated.
    pub root_flags: U16,
    /// The protected-mode code in units of 16 bytes.
    pub syssize: U32,
    /// Obsolete.
    pub ram_size: U16,
    /// Video mode.
    pub vid_mode: U16,
    /// Deprecated.
    pub root_dev: U16,
    /// 0xaa55
    pub boot_flag: U16,
    /// A short jump, whose distance is the length of what follows.
    pub jump: [u8; 2],
    /// `HdrS`
    pub header: [u8; 4],
    /// Boot protocol, major version in the upper byte.
    pub version: U16,
    /// For 16-bit loaders.
    pub realmode_swtch: U32,
    /// Obsolete.
    pub start_sys_seg: U16,
    /// Where the version's text is.
    pub kernel_version: U16,
    /// The loader's number.
    pub type_of_loader: u8,
    /// Bit 0 LOADED_HIGH.
    pub loadflags: u8,
    /// For old 16-bit loaders.
    pub setup_move_size: U16,
    /// Where the protected-mode code is.
    pub code32_start: U32,
    /// Where the initial ramdisk is.
    pub ramdisk_image: U32,
    /// Bytes of the initial ramdisk.
    pub ramdisk_size: U32,
    /// Obsolete.
    pub bootsect_kludge: U32,
    /// For 16-bit loaders.
    pub heap_end_ptr: U16,
    /// The loader's version.
    pub ext_loader_ver: u8,
    /// The loader's number, continued.
    pub ext_loader_type: u8,
    /// Where the command line is.
    pub cmd_line_ptr: U32,
    /// The highest byte an initial ramdisk may have.
    pub initrd_addr_max: U32,
    /// What a relocatable kernel's address must be a multiple of.
    pub kernel_alignment: U32,
    /// Not 0 where the kernel runs at any such address.
    pub relocatable_kernel: u8,
    /// The least alignment that works, as a power of two.
    pub min_alignment: u8,
    /// Bit 0 XLF_KERNEL_64.
    pub xloadflags: U16,
    /// Most characters of a command line, without the final NUL.
    pub cmdline_size: U32,
    /// 0 for a PC.
    pub hardware_subarch: U32,
    /// Unused on a PC.
    pub hardware_subarch_data: U64,
    /// Where the compressed kernel is.
    pub payload_offset: U32,
    /// How long it is.
    pub payload_length: U32,
    /// A list of further data.
    pub setup_data: U64,
    /// Where the kernel likes to be.
    pub pref_address: U64,
    /// Bytes from there on that the kernel uses before it looks at its memory
    /// map.
    pub init_size: U32,
    /// For EFI.
    pub handover_offset: U32,
}

/// `struct boot_e820_entry`
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct E820Entry {
    /// First byte.
    pub addr: U64,
    /// Bytes.
    pub size: U64,
    /// ACPI specification 6.5, table 15.2: 1 memory, 2 reserved, 7 persistent.
    pub typ: U32,
}

/// Memory, for the kernel to use.
pub const E820_RAM: u32 = 1;
/// Neither memory to use nor free for devices.
pub const E820_RESERVED: u32 = 2;
/// Persistent memory.
pub const E820_PMEM: u32 = 7;

/// `struct boot_params`, as far as it is used here.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BootParams {
    reserved_000: [u8; 0x70],
    /// Where the RSDP is (since Linux 5.0; zeroes before).
    pub acpi_rsdp_addr: U64,
    reserved_078: [u8; 0x170],
    /// Used entries of `e820_table`.
    pub e820_entries: u8,
    reserved_1e9: [u8; 0x8],
    /// The header of the image with what the loader adds.
    pub hdr: SetupHeader,
    /// What later protocols have behind it.
    pub hdr_rest: [u8; HEADER_REST],
    reserved_290: [u8; 0x40],
    /// The memory map.
    pub e820_table: [E820Entry; E820_ENTRIES_MAX],
    reserved_cd0: [u8; 0x330],
}

/// Where the header is in the image and in [`BootParams`] alike.
pub(super) const HEADER: usize = 0x1f1;
/// Where it ends at the latest.
pub(super) const HEADER_END_MAX: usize = 0x290;
/// Where it ends at the earliest, since protocol 2.11.
pub(super) const HEADER_END_MIN: usize = HEADER + size_of::<SetupHeader>();
const HEADER_REST: usize = HEADER_END_MAX - HEADER_END_MIN;

const _: () = {
    assert!(size_of::<SetupHeader>() == 0x268 - 0x1f1);
    assert!(size_of::<E820Entry>() == 20);
    assert!(size_of::<BootParams>() == 4096);
    assert!(offset_of!(SetupHeader, xloadflags) == 0x236 - 0x1f1);
    assert!(offset_of!(SetupHeader, init_size) == 0x260 - 0x1f1);
    assert!(offset_of!(BootParams, acpi_rsdp_addr) == 0x70);
    assert!(offset_of!(BootParams, e820_entries) == 0x1e8);
    assert!(offset_of!(BootParams, hdr) == HEADER);
    assert!(offset_of!(BootParams, hdr_rest) == HEADER_END_MIN);
    assert!(offset_of!(BootParams, reserved_290) == HEADER_END_MAX);
    assert!(offset_of!(BootParams, e820_table) == 0x2d0);
};
