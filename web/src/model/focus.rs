//! The focus: what the page looks at. The one state that counts; `link` has its
//! form in the address bar.

use igvm_analysis::host::HostDescription;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::span::Span;
use igvm_core::x86::Register;

/// What the page looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Focus {
    /// The file.
    pub subject: Option<Subject>,
    /// The pane in use.
    pub pane: Pane,
    /// The platform; `None` for the one that is shown first.
    pub platform: Option<IgvmPlatformType>,
    /// What is selected, in every pane at once.
    pub selection: Option<Selection>,
    /// The virtual machine that the file is loaded for.
    pub host: HostDescription,
    /// What the file is compared with.
    pub with: Option<Other>,
    /// The processor whose page tables and mode count; a selected register is
    /// stronger, see [`Focus::vp_index`].
    pub processor: u32,
    /// The first instruction that is shown, as a linear address; `None` for
    /// where the processor starts.
    pub code_at: Option<u64>,
    /// How code is read; `None` for the processor's mode.
    pub code_bits: Option<CodeBits>,
    /// The part of guest memory that the picture shows; `None` for all.
    pub zoom: Option<Span>,
}

/// Default size of operands and addresses that code is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeBits {
    /// As in real mode.
    Bits16,
    /// As in 32-bit protected mode.
    Bits32,
    /// As in 64-bit mode.
    Bits64,
}

impl CodeBits {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bits16, Self::Bits32, Self::Bits64];

    /// The number.
    pub const fn number(self) -> u32 {
        match self {
            Self::Bits16 => 16,
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }

    /// The one of this number.
    pub fn by_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|bits| bits.number() == number)
    }
}

/// The other side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The file; it may be the same one, for another platform.
    pub subject: Subject,
    /// The platform; `None` for the one that is shown first.
    pub platform: Option<IgvmPlatformType>,
}

/// A file by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A built-in one.
    Sample(String),
    /// One that a person opened. Only the name: its bytes are theirs.
    File(String),
}

impl Subject {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Sample(name) | Self::File(name) => name,
        }
    }
}

/// The panes, in the order of their digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// What it is, in words, and what is wrong with it.
    #[default]
    Overview,
    /// The variable headers.
    Headers,
    /// Guest memory.
    Memory,
    /// Registers.
    Processors,
    /// How linear addresses become physical ones.
    Paging,
    /// Instructions.
    Code,
    /// Bytes of the file and of guest memory.
    Hex,
    /// The virtual machine around it, and what it is told.
    Host,
    /// Two files, or two platforms.
    Compare,
    /// What can be taken away.
    Export,
}

impl Pane {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Overview,
        Self::Headers,
        Self::Memory,
        Self::Processors,
        Self::Paging,
        Self::Code,
        Self::Hex,
        Self::Host,
        Self::Compare,
        Self::Export,
    ];

    /// The name in links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Headers => "headers",
            Self::Memory => "memory",
            Self::Processors => "processors",
            Self::Paging => "paging",
            Self::Code => "code",
            Self::Hex => "hex",
            Self::Host => "host",
            Self::Compare => "compare",
            Self::Export => "export",
        }
    }

    /// The name on the screen.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Headers => "Headers",
            Self::Memory => "Memory",
            Self::Processors => "Processors",
            Self::Paging => "Paging",
            Self::Code => "Code",
            Self::Hex => "Hex",
            Self::Host => "Host",
            Self::Compare => "Compare",
            Self::Export => "Export",
        }
    }
}

/// The one thing that is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// A header, by index.
    Header(u32),
    /// A register of a processor.
    Register(u32, Register),
    /// A guest physical address.
    Guest(u64),
    /// An offset in the file.
    File(u64),
    /// A linear address, as the processor in focus sees it.
    Linear(u64),
}

impl Focus {
    /// The same, in another pane.
    pub fn in_pane(&self, pane: Pane) -> Self {
        Self { pane, ..self.clone() }
    }

    /// The same, with something selected.
    pub fn on(&self, selection: Selection) -> Self {
        let processor = match selection {
            Selection::Register(vp_index, _) => vp_index,
            _ => self.vp_index(),
        };
        Self { selection: Some(selection), processor, ..self.clone() }
    }

    /// The processor that is looked at, and through.
    pub fn vp_index(&self) -> u32 {
        match self.selection {
            Some(Selection::Register(vp_index, _)) => vp_index,
            _ => self.processor,
        }
    }

    /// The same, for another processor.
    pub fn for_processor(&self, vp_index: u32) -> Self {
        let selection = match self.selection {
            Some(Selection::Register(_, register)) => Some(Selection::Register(vp_index, register)),
            other => other,
        };
        Self { processor: vp_index, selection, ..self.clone() }
    }

    /// The same, with the code that is shown beginning at a linear address.
    pub fn code_at(&self, linear: u64) -> Self {
        Self { code_at: Some(linear), ..self.clone() }
    }

    /// The same, with the instruction at a linear address selected, the first
    /// that is shown.
    pub fn code_from(&self, linear: u64) -> Self {
        self.code_at(linear).on(Selection::Linear(linear))
    }

    /// The same, with the picture of memory showing a part of it.
    pub fn zoomed(&self, zoom: Option<Span>) -> Self {
        Self { zoom, ..self.clone() }
    }

    /// The same, with the code read in another way.
    pub fn read_as(&self, code_bits: Option<CodeBits>) -> Self {
        Self { code_bits, ..self.clone() }
    }

    /// The same, with nothing selected.
    pub fn on_nothing(&self) -> Self {
        Self { selection: None, processor: self.vp_index(), ..self.clone() }
    }

    /// The same, compared with another.
    pub fn compared_with(&self, other: Other) -> Self {
        Self { pane: Pane::Compare, with: Some(other), ..self.clone() }
    }

    /// The same, for another host.
    pub fn for_host(&self, host: HostDescription) -> Self {
        Self { host, ..self.clone() }
    }

    /// The same, with another platform. What was selected may not be there.
    pub fn for_platform(&self, platform: IgvmPlatformType) -> Self {
        Self { platform: Some(platform), code_at: None, zoom: None, ..self.clone() }
    }
}

impl Other {
    /// A file, for the platform that is shown first.
    pub fn new(subject: Subject) -> Self {
        Self { subject, platform: None }
    }
}
