//! Where things are in guest memory, the kernel and its ramdisk apart. All of
//! it is plain memory on every machine.
//!
//! | address | |
//! |---|---|
//! | 0x0000 | BIOS data area: where the tables are, for kernels before 5.0 |
//! | 0x1000 | page tables, 6 pages |
//! | 0x7000 | descriptors, and what the stub writes to the chipset |
//! | 0x8000 | `boot_params` |
//! | 0x9000 | the stub |
//! | 0xa000 | command line: parameter area |
//! | 0xb000 | memory map: parameter area |
//! | 0x80000 | ACPI tables, the RSDP first |
//! | 0x90000 | MADT: parameter area, 16 pages (4096 processors) |

use crate::span::Span;

pub(super) const GDT_GPA: u64 = 0x7000;
pub(super) const CHIPSET_GPA: u64 = 0x7800;
/// Where `boot_params` is.
pub const BOOT_PARAMS_GPA: u64 = 0x8000;
/// Where the stub is.
pub const STUB_GPA: u64 = 0x9000;
pub(super) const COMMAND_LINE_GPA: u64 = 0xa000;
/// Where the loader's memory map goes.
pub const MEMORY_MAP_GPA: u64 = 0xb000;

/// What stays reserved while the kernel runs.
pub const RESERVED: Span = Span::between(ACPI.start, 0xa_0000);
/// Where the ACPI tables go, the RSDP first.
pub const ACPI: Span = Span::between(0x8_0000, MADT_GPA);
/// Where the loader's MADT goes.
pub const MADT_GPA: u64 = 0x9_0000;
pub(super) const MADT_LEN: u64 = RESERVED.end() - MADT_GPA;

/// I/O address of the q35's power management block.
pub const PMBASE: u32 = 0x600;
/// Address of the q35's memory-mapped PCI configuration space, 256 MiB.
pub const PCIEXBAR: u32 = 0xb000_0000;
