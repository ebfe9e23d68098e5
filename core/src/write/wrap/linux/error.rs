//! Why a kernel is not wrapped.

use core::fmt;

use super::image::LOW_RAM_END;
use super::layout::ACPI;
use crate::write::WriteError;

/// Why a kernel is not wrapped: a sentence each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinuxError {
    /// No boot flag, no magic number, or not to be loaded high.
    NotBzImage,
    /// The boot protocol is older than 2.12.
    TooOld {
        /// The version, major in the upper byte.
        version: u16,
    },
    /// XLF_KERNEL_64 is not set.
    No64BitEntry,
    /// The setup header ends where none can end.
    Header {
        /// Offset of its end.
        end: usize,
    },
    /// The image has less than its header says, or no entry.
    CutShort {
        /// Bytes of protected-mode code by the header.
        stated: u64,
        /// Bytes that are there.
        there: u64,
    },
    /// `init_size` does not even hold the image.
    InitSize {
        /// `init_size`
        init_size: u64,
        /// Bytes of the image's protected-mode code.
        len: u64,
    },
    /// `kernel_alignment` is no power of two.
    Alignment {
        /// `kernel_alignment`
        alignment: u64,
    },
    /// There is no address for it.
    NoPlace {
        /// `pref_address`
        pref: u64,
        /// `init_size`
        init_size: u64,
        /// Whether it runs elsewhere, too.
        relocatable: bool,
    },
    /// The initial ramdisk is empty.
    InitrdEmpty,
    /// The initial ramdisk does not fit behind the kernel.
    InitrdTooLarge {
        /// Its bytes.
        len: u64,
        /// Bytes there are.
        max: u64,
    },
    /// The command line is longer than the kernel takes.
    CommandLineTooLong {
        /// Its characters.
        len: usize,
        /// Characters that fit.
        max: usize,
    },
    /// The command line holds something else than ASCII, or a NUL.
    CommandLine {
        /// The byte.
        byte: u8,
    },
    /// The ACPI tables do not fit.
    Acpi {
        /// Their bytes.
        len: u64,
    },
    /// The file could not be built.
    Write(WriteError),
}

impl fmt::Display for LinuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotBzImage => write!(
                f,
                "this is not a bzImage: give the kernel as a boot loader takes it (`/boot/vmlinuz`, \
                 arch/x86/boot/bzImage of a kernel tree)"
            ),
            Self::TooOld { version } => write!(
                f,
                "the kernel speaks boot protocol {}.{:02}; 2.12 is needed (Linux 3.8)",
                version >> 8,
                version & 0xff
            ),
            Self::No64BitEntry => {
                write!(f, "the kernel has no 64-bit entry (XLF_KERNEL_64): it is a 32-bit kernel")
            }
            Self::Header { end } => write!(
                f,
                "the setup header should end at {end:#x}, where no boot protocol from 2.12 on lets \
                 it end"
            ),
            Self::CutShort { stated, there } => write!(
                f,
                "the image is cut short: its header says {stated} bytes behind the real-mode code, \
                 there are {there}"
            ),
            Self::InitSize { init_size, len } => write!(
                f,
                "the kernel says that it needs {init_size:#x} bytes to unpack itself (init_size), \
                 and has {len:#x} packed"
            ),
            Self::Alignment { alignment } => {
                write!(f, "the kernel's alignment, {alignment:#x}, is not a power of two")
            }
            Self::NoPlace { pref, init_size, relocatable } => {
                let wish = match relocatable {
                    true => "likes to run",
                    false => "only runs (it is not relocatable)",
                };
                write!(
                    f,
                    "the kernel {wish} at {pref:#x} and needs {init_size:#x} bytes there; there is \
                     no place for it between 1 MiB and {LOW_RAM_END:#x}"
                )
            }
            Self::InitrdEmpty => write!(f, "the initial ramdisk is empty"),
            Self::InitrdTooLarge { len, max } => write!(
                f,
                "the initial ramdisk has {len} bytes; {max} fit between the kernel and the highest \
                 address that the kernel allows (initrd_addr_max) or a PC has memory at"
            ),
            Self::CommandLineTooLong { len, max } => write!(
                f,
                "the command line has {len} characters; this kernel takes {max} (cmdline_size)"
            ),
            Self::CommandLine { byte } => write!(
                f,
                "the command line holds the byte {byte:#04x}, but IGVM's command line is ASCII \
                 without NULs"
            ),
            Self::Acpi { len } => {
                write!(f, "the ACPI tables have {len} bytes; {} fit where they go", ACPI.len)
            }
            Self::Write(_) => write!(f, "the IGVM file cannot be built"),
        }
    }
}

impl core::error::Error for LinuxError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Write(error) => Some(error),
            _ => None,
        }
    }
}

impl From<WriteError> for LinuxError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}
