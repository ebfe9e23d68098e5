//! The mode a processor is in, derived from its registers.

use core::fmt;

use super::RegisterFile;
use super::bits::{cr0, cr4, efer, rflags};

/// What the processor takes its instructions for.
///
/// Virtual-8086 mode (RFLAGS.VM in protected mode) counts as
/// [`Mode::Protected16`]: no loader starts in it, and
/// [`problems`](super::problems) reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// CR0.PE is 0.
    Real,
    /// Protected mode with CS.D 0.
    Protected16,
    /// Protected mode with CS.D 1.
    Protected32,
    /// Long mode with CS.L 0 and CS.D 0.
    Compatibility16,
    /// Long mode with CS.L 0 and CS.D 1.
    Compatibility32,
    /// Long mode with CS.L 1.
    Long64,
}

impl Mode {
    /// The mode of a processor with these registers.
    ///
    /// Long mode is active where EFER.LME and CR0.PG are set. EFER.LMA is not
    /// looked at: the processor computes it from those two, and a stored LMA
    /// that says otherwise is refused (a [`Problem`](super::Problem)).
    /// Without CR0.PE the answer is real mode whatever else is set, and
    /// without long mode CS.L has no meaning.
    pub const fn of(registers: &RegisterFile) -> Self {
        let big = registers.cs.default_big();
        if registers.cr0 & cr0::PE == 0 {
            Self::Real
        } else if long_mode_active(registers) {
            match (registers.cs.long(), big) {
                (true, _) => Self::Long64,
                (false, true) => Self::Compatibility32,
                (false, false) => Self::Compatibility16,
            }
        } else if big && registers.rflags & rflags::VM == 0 {
            Self::Protected32
        } else {
            Self::Protected16
        }
    }

    /// The name in reports. Both compatibility modes are `compatibility`;
    /// [`Mode::bitness`] tells them apart.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Protected16 => "protected16",
            Self::Protected32 => "protected32",
            Self::Compatibility16 | Self::Compatibility32 => "compatibility",
            Self::Long64 => "long64",
        }
    }

    /// Default size of operands and addresses for a disassembler: 16, 32, 64.
    pub const fn bitness(self) -> u32 {
        match self {
            Self::Real | Self::Protected16 | Self::Compatibility16 => 16,
            Self::Protected32 | Self::Compatibility32 => 32,
            Self::Long64 => 64,
        }
    }

    /// Whether long mode is active: 64-bit mode or compatibility mode.
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Compatibility16 | Self::Compatibility32 | Self::Long64)
    }

    /// The mode of these registers with its reason, as a sentence without a
    /// full stop: "64-bit mode, because CR0.PG, CR4.PAE and EFER.LME are set
    /// and CS.L is 1".
    pub const fn because(registers: &RegisterFile) -> Because<'_> {
        Because(registers)
    }
}

impl fmt::Display for Mode {
    /// In words: "32-bit compatibility mode".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Real => "real mode",
            Self::Protected16 => "16-bit protected mode",
            Self::Protected32 => "32-bit protected mode",
            Self::Compatibility16 => "16-bit compatibility mode",
            Self::Compatibility32 => "32-bit compatibility mode",
            Self::Long64 => "64-bit mode",
        })
    }
}

/// See [`Mode::because`].
#[derive(Debug, Clone, Copy)]
pub struct Because<'a>(&'a RegisterFile);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registers = self.0;
        let mode = Mode::of(registers);
        let big = u8::from(registers.cs.default_big());
        write!(f, "{mode}, because ")?;
        match mode {
            Mode::Real => f.write_str("CR0.PE is clear"),
            Mode::Protected16 | Mode::Protected32 => {
                f.write_str("CR0.PE is set, ")?;
                f.write_str(if registers.efer & efer::LME == 0 {
                    "EFER.LME is clear"
                } else {
                    "CR0.PG is clear (EFER.LME alone does not activate long mode)"
                })?;
                match registers.rflags & rflags::VM {
                    0 => write!(f, " and CS.D is {big}"),
                    _ => f.write_str(" and RFLAGS.VM is set (virtual-8086 mode)"),
                }
            }
            Mode::Compatibility16 | Mode::Compatibility32 => {
                write!(f, "{}, CS.L is 0 and CS.D is {big}", LongCause(registers))
            }
            Mode::Long64 => write!(f, "{} and CS.L is 1", LongCause(registers)),
        }
    }
}

/// The bits that activate long mode. CR4.PAE is named where it is set: without
/// it the processor refuses the state.
struct LongCause<'a>(&'a RegisterFile);

impl fmt::Display for LongCause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.cr4 & cr4::PAE {
            0 => "CR0.PG and EFER.LME are set",
            _ => "CR0.PG, CR4.PAE and EFER.LME are set",
        })
    }
}

/// How linear addresses become physical ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PagingMode {
    /// CR0.PG is 0: linear addresses are physical ones.
    None,
    /// 32-bit paging: two levels of 4-byte entries.
    Bits32,
    /// PAE paging: three levels of 8-byte entries.
    Pae,
    /// 4-level paging, of long mode.
    Level4,
    /// 5-level paging, of long mode with CR4.LA57.
    Level5,
}

impl PagingMode {
    /// The paging mode of a processor with these registers (SDM volume 3,
    /// "Paging Modes and Control Bits").
    ///
    /// In long mode CR4.PAE has to be set; where it is not, the answer is
    /// still the long mode's, as in [`Mode::of`].
    pub const fn of(registers: &RegisterFile) -> Self {
        if registers.cr0 & cr0::PG == 0 {
            Self::None
        } else if long_mode_active(registers) {
            if registers.cr4 & cr4::LA57 == 0 { Self::Level4 } else { Self::Level5 }
        } else if registers.cr4 & cr4::PAE == 0 {
            Self::Bits32
        } else {
            Self::Pae
        }
    }

    /// Bits of a linear address: 32, 48 or 57.
    pub const fn linear_bits(self) -> u32 {
        match self {
            Self::None | Self::Bits32 | Self::Pae => 32,
            Self::Level4 => 48,
            Self::Level5 => 57,
        }
    }

    /// Whether `linear` is an address of this mode: canonical in long mode,
    /// below 4 GiB elsewhere.
    pub const fn is_address(self, linear: u64) -> bool {
        match self {
            Self::None | Self::Bits32 | Self::Pae => linear >> 32 == 0,
            Self::Level4 => is_canonical(linear, 48),
            Self::Level5 => is_canonical(linear, 57),
        }
    }
}

impl fmt::Display for PagingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "no paging",
            Self::Bits32 => "32-bit paging",
            Self::Pae => "PAE paging",
            Self::Level4 => "4-level paging",
            Self::Level5 => "5-level paging",
        })
    }
}

/// EFER.LMA as the processor computes it.
pub(super) const fn long_mode_active(registers: &RegisterFile) -> bool {
    registers.efer & efer::LME != 0 && registers.cr0 & cr0::PG != 0
}

/// Whether bits 63 to `width - 1` are all alike.
pub(super) const fn is_canonical(linear: u64, width: u32) -> bool {
    sign_extended(linear, width) == linear
}

/// The address with bit `width - 1` copied into those above.
pub(super) const fn sign_extended(linear: u64, width: u32) -> u64 {
    let unused = 64_u32.saturating_sub(width);
    (linear.wrapping_shl(unused) as i64).wrapping_shr(unused) as u64
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// CR0, CR4, EFER, attributes of CS and RFLAGS; name, bitness, paging and
    /// the sentence that follow from them.
    #[allow(clippy::type_complexity, reason = "a table")]
    const TABLE: &[(u64, u64, u64, u16, u64, &str, u32, PagingMode, &str)] = &[
        (0x10, 0, 0, 0x9b, 2, "real", 16, PagingMode::None, "real mode, because CR0.PE is clear"),
        // Nothing but PE leaves real mode.
        (
            0x10,
            0x20,
            0xd00,
            0xa09b,
            2,
            "real",
            16,
            PagingMode::None,
            "real mode, because CR0.PE is clear",
        ),
        (
            0x11,
            0,
            0,
            0x9b,
            2,
            "protected16",
            16,
            PagingMode::None,
            "16-bit protected mode, because CR0.PE is set, EFER.LME is clear and CS.D is 0",
        ),
        (
            0x11,
            0,
            0,
            0xc09b,
            2,
            "protected32",
            32,
            PagingMode::None,
            "32-bit protected mode, because CR0.PE is set, EFER.LME is clear and CS.D is 1",
        ),
        (
            0x8000_0011,
            0,
            0,
            0xc09b,
            2,
            "protected32",
            32,
            PagingMode::Bits32,
            "32-bit protected mode, because CR0.PE is set, EFER.LME is clear and CS.D is 1",
        ),
        (
            0x8000_0011,
            0x1020,
            0,
            0xc09b,
            2,
            "protected32",
            32,
            PagingMode::Pae,
            "32-bit protected mode, because CR0.PE is set, EFER.LME is clear and CS.D is 1",
        ),
        // A stored LMA does not count, and CS.L means nothing here.
        (
            0x11,
            0x20,
            0xd00,
            0xa09b,
            2,
            "protected16",
            16,
            PagingMode::None,
            "16-bit protected mode, because CR0.PE is set, CR0.PG is clear (EFER.LME alone does \
             not activate long mode) and CS.D is 0",
        ),
        (
            0x11,
            0,
            0,
            0xc09b,
            0x2_0002,
            "protected16",
            16,
            PagingMode::None,
            "16-bit protected mode, because CR0.PE is set, EFER.LME is clear and RFLAGS.VM is set \
             (virtual-8086 mode)",
        ),
        (
            0x8000_0011,
            0x20,
            0x500,
            0x9b,
            2,
            "compatibility",
            16,
            PagingMode::Level4,
            "16-bit compatibility mode, because CR0.PG, CR4.PAE and EFER.LME are set, CS.L is 0 \
             and CS.D is 0",
        ),
        (
            0x8000_0011,
            0x20,
            0x500,
            0xc09b,
            2,
            "compatibility",
            32,
            PagingMode::Level4,
            "32-bit compatibility mode, because CR0.PG, CR4.PAE and EFER.LME are set, CS.L is 0 \
             and CS.D is 1",
        ),
        (
            0x8000_0011,
            0x20,
            0x500,
            0xa09b,
            2,
            "long64",
            64,
            PagingMode::Level4,
            "64-bit mode, because CR0.PG, CR4.PAE and EFER.LME are set and CS.L is 1",
        ),
        (
            0x8000_0011,
            0x1020,
            0x500,
            0xa09b,
            2,
            "long64",
            64,
            PagingMode::Level5,
            "64-bit mode, because CR0.PG, CR4.PAE and EFER.LME are set and CS.L is 1",
        ),
        // LMA left out, PAE left out: refused, and 64-bit mode all the same.
        (
            0x8000_0011,
            0,
            0x100,
            0xe09b,
            2,
            "long64",
            64,
            PagingMode::Level4,
            "64-bit mode, because CR0.PG and EFER.LME are set and CS.L is 1",
        ),
    ];

    #[test]
    fn modes_follow_from_registers() {
        for &(cr0, cr4, efer, attributes, rflags, name, bitness, paging, sentence) in TABLE {
            let mut registers =
                RegisterFile { cr0, cr4, efer, rflags, ..RegisterFile::reset(true) };
            registers.cs.attributes = attributes;
            let mode = Mode::of(&registers);
            assert_eq!(Mode::because(&registers).to_string(), sentence);
            assert_eq!((mode.name(), mode.bitness()), (name, bitness), "{sentence}");
            assert_eq!(PagingMode::of(&registers), paging, "{sentence}");
            assert!(sentence.starts_with(&mode.to_string()));
        }
    }

    #[test]
    fn canonical_addresses() {
        for (address, level4, level5, short) in [
            (0, true, true, true),
            (0xffff_ffff, true, true, true),
            (0x1_0000_0000, true, true, false),
            (0x7fff_ffff_ffff, true, true, false),
            (0x8000_0000_0000, false, true, false),
            (0x00ff_ffff_ffff_ffff, false, true, false),
            (0x0100_0000_0000_0000, false, false, false),
            (0xfeff_ffff_ffff_ffff, false, false, false),
            (0xff00_0000_0000_0000, false, true, false),
            (0xffff_8000_0000_0000, true, true, false),
            (u64::MAX, true, true, false),
        ] {
            assert_eq!(PagingMode::Level4.is_address(address), level4, "{address:#x}");
            assert_eq!(PagingMode::Level5.is_address(address), level5, "{address:#x}");
            assert_eq!(PagingMode::Pae.is_address(address), short, "{address:#x}");
        }
    }
}
