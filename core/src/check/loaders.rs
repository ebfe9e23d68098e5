//! What known loaders refuse or do otherwise. Each is said once for a file, at
//! the first header it concerns.

use igvm_defs::{IgvmArchitecture, IgvmPlatformType as Platform};

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::{Header, HeaderRef};
use crate::span::Span;
use crate::wire::{ParameterKind, Value, kind_name};

rules! {
    /// Differences between loaders.
    enum LoaderNote;

    QemuAcpi { kind: ParameterKind }
        Note "qemu.acpi-table"
        "QEMU 10.2.2 refuses files that ask for ACPI tables."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 does not know the parameter {kind} and refuses the file";
    QemuCommandLine
        Note "qemu.command-line"
        "QEMU 10.2.2 refuses files that ask for the command line."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 does not know the parameter COMMAND_LINE and refuses the file";
    QemuMmioRanges
        Note "qemu.mmio-ranges"
        "QEMU 10.2.2 refuses files that ask for the MMIO ranges."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 does not know the parameter MMIO_RANGES and refuses the file";
    QemuDeviceTree
        Note "qemu.device-tree"
        "QEMU 10.2.2 refuses files that ask for a device tree."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 does not know the parameter DEVICE_TREE and refuses the file";
    QemuErrorRange
        Note "qemu.error-range"
        "QEMU 10.2.2 refuses files with an error range."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 does not know ERROR_RANGE and refuses the file";
    QemuRelocation
        Note "qemu.relocation"
        "QEMU 10.2.2 refuses files with relocation headers."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 does not relocate and refuses the file";
    QemuHeader { name: &'static str }
        Note "qemu.header-type"
        "QEMU 10.2.2 refuses files with headers it has no handler for."
        "QEMU 10.2.2: backends/igvm.c, handlers"
        => "QEMU 10.2.2 has no handler for {name} and refuses the file";
    QemuContext { vp_index: u16 }
        Note "qemu.context"
        "QEMU 10.2.2 takes a context for the first processor only."
        "QEMU 10.2.2: target/i386/igvm.c"
        => "QEMU 10.2.2 refuses a context for another processor than the first; this is for \
            processor {vp_index}";
    QemuAreaData
        Note "qemu.area-data"
        "QEMU 10.2.2 ignores the initial data of a parameter area."
        "QEMU 10.2.2: backends/igvm.c, qigvm_directive_parameter_area"
        => "QEMU 10.2.2 ignores the initial data of a parameter area and starts from zeroes";
    QemuMemoryMap { offset: u32 }
        Note "qemu.memory-map-offset"
        "QEMU 10.2.2 puts the memory map at the start of its area."
        "QEMU 10.2.2: backends/igvm.c, qigvm_directive_memory_map"
        => "the memory map should go to offset {offset:#x} of its area; QEMU 10.2.2 ignores the \
            offset";
    QemuEnvironment
        Note "qemu.environment-info"
        "QEMU 10.2.2 says memory_is_shared to a native guest too."
        "QEMU 10.2.2: backends/igvm.c, qigvm_directive_environment_info"
        => "QEMU 10.2.2 sets memory_is_shared in ENVIRONMENT_INFO even for platform native";
    CrateOptional
        Note "igvm-crate.optional-bit"
        "The igvm crate 0.5.0 refuses headers marked optional."
        "igvm 0.5.0: IgvmFile::new_from_binary"
        => "the header is marked optional (bit 31); igvm 0.5.0, and with it QEMU, refuses the file";
    CrateVersionString
        Note "igvm-crate.version-string"
        "The igvm crate 0.5.0 refuses files with a version string."
        "igvm 0.5.0: IgvmInitializationHeader"
        => "igvm 0.5.0, and with it QEMU, does not know VERSION_STRING and refuses the file";
    CrateNoFileData
        Note "igvm-crate.no-file-data"
        "The igvm crate 0.5.0 refuses files without file data."
        "igvm 0.5.0: IgvmFile::new_from_binary"
        => "the file has no file data; igvm 0.5.0, and with it QEMU, refuses it";
    CrateLargePage
        Note "igvm-crate.page-2m"
        "The igvm crate 0.5.0 reads 4096 bytes of a 2 MiB page."
        "igvm 0.5.0: IgvmDirectiveHeader::new_from_binary_split"
        => "the page has 2 MiB; igvm 0.5.0, and with it QEMU, reads the first 4096 bytes only";
    CrateRelocation { name: &'static str }
        Note "igvm-crate.relocation"
        "The igvm crate 0.5.0 takes relocation for VSM_ISOLATION only."
        "igvm 0.5.0: NoMatchingVpContext"
        => "the region is for platform {name}; igvm 0.5.0 finds only VSM contexts for a region and \
            refuses the file";
    CrateContextMask { mask: u32 }
        Note "igvm-crate.context-mask"
        "The igvm crate 0.5.0 wants exactly one platform in the mask of a context."
        "igvm 0.5.0: InvalidVpContextPlatformType"
        => "the context is for mask {mask:#x}; igvm 0.5.0 wants exactly one declared platform and \
            refuses the file";
    CrateVbsProcessor { vp_index: u16 }
        Note "igvm-crate.vsm-processor"
        "The igvm crate 0.5.0 takes a VSM context for the first processor only."
        "igvm 0.5.0: IgvmDirectiveHeader::new_from_binary_split"
        => "the context is for processor {vp_index}; igvm 0.5.0 panics on a VSM context for another \
            than the first";
    CrateRegister { name: u32 }
        Note "igvm-crate.vsm-register"
        "The igvm crate 0.5.0 knows some of Hyper-V's registers."
        "igvm 0.5.0: X86Register, UnsupportedRegister"
        => "the context sets Hyper-V register {name:#010x}, which igvm 0.5.0 does not know: it \
            refuses the file";
    CrateInsertTwice { earlier: u32 }
        Note "igvm-crate.insert-twice"
        "The igvm crate 0.5.0 takes one insertion of an area, whatever the platform."
        "igvm 0.5.0: InvalidParameterAreaIndex"
        => "the area was inserted by header {earlier} for other platforms; igvm 0.5.0 refuses a \
            second insertion";
    OpenvmmNative
        Note "openvmm.native"
        "OpenVMM and cloud-hypervisor load isolated guests only."
        "OpenVMM and cloud-hypervisor, November 2026"
        => "OpenVMM and cloud-hypervisor cannot load platform native";
}

/// Which of the notes were given.
#[derive(Debug, Default)]
pub(super) struct NotesSeen(u32);

impl LoaderNote {
    /// The bit in [`NotesSeen`].
    fn bit(&self) -> u32 {
        let nth = Self::RULES.iter().position(|rule| rule.id == self.rule().id);
        nth.and_then(|nth| 1u32.checked_shl(u32::try_from(nth).ok()?)).unwrap_or(0)
    }
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    fn note(&mut self, header: &Header<'_>, note: LoaderNote) {
        let bit = note.bit();
        if self.notes.0 & bit == 0 {
            self.notes.0 |= bit;
            self.fault(header, note);
        }
    }

    pub(super) fn platform_notes(&mut self, header: &Header<'_>, platform: Platform) {
        if platform == Platform::NATIVE {
            self.note(header, LoaderNote::OpenvmmNative);
        }
    }

    pub(super) fn header_notes(&mut self, header: &Header<'_>, value: &Value<'_>) {
        if header.raw.optional {
            self.note(header, LoaderNote::CrateOptional);
        }
        match value {
            Value::PageData(page) if page.flags.is_2mb_page() => {
                self.note(header, LoaderNote::CrateLargePage);
            }
            Value::ParameterArea(area) if area.file_offset != 0 => {
                self.note(header, LoaderNote::QemuAreaData);
            }
            Value::Parameter(kind, value) => self.parameter_note(header, *kind, value.byte_offset),
            Value::ErrorRange(_) => self.note(header, LoaderNote::QemuErrorRange),
            Value::RelocatableRegion(region) => {
                self.region_notes(header, region.compatibility_mask);
            }
            Value::PageTableRelocationRegion(region) => {
                self.region_notes(header, region.compatibility_mask);
            }
            Value::CorimDocument(_)
            | Value::CorimSignature(_)
            | Value::CcaPolicy(_)
            | Value::VbsMeasurement(_) => {
                let name = kind_name(header.typ()).unwrap_or("this header");
                self.note(header, LoaderNote::QemuHeader { name });
            }
            Value::VersionString(_) => self.note(header, LoaderNote::CrateVersionString),
            Value::VpContext(context) => {
                let (mask, vp_index) = (context.compatibility_mask, context.vp_index);
                self.context_notes(header, mask, vp_index);
            }
            _ => {}
        }
    }

    fn parameter_note(&mut self, header: &Header<'_>, kind: ParameterKind, offset: u32) {
        let note = match kind {
            ParameterKind::Srat
            | ParameterKind::Madt
            | ParameterKind::Slit
            | ParameterKind::Pptt => LoaderNote::QemuAcpi { kind },
            ParameterKind::MmioRanges => LoaderNote::QemuMmioRanges,
            ParameterKind::CommandLine => LoaderNote::QemuCommandLine,
            ParameterKind::DeviceTree => LoaderNote::QemuDeviceTree,
            ParameterKind::MemoryMap if offset != 0 => LoaderNote::QemuMemoryMap { offset },
            ParameterKind::EnvironmentInfo
                if self.platforms.names(self.platforms.declared, Platform::NATIVE) =>
            {
                LoaderNote::QemuEnvironment
            }
            _ => return,
        };
        self.note(header, note);
    }

    fn region_notes(&mut self, header: &Header<'_>, mask: u32) {
        self.note(header, LoaderNote::QemuRelocation);
        let other = self.platforms.named_by(mask).find(|named| *named != Platform::VSM_ISOLATION);
        if let Some(platform) = other {
            let name = super::platform::label(platform);
            self.note(header, LoaderNote::CrateRelocation { name });
        }
    }

    fn context_notes(&mut self, header: &Header<'_>, mask: u32, vp_index: u16) {
        if vp_index != 0 {
            self.note(header, LoaderNote::QemuContext { vp_index });
            if self.platforms.names(mask, Platform::VSM_ISOLATION) {
                self.note(header, LoaderNote::CrateVbsProcessor { vp_index });
            }
        }
        if mask.count_ones() != 1 || mask & !self.platforms.declared != 0 {
            self.note(header, LoaderNote::CrateContextMask { mask });
        }
    }

    /// A register of a VSM context.
    pub(super) fn register_note(&mut self, header: &Header<'_>, name: u32, place: Span) {
        let known = match self.file.fixed().architecture() {
            IgvmArchitecture::X64 => is_known_register(name),
            _ => is_known_arm_register(name),
        };
        let note = LoaderNote::CrateRegister { name };
        if !known && self.notes.0 & note.bit() == 0 {
            self.notes.0 |= note.bit();
            self.report(Finding::new(note).at(header.reference()).file(place));
        }
    }

    /// An area inserted a second time: of the same platforms it is the
    /// loader's to report.
    pub(super) fn inserted_again(&mut self, header: &Header<'_>, mask: u32, earlier: HeaderRef) {
        let before = self.file.header(earlier).and_then(|h| h.value().compatibility_mask());
        if before.unwrap_or(0) & mask == 0 {
            self.note(header, LoaderNote::CrateInsertTwice { earlier: earlier.index });
        }
    }

    /// After the last header.
    pub(super) fn file_notes(&mut self) {
        if self.headers_end == self.file.file_len() {
            self.report(Finding::new(LoaderNote::CrateNoFileData));
        }
    }
}

/// Whether `igvm` 0.5.0 has a variant of `X86Register` for this Hyper-V name.
const fn is_known_register(name: u32) -> bool {
    matches!(
        name,
        // RSP to RSI, R8 to R12, RIP and RFLAGS
        0x00020004..=0x00020006 | 0x00020008..=0x0002000c | 0x00020010..=0x00020011
        // CR0, CR3, CR4
        | 0x00040000 | 0x00040002..=0x00040003
        // ES to GS, TR, IDTR, GDTR
        | 0x00060000..=0x00060005 | 0x00060007 | 0x00070000..=0x00070001
        // EFER, PAT
        | 0x00080001 | 0x00080004
        // MTRRs: default type, five variable ones, six of the fixed ones
        | 0x0008000e | 0x00080010..=0x00080014 | 0x00080040..=0x00080044
        | 0x00080070..=0x00080071 | 0x00080077..=0x0008007a
    )
}

/// Whether it has a variant of `AArch64Register` for this Hyper-V name.
const fn is_known_arm_register(name: u32) -> bool {
    matches!(
        name,
        // X0 to X7, PC, CPSR
        0x00020000..=0x00020007 | 0x00020022..=0x00020023
        // SCTLR, TTBR0, TTBR1, TCR, MAIR and VBAR of EL1
        | 0x00040002 | 0x00040005..=0x00040007 | 0x0004000b..=0x0004000c
    )
}
