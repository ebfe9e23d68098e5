//! The types of variable headers, by the specification's names.

use core::fmt;

use igvm_defs::{
    IGVM_VHT_RANGE_DIRECTIVE, IGVM_VHT_RANGE_INIT, IGVM_VHT_RANGE_PLATFORM,
    IgvmVariableHeaderType as Type,
};

/// The section of the variable headers that a type belongs to. Sections follow
/// each other in this order and never come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderSection {
    /// Types 0x1..=0x100.
    Platform,
    /// Types 0x101..=0x200.
    Initialization,
    /// Types 0x301..=0x400.
    Directive,
    /// Every other type.
    Unassigned,
}

impl HeaderSection {
    /// The section of a type (without the optional bit).
    pub fn of(typ: Type) -> Self {
        match typ.0 {
            t if IGVM_VHT_RANGE_PLATFORM.contains(&t) => Self::Platform,
            t if IGVM_VHT_RANGE_INIT.contains(&t) => Self::Initialization,
            t if IGVM_VHT_RANGE_DIRECTIVE.contains(&t) => Self::Directive,
            _ => Self::Unassigned,
        }
    }
}

impl fmt::Display for HeaderSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Platform => "platform",
            Self::Initialization => "initialization",
            Self::Directive => "directive",
            Self::Unassigned => "unassigned",
        })
    }
}

/// The name of a header type: the specification's `IGVM_VHT_` constant without
/// that prefix. `None` for a type it does not list.
pub fn kind_name(typ: Type) -> Option<&'static str> {
    Some(match typ {
        Type::IGVM_VHT_SUPPORTED_PLATFORM => "SUPPORTED_PLATFORM",
        Type::IGVM_VHT_GUEST_POLICY => "GUEST_POLICY",
        Type::IGVM_VHT_RELOCATABLE_REGION => "RELOCATABLE_REGION",
        Type::IGVM_VHT_PAGE_TABLE_RELOCATION_REGION => "PAGE_TABLE_RELOCATION_REGION",
        Type::IGVM_VHT_CORIM_DOCUMENT => "CORIM_DOCUMENT",
        Type::IGVM_VHT_CORIM_SIGNATURE => "CORIM_SIGNATURE",
        Type::IGVM_VHT_CCA_POLICY => "CCA_POLICY",
        Type::IGVM_VHT_VERSION_STRING => "VERSION_STRING",
        Type::IGVM_VHT_PARAMETER_AREA => "PARAMETER_AREA",
        Type::IGVM_VHT_PAGE_DATA => "PAGE_DATA",
        Type::IGVM_VHT_PARAMETER_INSERT => "PARAMETER_INSERT",
        Type::IGVM_VHT_VP_CONTEXT => "VP_CONTEXT",
        Type::IGVM_VHT_REQUIRED_MEMORY => "REQUIRED_MEMORY",
        Type::RESERVED_DO_NOT_USE => "RESERVED_DO_NOT_USE",
        Type::IGVM_VHT_SNP_ID_BLOCK => "SNP_ID_BLOCK",
        Type::IGVM_VHT_ERROR_RANGE => "ERROR_RANGE",
        Type::IGVM_VHT_VBS_MEASUREMENT => "VBS_MEASUREMENT",
        _ => return ParameterKind::of(typ).map(ParameterKind::header_name),
    })
}

/// What the loader deposits into a parameter area (`IGVM_VHS_PARAMETER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterKind {
    /// `IGVM_VHT_VP_COUNT_PARAMETER`: u32, processors the host starts.
    VpCount,
    /// `IGVM_VHT_SRAT`: ACPI table.
    Srat,
    /// `IGVM_VHT_MADT`: ACPI table.
    Madt,
    /// `IGVM_VHT_MMIO_RANGES`: two ranges of pages.
    MmioRanges,
    /// `IGVM_VHT_MEMORY_MAP`: array of `IGVM_VHS_MEMORY_MAP_ENTRY`, the last
    /// one with no pages.
    MemoryMap,
    /// `IGVM_VHT_COMMAND_LINE`: NUL-terminated ASCII.
    CommandLine,
    /// `IGVM_VHT_SLIT`: ACPI table.
    Slit,
    /// `IGVM_VHT_PPTT`: ACPI table.
    Pptt,
    /// `IGVM_VHT_DEVICE_TREE`: flattened device tree.
    DeviceTree,
    /// `IGVM_VHT_ENVIRONMENT_INFO_PARAMETER`: u32, `IgvmEnvironmentInfo`.
    EnvironmentInfo,
}

impl ParameterKind {
    /// Every kind, in the order of the types.
    pub const ALL: [Self; 10] = [
        Self::VpCount,
        Self::Srat,
        Self::Madt,
        Self::MmioRanges,
        Self::MemoryMap,
        Self::CommandLine,
        Self::Slit,
        Self::Pptt,
        Self::DeviceTree,
        Self::EnvironmentInfo,
    ];

    /// The kind that this header type stands for, if it is a parameter.
    pub fn of(typ: Type) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.header_type() == typ)
    }

    /// The header type of this kind.
    pub const fn header_type(self) -> Type {
        match self {
            Self::VpCount => Type::IGVM_VHT_VP_COUNT_PARAMETER,
            Self::Srat => Type::IGVM_VHT_SRAT,
            Self::Madt => Type::IGVM_VHT_MADT,
            Self::MmioRanges => Type::IGVM_VHT_MMIO_RANGES,
            Self::MemoryMap => Type::IGVM_VHT_MEMORY_MAP,
            Self::CommandLine => Type::IGVM_VHT_COMMAND_LINE,
            Self::Slit => Type::IGVM_VHT_SLIT,
            Self::Pptt => Type::IGVM_VHT_PPTT,
            Self::DeviceTree => Type::IGVM_VHT_DEVICE_TREE,
            Self::EnvironmentInfo => Type::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER,
        }
    }

    /// The name of the header type, as [`kind_name`] gives it.
    pub const fn header_name(self) -> &'static str {
        match self {
            Self::VpCount => "VP_COUNT_PARAMETER",
            Self::Srat => "SRAT",
            Self::Madt => "MADT",
            Self::MmioRanges => "MMIO_RANGES",
            Self::MemoryMap => "MEMORY_MAP",
            Self::CommandLine => "COMMAND_LINE",
            Self::Slit => "SLIT",
            Self::Pptt => "PPTT",
            Self::DeviceTree => "DEVICE_TREE",
            Self::EnvironmentInfo => "ENVIRONMENT_INFO_PARAMETER",
        }
    }
}

impl fmt::Display for ParameterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.header_name())
    }
}
