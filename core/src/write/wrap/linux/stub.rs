//! What runs before the kernel: the little that a kernel expects of firmware
//! and a file cannot hold.
//!
//! It is entered with everything it needs in registers, from the file's
//! context (`context`), and uses no stack:
//!
//! 1. Memory becomes cacheable: IA32_MTRR_DEF_TYPE (0x2ff) gets its enable bit
//!    and write-back, since after reset everything is uncacheable (SDM volume
//!    3, "IA32_MTRR_DEF_TYPE MSR"). A Linux that finds MTRRs disabled leaves
//!    the page attribute table alone, too.
//! 2. On a q35 ([`Q35`] at 00:00.0) it writes [`CHIPSET`] to PCI configuration
//!    space and sets SCI_EN in PM1_CNT (ICH9 datasheet, 13.8.3.3), so that the
//!    ACPI tables of the file are true: they name no SMI command, so the machine
//!    is in ACPI mode from the start (ACPI specification 6.5, 4.8.2.5).
//! 3. It appends the memory map that the loader supplied (24-byte entries in
//!    pages, ended by an entry of no pages) to `boot_params.e820_table`
//!    (20-byte entries in bytes), up to its 128 entries. Memory between
//!    [`RESERVED`]'s start and 1 MiB is left out: there are the file's tables,
//!    and the addresses that a PC gives to its display and firmware.
//! 4. It jumps to the kernel.

use igvm_defs::{IGVM_VHS_MEMORY_MAP_ENTRY, IgvmNativeVpContextX64, PAGE_SIZE_4K};

use super::layout::{
    BOOT_PARAMS_GPA, CHIPSET_GPA, GDT_GPA, MEMORY_MAP_GPA, PCIEXBAR, PMBASE, RESERVED, STUB_GPA,
};
use crate::write::start;
use crate::write::wrap::PML4_GPA;

/// Vendor and device of the q35's host bridge: Intel 82G33/G31/P35/P31.
pub const Q35: u32 = 0x29c0_8086;

/// What firmware sets in a q35, as pairs of a CONFIG_ADDRESS and a value:
/// PCIEXBAR of the host bridge (Intel 3 Series Express Chipset datasheet,
/// 5.1.16), PMBASE and ACPI_CNTL of the LPC bridge (ICH9 datasheet, 13.1.13 and
/// 13.1.14).
pub const CHIPSET: [u32; 8] = [
    config_address(0, 0, 0x64),
    0,
    config_address(0, 0, 0x60),
    PCIEXBAR | 1,
    config_address(0x1f, 0, 0x40),
    PMBASE | 1,
    config_address(0x1f, 0, 0x44),
    // ACPI_EN, and SCI as interrupt 9.
    0x80,
];

const fn config_address(device: u32, function: u32, register: u32) -> u32 {
    1 << 31 | device << 11 | function << 8 | register
}

// The numbers in the listing below.
const _: () = assert!(RESERVED.start == 0x8_0000 && RESERVED.end() <= 0x10_0000);
const _: () = assert!(PMBASE == 0x600);

/// The context that the stub starts from: 64-bit mode with the selectors of the
/// 64-bit boot protocol, interrupts off. RSI is the protocol's, the others are
/// the stub's.
pub(super) fn context(entry: u64) -> IgvmNativeVpContextX64 {
    const ENTRY: u64 = size_of::<IGVM_VHS_MEMORY_MAP_ENTRY>() as u64;
    const MEMORY_MAP_LEN: u64 = PAGE_SIZE_4K - PAGE_SIZE_4K % ENTRY;
    let long64 = start::long64(STUB_GPA, 0, GDT_GPA as u32, PML4_GPA);
    IgvmNativeVpContextX64 {
        code_selector: BOOT_CS,
        data_selector: BOOT_DS,
        rsi: BOOT_PARAMS_GPA,
        rbp: entry,
        r12: MEMORY_MAP_GPA,
        r13: const { MEMORY_MAP_GPA + MEMORY_MAP_LEN },
        r14: CHIPSET_GPA,
        r15: const { CHIPSET_GPA + size_of_val(&CHIPSET) as u64 },
        ..long64
    }
}

/// `__BOOT_CS` of the boot protocol.
pub const BOOT_CS: u16 = 0x10;
/// `__BOOT_DS` of the boot protocol.
pub const BOOT_DS: u16 = 0x18;
/// The descriptors behind them.
pub const GDT: [u64; 4] = {
    let [_, _, data, code64] = start::FLAT_GDT;
    [0, 0, code64, data]
};

/// The code, at [`STUB_GPA`]; it runs anywhere. Branch targets in the listing
/// count from its start. A test disassembles it and compares.
#[rustfmt::skip]
pub const CODE: [u8; 0x128] = [
    0xb8, 0x01, 0x00, 0x00, 0x00,                              // mov eax, 0x1
    0x0f, 0xa2,                                                // cpuid
    0x0f, 0xba, 0xe2, 0x0c,                                    // bt edx, 0xc
    0x73, 0x0e,                                                // jae 0x1b
    0xb9, 0xff, 0x02, 0x00, 0x00,                              // mov ecx, 0x2ff
    0xb8, 0x06, 0x08, 0x00, 0x00,                              // mov eax, 0x806
    0x31, 0xd2,                                                // xor edx, edx
    0x0f, 0x30,                                                // wrmsr
    // chipset:
    0xb8, 0x00, 0x00, 0x00, 0x80,                              // mov eax, 0x80000000
    0xba, 0xf8, 0x0c, 0x00, 0x00,                              // mov edx, 0xcf8
    0xef,                                                      // out dx, eax
    0xba, 0xfc, 0x0c, 0x00, 0x00,                              // mov edx, 0xcfc
    0xed,                                                      // in eax, dx
    0x3d, 0x86, 0x80, 0xc0, 0x29,                              // cmp eax, 0x29c08086
    0x75, 0x2a,                                                // jne 0x5d
    // write:
    0x4d, 0x39, 0xfe,                                          // cmp r14, r15
    0x74, 0x19,                                                // je 0x51
    0x41, 0x8b, 0x06,                                          // mov eax, [r14]
    0xba, 0xf8, 0x0c, 0x00, 0x00,                              // mov edx, 0xcf8
    0xef,                                                      // out dx, eax
    0x41, 0x8b, 0x46, 0x04,                                    // mov eax, [r14+0x4]
    0xba, 0xfc, 0x0c, 0x00, 0x00,                              // mov edx, 0xcfc
    0xef,                                                      // out dx, eax
    0x49, 0x83, 0xc6, 0x08,                                    // add r14, 0x8
    0xeb, 0xe2,                                                // jmp 0x33
    // mode:
    0xba, 0x04, 0x06, 0x00, 0x00,                              // mov edx, 0x604
    0xb8, 0x01, 0x00, 0x00, 0x00,                              // mov eax, 0x1
    0x66, 0xef,                                                // out dx, ax
    // map:
    0x0f, 0xb6, 0x8e, 0xe8, 0x01, 0x00, 0x00,                  // movzx ecx, byte ptr [rsi+0x1e8]
    0x8d, 0x3c, 0x89,                                          // lea edi, [rcx+rcx*4]
    0x48, 0x8d, 0xbc, 0xbe, 0xd0, 0x02, 0x00, 0x00,            // lea rdi, [rsi+rdi*4+0x2d0]
    // next:
    0x4d, 0x39, 0xec,                                          // cmp r12, r13
    0x0f, 0x84, 0xa8, 0x00, 0x00, 0x00,                        // je 0x120
    0x4d, 0x8b, 0x04, 0x24,                                    // mov r8, [r12]
    0x4d, 0x8b, 0x4c, 0x24, 0x08,                              // mov r9, [r12+0x8]
    0x41, 0x0f, 0xb7, 0x44, 0x24, 0x10,                        // movzx eax, word ptr [r12+0x10]
    0x4d, 0x85, 0xc9,                                          // test r9, r9
    0x0f, 0x84, 0x90, 0x00, 0x00, 0x00,                        // je 0x120
    0x49, 0x83, 0xc4, 0x18,                                    // add r12, 0x18
    0x49, 0xc1, 0xe0, 0x0c,                                    // shl r8, 0xc
    0x49, 0xc1, 0xe1, 0x0c,                                    // shl r9, 0xc
    0x4d, 0x01, 0xc1,                                          // add r9, r8
    0x41, 0xba, 0x01, 0x00, 0x00, 0x00,                        // mov r10d, 0x1
    0x85, 0xc0,                                                // test eax, eax
    0x74, 0x16,                                                // je 0xbf
    0x83, 0xf8, 0x03,                                          // cmp eax, 0x3
    0x74, 0x11,                                                // je 0xbf
    0x41, 0xba, 0x07, 0x00, 0x00, 0x00,                        // mov r10d, 0x7
    0x83, 0xf8, 0x02,                                          // cmp eax, 0x2
    0x74, 0x06,                                                // je 0xbf
    0x41, 0xba, 0x02, 0x00, 0x00, 0x00,                        // mov r10d, 0x2
    // typed:
    0x4d, 0x89, 0xcb,                                          // mov r11, r9
    0x41, 0x83, 0xfa, 0x01,                                    // cmp r10d, 0x1
    0x75, 0x1d,                                                // jne 0xe5
    0x49, 0x81, 0xf8, 0x00, 0x00, 0x10, 0x00,                  // cmp r8, 0x100000
    0x73, 0x14,                                                // jae 0xe5
    0x49, 0x81, 0xf9, 0x00, 0x00, 0x08, 0x00,                  // cmp r9, 0x80000
    0x76, 0x0b,                                                // jbe 0xe5
    0x41, 0xbb, 0x00, 0x00, 0x08, 0x00,                        // mov r11d, 0x80000
    0x4d, 0x39, 0xd8,                                          // cmp r8, r11
    0x73, 0x1f,                                                // jae 0x104
    // put:
    0x81, 0xf9, 0x80, 0x00, 0x00, 0x00,                        // cmp ecx, 0x80
    0x74, 0x33,                                                // je 0x120
    0x4c, 0x89, 0x07,                                          // mov [rdi], r8
    0x4c, 0x89, 0xd8,                                          // mov rax, r11
    0x4c, 0x29, 0xc0,                                          // sub rax, r8
    0x48, 0x89, 0x47, 0x08,                                    // mov [rdi+0x8], rax
    0x44, 0x89, 0x57, 0x10,                                    // mov [rdi+0x10], r10d
    0x48, 0x83, 0xc7, 0x14,                                    // add rdi, 0x14
    0xff, 0xc1,                                                // inc ecx
    // rest:
    0x4d, 0x39, 0xcb,                                          // cmp r11, r9
    0x0f, 0x84, 0x62, 0xff, 0xff, 0xff,                        // je 0x6f
    0x41, 0xb8, 0x00, 0x00, 0x10, 0x00,                        // mov r8d, 0x100000
    0x4d, 0x89, 0xcb,                                          // mov r11, r9
    0x4d, 0x39, 0xc8,                                          // cmp r8, r9
    0x72, 0xca,                                                // jb 0xe5
    0xe9, 0x4f, 0xff, 0xff, 0xff,                              // jmp 0x6f
    // done:
    0x88, 0x8e, 0xe8, 0x01, 0x00, 0x00,                        // mov [rsi+0x1e8], cl
    0xff, 0xe5,                                                // jmp rbp
];
