//! Rules of processor contexts: the header and the form of its data. What the
//! registers mean together is for `processor`.

use igvm_defs::{
    IGVM_VHS_VP_CONTEXT, IgvmNativeVpContextX64, IgvmPlatformType as Platform,
    IgvmVpContextAArch64Cca, PAGE_SIZE_4K, VbsVpContextHeader, VbsVpContextRegister,
};
use zerocopy::FromBytes;

use super::finding::Finding;
use super::fixed::first_not_zero;
use super::platform::{Platforms, label};
use super::rule::rules;
use super::structure::{CONTEXTS_READ_MAX, Structure};
use crate::data::FileData;
use crate::file::{Header, IgvmFile};
use crate::span::Span;

rules! {
    /// What can be wrong with a context.
    enum ContextFault;

    Platform { name: &'static str }
        Error "context.platform"
        "A platform whose processors have a start state of their own has no context."
        "igvm_defs: IGVM_VHS_VP_CONTEXT; igvm 0.5.0: InvalidVpContextPlatformType"
        => "a context for platform {name}, whose processors start in a state of their own";
    Formats { first: &'static str, other: &'static str }
        Error "context.formats"
        "The platforms of one context share its format."
        "igvm_defs: IGVM_VHS_VP_CONTEXT.file_offset"
        => "the context is for platforms {first} and {other}, which have different formats; give \
            each a context of its own";
    Version { name: &'static str }
        Error "context.version"
        "The context of a native or SEV guest needs a file of version 2."
        "igvm_defs: IgvmNativeVpContextX64"
        => "a context for platform {name} in a file of version 1; its format came with version 2";
    Gpa { gpa: u64, name: &'static str }
        Error "context.gpa"
        "The address of a context is 0 for NATIVE, SEV and VSM_ISOLATION."
        "igvm_defs: IGVM_VHS_VP_CONTEXT.gpa"
        => "the gpa of the context is {gpa:#x}; for platform {name} it must be 0";
    SaveAreaAlignment { gpa: u64 }
        Error "context.alignment"
        "The save area of SEV-ES and SEV-SNP lies at a page boundary."
        "igvm 0.5.0: UnalignedAddress; APM volume 2, \"VMSA_REG_PROT\""
        => "the save area goes to {gpa:#x}, not a multiple of 0x1000";
    NoData
        Error "context.no-data"
        "A context has data."
        "igvm_defs: IGVM_VHS_VP_CONTEXT.file_offset"
        => "file_offset is 0, but a context has no zero form: the register values are missing";
    RestNotZero { at: u64, used: u64 }
        Error "context.rest-not-zero"
        "The page of a context is zero behind its structure."
        "igvm 0.5.0: InvalidContext"
        => "file offset {at:#x} is not zero; the page of a context must be zero behind its first \
            {used} bytes";
    TooLong { registers: u32 }
        Error "context.register-count"
        "The context of a VSM guest lists a sensible number of registers, at least one."
        "igvm_defs: VbsVpContextHeader; igvm 0.5.0: NoVbsVpContextRegisters"
        => "the context says it has {registers} registers; one to 256 make sense";
    Vtl { vtl: u8 }
        Error "context.vtl"
        "The VTL of a register is 0, 1 or 2."
        "igvm_defs: VbsVpContextRegister.vtl; igvm 0.5.0: InvalidVtl"
        => "a register is for VTL {vtl}; there are 0, 1 and 2";
    VtlMixed { first: u8, other: u8 }
        Error "context.vtl-mixed"
        "All registers of a context are for one VTL."
        "igvm 0.5.0 fails on a context of several VTLs"
        => "the context has registers for VTL {first} and for VTL {other}";
}

/// More registers than Hyper-V has names for; the loader has the same bound.
const VBS_REGISTERS_MAX: u32 = 256;

/// The formats of a context's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Native,
    SaveArea,
    Registers,
    Cca,
}

impl Format {
    const fn of(platform: Platform) -> Option<Self> {
        match platform {
            Platform::NATIVE | Platform::SEV => Some(Self::Native),
            Platform::SEV_ES | Platform::SEV_SNP => Some(Self::SaveArea),
            Platform::VSM_ISOLATION => Some(Self::Registers),
            Platform::CCA => Some(Self::Cca),
            _ => None,
        }
    }
}

/// Whether the data of a context can be what the platform it is loaded for
/// takes it for. Where not, a finding about the header says so, and the
/// registers read from it mean nothing.
pub(super) fn is_meant_for(
    file: &IgvmFile<'_>,
    platforms: &Platforms,
    context: &IGVM_VHS_VP_CONTEXT,
    platform: Platform,
) -> bool {
    let headers_end = file.fixed().variable_headers().end();
    let first = platforms.named_by(context.compatibility_mask).find_map(Format::of);
    u64::from(context.file_offset) >= headers_end && first == Format::of(platform)
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    pub(super) fn vp_context(&mut self, header: &Header<'_>, value: &IGVM_VHS_VP_CONTEXT) {
        self.reserved(header, "IGVM_VHS_VP_CONTEXT.reserved", value.reserved.into());
        let chosen = self.context_format(header, value);
        let gpa = value.gpa.get();
        let mut vtl = None;
        match chosen {
            Some((platform, Format::Native | Format::Registers)) if gpa != 0 => {
                let name = label(platform);
                self.fault(header, ContextFault::Gpa { gpa, name });
            }
            Some((_, Format::SaveArea)) => {
                if gpa.checked_rem(PAGE_SIZE_4K) != Some(0) {
                    self.fault(header, ContextFault::SaveAreaAlignment { gpa });
                }
                self.guest_range(header, gpa, PAGE_SIZE_4K);
            }
            _ => {}
        }
        let offset = u64::from(value.file_offset);
        if value.file_offset == 0 {
            self.fault(header, ContextFault::NoData);
        } else if let Some((_, format)) = chosen {
            if format != Format::Registers {
                self.file_data(header, value.file_offset, PAGE_SIZE_4K);
            }
            let readable = self.contexts_read < CONTEXTS_READ_MAX && offset >= self.headers_end;
            match format {
                Format::Registers => vtl = self.register_list(header, value, readable),
                _ if !readable => {}
                Format::Native => {
                    self.rest_is_zero(header, offset, size_of::<IgvmNativeVpContextX64>());
                    self.native_reserved(header, offset);
                }
                Format::Cca => {
                    self.rest_is_zero(header, offset, size_of::<IgvmVpContextAArch64Cca>());
                }
                Format::SaveArea => {}
            }
            self.contexts_read = self.contexts_read.saturating_add(1);
        }
        self.relocations.context(value.compatibility_mask, value.vp_index, vtl);
    }

    /// The first platform of a context and the format that follows from it.
    fn context_format(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_VP_CONTEXT,
    ) -> Option<(Platform, Format)> {
        let mut chosen: Option<(Platform, Format)> = None;
        let mut without = None;
        let mut version = None;
        let mut mixed = None;
        for platform in self.platforms.named_by(value.compatibility_mask) {
            let Some(format) = Format::of(platform) else {
                without = without.or(Some(platform));
                continue;
            };
            if format == Format::Native && self.file.fixed().version() < 2 {
                version = version.or(Some(platform));
            }
            match chosen {
                Some((first, other)) if other != format => mixed = Some((first, platform)),
                Some(_) => {}
                None => chosen = Some((platform, format)),
            }
        }
        if let Some(platform) = without {
            self.fault(header, ContextFault::Platform { name: label(platform) });
        }
        if let Some(platform) = version {
            self.fault(header, ContextFault::Version { name: label(platform) });
        }
        if let Some((first, other)) = mixed {
            let (first, other) = (label(first), label(other));
            self.fault(header, ContextFault::Formats { first, other });
        }
        chosen
    }

    fn rest_is_zero(&mut self, header: &Header<'_>, offset: u64, used: usize) {
        let used = used as u64;
        let rest = Span::new(offset.saturating_add(used), PAGE_SIZE_4K.saturating_sub(used));
        if let Some(at) = first_not_zero(self.data, rest) {
            let fault = ContextFault::RestNotZero { at, used };
            self.report(Finding::new(fault).at(header.reference()).file(Span::new(at, 1)));
        }
    }

    fn native_reserved(&mut self, header: &Header<'_>, offset: u64) {
        const AT: u64 = core::mem::offset_of!(IgvmNativeVpContextX64, reserved) as u64;
        let mut bytes = [0; 4];
        if self.data.read_at(offset.saturating_add(AT), &mut bytes).is_ok() {
            let value = u32::from_le_bytes(bytes);
            self.reserved(header, "IgvmNativeVpContextX64.reserved", value.into());
        }
    }

    /// A list of Hyper-V registers. Returns the VTL they are for.
    fn register_list(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_VP_CONTEXT,
        readable: bool,
    ) -> Option<u8> {
        const COUNT_LEN: u64 = size_of::<VbsVpContextHeader>() as u64;
        const REGISTER_LEN: u64 = size_of::<VbsVpContextRegister>() as u64;
        let offset = u64::from(value.file_offset);
        let mut count = [0; COUNT_LEN as usize];
        if self.data.read_at(offset, &mut count).is_err() || !readable {
            self.file_data(header, value.file_offset, COUNT_LEN);
            return None;
        }
        let registers = u32::from_le_bytes(count);
        if registers == 0 || registers > VBS_REGISTERS_MAX {
            self.file_data(header, value.file_offset, COUNT_LEN);
            self.fault(header, ContextFault::TooLong { registers });
            return None;
        }
        let len = REGISTER_LEN.saturating_mul(registers.into()).saturating_add(COUNT_LEN);
        self.file_data(header, value.file_offset, len);
        let mut vtl = None;
        for nth in 0..u64::from(registers) {
            let at =
                offset.saturating_add(COUNT_LEN).saturating_add(nth.saturating_mul(REGISTER_LEN));
            let mut bytes = [0; REGISTER_LEN as usize];
            if self.data.read_at(at, &mut bytes).is_err() {
                break;
            }
            let Ok(register) = VbsVpContextRegister::read_from_bytes(&bytes) else { break };
            self.register(header, &register, Span::new(at, REGISTER_LEN), &mut vtl);
        }
        vtl
    }

    fn register(
        &mut self,
        header: &Header<'_>,
        register: &VbsVpContextRegister,
        place: Span,
        vtl: &mut Option<u8>,
    ) {
        let padding = register.mbz.into_iter().find(|byte| *byte != 0).unwrap_or(0);
        self.reserved(header, "VbsVpContextRegister.mbz", padding.into());
        let other = register.vtl;
        let first = *vtl.get_or_insert(other);
        if first != other {
            let fault = ContextFault::VtlMixed { first, other };
            self.report(Finding::new(fault).at(header.reference()).file(place));
        } else if other > 2 {
            let fault = ContextFault::Vtl { vtl: other };
            self.report(Finding::new(fault).at(header.reference()).file(place));
        }
        self.register_note(header, register.register_name.get(), place);
    }
}
