//! The kernel image: a bzImage, judged before anything is made of it.

use igvm_defs::PAGE_SIZE_4K;
use zerocopy::FromBytes;

use super::LinuxError;
use super::boot_params::{HEADER, HEADER_END_MAX, HEADER_END_MIN, SetupHeader};

const BOOT_FLAG: u16 = 0xaa55;
const MAGIC: [u8; 4] = *b"HdrS";
/// The first protocol that tells of a 64-bit entry.
const VERSION_MIN: u16 = 0x020c;
const LOADED_HIGH: u8 = 1 << 0;
const XLF_KERNEL_64: u16 = 1 << 0;
const SECTOR: usize = 512;

/// Where the 64-bit entry is in the protected-mode code.
pub(super) const ENTRY_64: u64 = 0x200;

/// Below this, a PC has devices and firmware among its memory.
const LOAD_MIN: u64 = 1 << 20;
/// Where a kernel goes that does not say where it likes to be.
const LOAD_DEFAULT: u64 = 16 << 20;
/// A PC with much memory has it up to here below 4 GiB.
pub(super) const LOW_RAM_END: u64 = 2 << 30;

/// An image that can be started, and where.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) header: SetupHeader,
    /// Everything from offset [`HEADER`] on that the image calls its header.
    pub(super) header_bytes: &'a [u8],
    /// The protected-mode code.
    pub(super) code: &'a [u8],
    /// Where it goes.
    pub(super) load: u64,
    /// Where the memory ends that the kernel uses before it looks at its
    /// memory map; a multiple of 4 KiB.
    pub(super) init_end: u64,
}

impl<'a> Image<'a> {
    pub(super) fn read(kernel: &'a [u8]) -> Result<Self, LinuxError> {
        let (header, _) = kernel
            .get(HEADER..)
            .and_then(|bytes| SetupHeader::read_from_prefix(bytes).ok())
            .ok_or(LinuxError::NotBzImage)?;
        if header.boot_flag != BOOT_FLAG || header.header != MAGIC {
            return Err(LinuxError::NotBzImage);
        }
        let version = header.version.get();
        if version < VERSION_MIN {
            return Err(LinuxError::TooOld { version });
        }
        if header.loadflags & LOADED_HIGH == 0 {
            return Err(LinuxError::NotBzImage);
        }
        if header.xloadflags & XLF_KERNEL_64 == 0 {
            return Err(LinuxError::No64BitEntry);
        }
        let [_, distance] = header.jump;
        let header_end = usize::from(distance).saturating_add(0x202);
        let header_bytes = match header_end {
            HEADER_END_MIN..=HEADER_END_MAX => kernel.get(HEADER..header_end),
            _ => return Err(LinuxError::Header { end: header_end }),
        };
        let header_bytes = header_bytes.ok_or(LinuxError::NotBzImage)?;
        let code = code(kernel, &header)?;
        let (load, init_end) = place(&header, code.len() as u64)?;
        Ok(Self { header, header_bytes, code, load, init_end })
    }
}

/// Everything behind the real-mode code, what a signer added included: the
/// header's size tells whether the image is whole.
fn code<'a>(kernel: &'a [u8], header: &SetupHeader) -> Result<&'a [u8], LinuxError> {
    let sectors = match header.setup_sects {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let code = kernel.get(sectors.saturating_add(1).saturating_mul(SECTOR)..).unwrap_or(&[]);
    let stated = u64::from(header.syssize.get()).saturating_mul(16);
    let there = (code.len() as u64).saturating_add(15);
    if there < stated || code.len() as u64 <= ENTRY_64 {
        return Err(LinuxError::CutShort { stated, there: code.len() as u64 });
    }
    Ok(code)
}

/// Load address and end: where the kernel likes to be, else at 16 MiB where it
/// lets itself be put there.
fn place(header: &SetupHeader, len: u64) -> Result<(u64, u64), LinuxError> {
    let init_size = u64::from(header.init_size.get());
    if init_size < len {
        return Err(LinuxError::InitSize { init_size, len });
    }
    let relocatable = header.relocatable_kernel != 0;
    let alignment = u64::from(header.kernel_alignment.get());
    if relocatable && !alignment.is_power_of_two() {
        return Err(LinuxError::Alignment { alignment });
    }
    let fits = |load: u64| {
        let end = load.checked_add(init_size)?.checked_next_multiple_of(PAGE_SIZE_4K)?;
        let aligned = load.is_multiple_of(PAGE_SIZE_4K)
            && (!relocatable || load & alignment.saturating_sub(1) == 0);
        (load >= LOAD_MIN && end <= LOW_RAM_END && aligned).then_some((load, end))
    };
    let pref = header.pref_address.get();
    let default = LOAD_DEFAULT.checked_next_multiple_of(alignment);
    fits(pref)
        .or_else(|| default.filter(|_| relocatable).and_then(fits))
        .ok_or(LinuxError::NoPlace { pref, init_size, relocatable })
}
