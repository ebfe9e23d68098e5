//! A Linux kernel that starts without firmware, by the 64-bit boot protocol
//! (Documentation/arch/x86/boot.rst).
//!
//! The kernel goes where it likes to be, its ramdisk right behind the memory it
//! unpacks itself in; REQUIRED_MEMORY asks for both. A [`stub`] is entered
//! first, which turns the loader's memory map into the kernel's. The loader is
//! asked for MEMORY_MAP, COMMAND_LINE and, for the ACPI tables, MADT, and for
//! nothing that Linux can do without: a loader that cannot supply something
//! refuses the file.
//!
//! The command line is the file's text, and the host's behind it: the
//! parameter area starts out with the file's text and a space, and COMMAND_LINE
//! goes right behind. So a host that says nothing takes nothing away, and what
//! it says comes last, where Linux lets it win. The area ends where the
//! kernel's `cmdline_size` is reached: what is too long fails the load instead
//! of being cut by the kernel.

mod boot_params;
mod error;
mod image;
mod layout;
pub mod stub;

use alloc::vec;
use alloc::vec::Vec;

use igvm_defs::{
    IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_REQUIRED_MEMORY, PAGE_SIZE_4K, RequiredMemoryFlags,
};
use zerocopy::{FromZeros, IntoBytes};

pub use boot_params::{
    BootParams, E820_ENTRIES_MAX, E820_PMEM, E820_RAM, E820_RESERVED, E820Entry, SetupHeader,
};
pub use error::LinuxError;
pub use layout::{
    ACPI, BOOT_PARAMS_GPA, MADT_GPA, MEMORY_MAP_GPA, PCIEXBAR, PMBASE, RESERVED, STUB_GPA,
};

use super::{MASK, PAGE_LEN, native_file, push_identity_map, push_pages};
use crate::span::Span;
use crate::wire::ParameterKind;
use crate::write::{Data, FileBuilder, HeaderSpec, WriteError};
use image::{ENTRY_64, Image, LOW_RAM_END};
use layout::{CHIPSET_GPA, COMMAND_LINE_GPA, GDT_GPA, MADT_LEN};

const COMMAND_LINE_AREA: u32 = 0;
const MEMORY_MAP_AREA: u32 = 1;
const MADT_AREA: u32 = 2;

/// `type_of_loader` of a loader without a number.
const LOADER_UNDEFINED: u8 = 0xff;
/// `vid_mode` for the normal one.
const VIDEO_NORMAL: u16 = 0xffff;

/// What goes into the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Linux<'a> {
    /// The kernel, a bzImage.
    pub kernel: &'a [u8],
    /// The initial ramdisk.
    pub initrd: Option<&'a [u8]>,
    /// The file's part of the command line; ASCII without NUL.
    pub command_line: &'a [u8],
    /// ACPI tables, made for [`ACPI`]: the RSDP first, and an XSDT that names
    /// the loader's MADT at [`MADT_GPA`] too. Without any, the loader is not
    /// asked for a MADT.
    pub acpi: &'a [u8],
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// What must be memory above 1 MiB: kernel and ramdisk.
    pub memory: Span,
}

/// Wraps a kernel.
///
/// # Errors
/// The kernel cannot be started by the 64-bit protocol or there is no place for
/// it, or something does not fit.
pub fn linux(linux: &Linux<'_>) -> Result<LinuxFile, LinuxError> {
    let image = Image::read(linux.kernel)?;
    let command_line = CommandLine::new(linux.command_line, &image)?;
    let initrd = place_initrd(linux.initrd, &image)?;
    let memory = Span::between(image.load, initrd.end().next_multiple_of(PAGE_SIZE_4K));
    let mut boot_params = boot_params(&image, &command_line, initrd);
    if !linux.acpi.is_empty() {
        boot_params.acpi_rsdp_addr = ACPI.start.into();
    }
    if linux.acpi.len() as u64 > ACPI.len {
        return Err(LinuxError::Acpi { len: linux.acpi.len() as u64 });
    }

    let mut file = native_file()?;
    file.push(HeaderSpec::RequiredMemory(IGVM_VHS_REQUIRED_MEMORY {
        gpa: memory.start,
        compatibility_mask: MASK,
        // At most 2 GiB.
        number_of_bytes: memory.len as u32,
        flags: RequiredMemoryFlags::new(),
        reserved: 0,
    }))?;
    push_pages(&mut file, 0, &bios_data_area())?;
    push_identity_map(&mut file)?;
    push_pages(&mut file, GDT_GPA, &descriptors())?;
    push_pages(&mut file, BOOT_PARAMS_GPA, boot_params.as_bytes())?;
    push_pages(&mut file, STUB_GPA, &stub::CODE)?;
    command_line.push(&mut file)?;
    push_area(&mut file, MEMORY_MAP_AREA, ParameterKind::MemoryMap, MEMORY_MAP_GPA, PAGE_SIZE_4K)?;
    if !linux.acpi.is_empty() {
        push_pages(&mut file, ACPI.start, linux.acpi)?;
        push_area(&mut file, MADT_AREA, ParameterKind::Madt, MADT_GPA, MADT_LEN)?;
    }
    push_pages(&mut file, image.load, image.code)?;
    push_pages(&mut file, initrd.start, linux.initrd.unwrap_or_default())?;
    let context = stub::context(image.load.saturating_add(ENTRY_64));
    file.push(HeaderSpec::native_context(MASK, &context))?;
    Ok(LinuxFile { bytes: file.finish(), memory })
}

/// Where the ramdisk goes: right behind the kernel, in whole pages. Without
/// one, an empty span there.
fn place_initrd(initrd: Option<&[u8]>, image: &Image<'_>) -> Result<Span, LinuxError> {
    let Some(initrd) = initrd else { return Ok(Span::new(image.init_end, 0)) };
    let len = initrd.len() as u64;
    let end = u64::from(image.header.initrd_addr_max.get()).saturating_add(1).min(LOW_RAM_END);
    let max = end.saturating_sub(image.init_end);
    match len {
        0 => Err(LinuxError::InitrdEmpty),
        len if len > max => Err(LinuxError::InitrdTooLarge { len, max }),
        len => Ok(Span::new(image.init_end, len)),
    }
}

/// The header of the image in an otherwise empty page, and what is known by
/// now. The memory map begins with what stays reserved.
fn boot_params(image: &Image<'_>, command_line: &CommandLine<'_>, initrd: Span) -> BootParams {
    let mut params = BootParams::new_zeroed();
    if let Some(header) = params
        .as_mut_bytes()
        .get_mut(boot_params::HEADER..)
        .and_then(|bytes| bytes.get_mut(..image.header_bytes.len()))
    {
        header.copy_from_slice(image.header_bytes);
    }
    params.e820_entries = 1;
    let [first, ..] = &mut params.e820_table;
    *first = E820Entry {
        addr: RESERVED.start.into(),
        size: RESERVED.len.into(),
        typ: E820_RESERVED.into(),
    };
    let header = &mut params.hdr;
    header.vid_mode = VIDEO_NORMAL.into();
    header.type_of_loader = LOADER_UNDEFINED;
    // Everything is below 2 GiB.
    header.code32_start = (image.load as u32).into();
    header.cmd_line_ptr = (command_line.gpa() as u32).into();
    if !initrd.is_empty() {
        header.ramdisk_image = (initrd.start as u32).into();
        header.ramdisk_size = (initrd.len as u32).into();
    }
    params
}

/// The file's part of the command line in its area of one page.
struct CommandLine<'a> {
    text: &'a [u8],
    /// Where the area's text begins, so that it ends with the area.
    offset: usize,
}

impl<'a> CommandLine<'a> {
    fn new(text: &'a [u8], image: &Image<'_>) -> Result<Self, LinuxError> {
        if let Some(byte) = text.iter().find(|byte| !byte.is_ascii() || **byte == 0) {
            return Err(LinuxError::CommandLine { byte: *byte });
        }
        let takes = usize::try_from(image.header.cmdline_size.get()).unwrap_or(usize::MAX);
        let max = takes.min(const { PAGE_LEN - 1 });
        if text.len() > max {
            return Err(LinuxError::CommandLineTooLong { len: text.len(), max });
        }
        Ok(Self { text, offset: PAGE_LEN.saturating_sub(max).saturating_sub(1) })
    }

    fn gpa(&self) -> u64 {
        COMMAND_LINE_GPA.saturating_add(self.offset as u64)
    }

    fn push(&self, file: &mut FileBuilder) -> Result<(), WriteError> {
        let mut area = vec![0; self.offset];
        area.extend_from_slice(self.text);
        // What is full keeps its last byte for the host's NUL.
        if !self.text.is_empty() && area.len() < const { PAGE_LEN - 1 } {
            area.push(b' ');
        }
        let hosts = area.len() as u32;
        let initial = match self.text {
            [] => Data::Zero,
            _ => Data::Bytes(&area),
        };
        file.push(HeaderSpec::ParameterArea {
            index: COMMAND_LINE_AREA,
            number_of_bytes: PAGE_SIZE_4K,
            initial,
        })?;
        file.push(HeaderSpec::parameter(ParameterKind::CommandLine, COMMAND_LINE_AREA, hosts))?;
        push_insert(file, COMMAND_LINE_AREA, COMMAND_LINE_GPA)
    }
}

/// An area of zeroes with one parameter at its start.
fn push_area(
    file: &mut FileBuilder,
    index: u32,
    kind: ParameterKind,
    gpa: u64,
    number_of_bytes: u64,
) -> Result<(), WriteError> {
    file.push(HeaderSpec::ParameterArea { index, number_of_bytes, initial: Data::Zero })?;
    file.push(HeaderSpec::parameter(kind, index, 0))?;
    push_insert(file, index, gpa)
}

fn push_insert(file: &mut FileBuilder, index: u32, gpa: u64) -> Result<(), WriteError> {
    file.push(HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa,
        compatibility_mask: MASK,
        parameter_area_index: index,
    }))
}

/// The descriptors, and behind them what the stub writes to the chipset.
fn descriptors() -> Vec<u8> {
    let mut page = Vec::from(stub::GDT.as_bytes());
    page.resize(const { (CHIPSET_GPA - GDT_GPA) as usize }, 0);
    page.extend_from_slice(stub::CHIPSET.as_bytes());
    page
}

/// The two words by which a PC's software finds tables below 1 MiB: the segment
/// of the extended BIOS data area (at 0x40e), whose first kilobyte is searched
/// for the RSDP (ACPI specification 6.5, 5.2.5.1), and the kilobytes of memory
/// below it (at 0x413).
fn bios_data_area() -> Vec<u8> {
    let mut page = vec![0; 0x40e];
    page.extend(const { (ACPI.start >> 4) as u16 }.to_le_bytes());
    page.resize(0x413, 0);
    page.extend(const { (ACPI.start >> 10) as u16 }.to_le_bytes());
    page
}
