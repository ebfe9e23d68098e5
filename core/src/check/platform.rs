//! Rules of the platform headers.

use igvm_defs::{
    IGVM_NATIVE_PLATFORM_VERSION, IGVM_VHS_SUPPORTED_PLATFORM, IgvmArchitecture,
    IgvmPlatformType as Platform,
};

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::{Header, HeaderRef, IgvmFile};
use crate::platform::{PLATFORMS, platform_name};

rules! {
    /// What can be wrong with the platforms.
    enum PlatformFault;

    None
        Error "platform.none"
        "A file declares at least one platform."
        "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM; igvm 0.5.0: NoPlatformHeaders"
        => "the file declares no platform, so nothing in it can be loaded";
    Mask { mask: u32 }
        Error "platform.mask"
        "A platform has exactly one bit in its compatibility mask."
        "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM.compatibility_mask"
        => "the compatibility mask of the platform is {mask:#x}; it must have exactly one bit";
    MaskTwice { mask: u32 }
        Warning "platform.mask-twice"
        "Every platform has a mask bit of its own."
        "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM.compatibility_mask"
        => "another platform has the compatibility mask {mask:#x} too: headers cannot tell the two \
            apart";
    Type { value: u8 }
        Error "platform.type"
        "The platform type is one that the specification lists."
        "igvm_defs: IgvmPlatformType"
        => "platform type {value} is not known";
    Twice { name: &'static str, first: u32 }
        Error "platform.twice"
        "A platform is declared once."
        "igvm 0.5.0: MultiplePlatformHeadersWithSameIsolation"
        => "platform {name} was declared before, by header {first}";
    Version { version: u16 }
        Error "platform.version"
        "The version of a platform is 1."
        "igvm_defs: IGVM_*_PLATFORM_VERSION"
        => "the platform version is {version}; the only one known is 1";
    HighestVtl { vtl: u8 }
        Error "platform.highest-vtl"
        "The highest VTL is 0 or 2."
        "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM.highest_vtl; igvm 0.5.0: InvalidVtl"
        => "highest_vtl is {vtl}; it can be 0 or 2";
    VtlUnsupported { vtl: u8, name: &'static str }
        Warning "platform.no-vtl"
        "A platform without virtual trust levels has 0 for the highest VTL."
        "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM.highest_vtl"
        => "highest_vtl is {vtl}, but platform {name} has no virtual trust levels: it should be 0";
    SharedBoundary { boundary: u64, name: &'static str }
        Error "platform.shared-gpa-boundary"
        "The shared GPA boundary of NATIVE and VSM_ISOLATION is 0."
        "igvm 0.5.0: InvalidSharedGpaBoundary"
        => "shared_gpa_boundary is {boundary:#x}; for platform {name} it must be 0";
    Architecture { name: &'static str, architecture: u32 }
        Error "platform.architecture"
        "The platform goes with the architecture of the file: CCA with AARCH64, VSM_ISOLATION with both, the others with X64."
        "igvm 0.5.0: PlatformArchUnsupported"
        => "platform {name} does not go with architecture {architecture} of the fixed header";
}

/// The platforms declared so far.
#[derive(Debug)]
pub(super) struct Platforms {
    /// All their mask bits.
    pub(super) declared: u32,
    /// The first platform of each mask bit.
    by_bit: [Option<Platform>; u32::BITS as usize],
    /// The first header of each known platform, in the order of [`PLATFORMS`].
    first: [Option<HeaderRef>; PLATFORMS.len()],
    any: bool,
}

impl Platforms {
    pub(super) const fn new() -> Self {
        Self {
            declared: 0,
            by_bit: [None; u32::BITS as usize],
            first: [None; PLATFORMS.len()],
            any: false,
        }
    }

    /// The platforms of a file.
    pub(super) fn of(file: &IgvmFile<'_>) -> Self {
        let mut platforms = Self::new();
        for header in file.platforms() {
            platforms.declare(header.compatibility_mask, header.platform_type);
        }
        platforms
    }

    fn declare(&mut self, mask: u32, platform: Platform) {
        self.declared |= mask;
        for (bit, slot) in (0..).zip(self.by_bit.iter_mut()) {
            if mask.checked_shr(bit).unwrap_or(0) & 1 != 0 {
                slot.get_or_insert(platform);
            }
        }
    }

    /// The declared platforms that a compatibility mask names.
    pub(super) fn named_by(&self, mask: u32) -> impl Iterator<Item = Platform> {
        (0..)
            .zip(self.by_bit.iter())
            .filter(move |(bit, _)| mask.checked_shr(*bit).unwrap_or(0) & 1 != 0)
            .filter_map(|(_, platform)| *platform)
    }

    /// Whether a mask names this platform.
    pub(super) fn names(&self, mask: u32, platform: Platform) -> bool {
        self.named_by(mask).any(|named| named == platform)
    }

    fn first_mut(&mut self, platform: Platform) -> Option<&mut Option<HeaderRef>> {
        let known = PLATFORMS.iter().position(|(known, _)| *known == platform)?;
        self.first.get_mut(known)
    }
}

/// The name of a platform for a sentence.
pub(super) fn label(platform: Platform) -> &'static str {
    platform_name(platform).unwrap_or("of unknown type")
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    pub(super) fn platform(&mut self, header: &Header<'_>, value: &IGVM_VHS_SUPPORTED_PLATFORM) {
        let platform = value.platform_type;
        let name = label(platform);
        let mask = value.compatibility_mask;
        self.platforms.any = true;
        if mask.count_ones() != 1 {
            self.fault(header, PlatformFault::Mask { mask });
        } else if self.platforms.declared & mask != 0 {
            self.fault(header, PlatformFault::MaskTwice { mask });
        }
        self.platforms.declare(mask, platform);
        let Some(first) = self.platforms.first_mut(platform) else {
            return self.fault(header, PlatformFault::Type { value: platform.0 });
        };
        if let Some(first) = *first {
            self.fault(header, PlatformFault::Twice { name, first: first.index });
        } else {
            *first = Some(header.reference());
        }
        self.platform_fields(header, value, name);
    }

    fn platform_fields(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_SUPPORTED_PLATFORM,
        name: &'static str,
    ) {
        let platform = value.platform_type;
        // The same for every platform.
        if value.platform_version != IGVM_NATIVE_PLATFORM_VERSION {
            self.fault(header, PlatformFault::Version { version: value.platform_version });
        }
        let vtl = value.highest_vtl;
        if !matches!(vtl, 0 | 2) {
            self.fault(header, PlatformFault::HighestVtl { vtl });
        } else if vtl != 0
            && matches!(platform, Platform::NATIVE | Platform::SEV | Platform::SEV_ES)
        {
            self.fault(header, PlatformFault::VtlUnsupported { vtl, name });
        }
        let boundary = value.shared_gpa_boundary;
        if boundary != 0 && matches!(platform, Platform::NATIVE | Platform::VSM_ISOLATION) {
            self.fault(header, PlatformFault::SharedBoundary { boundary, name });
        }
        let architecture = self.file.fixed().architecture();
        let fits = match platform {
            Platform::VSM_ISOLATION => true,
            Platform::CCA => architecture != IgvmArchitecture::X64,
            _ => architecture != IgvmArchitecture::AARCH64,
        };
        if !fits {
            let architecture = architecture.0;
            self.fault(header, PlatformFault::Architecture { name, architecture });
        }
        self.platform_notes(header, platform);
    }

    /// After the last header.
    pub(super) fn platforms_end(&mut self) {
        if !self.platforms.any {
            self.report(Finding::new(PlatformFault::None));
        }
    }
}
