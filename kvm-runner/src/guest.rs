//! What a run loads into the virtual machine, and the errors on the way to
//! its first instruction.

use std::fmt;

use igvm_core::span::Span;
use igvm_core::x86::{Register, RegisterFile, RegisterValue};
use vm_memory::GuestMemoryMmap;

use crate::kvm::HostError;
use crate::sandbox::SandboxError;

/// A machine before its first instruction: memory and processors.
pub trait Image {
    /// The guest physical memory to provide, in whole pages of 4 KiB, disjoint
    /// and sorted. Usable RAM and whatever else the image needs memory for.
    fn memory(&self) -> Vec<Span>;

    /// Writes the image into that memory, which is all zeroes. Pages that are
    /// not written cost nothing.
    ///
    /// # Errors
    /// Fails when the image's bytes cannot be read or have no memory.
    fn fill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError>;

    /// Writes the image again into memory that a guest has used. What the image
    /// does not name is left as it is.
    ///
    /// # Errors
    /// Fails when the image's bytes can no longer be read.
    fn refill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError>;

    /// The registers a processor starts with. `None` is the reset state, in
    /// which processor 0 starts and any other waits for INIT and SIPI.
    fn registers(&self, vp_index: u32) -> Option<RegisterFile>;
}

/// Why there was no first instruction.
#[derive(Debug)]
pub enum BootError {
    /// KVM is missing, may not be used, or is too old.
    Host(HostError),
    /// A call that any KVM should take failed.
    Kvm {
        /// What was tried: "create a processor".
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// This system refused something that a run needs.
    System {
        /// What was tried: "take the terminal".
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The process could not be confined.
    Sandbox(SandboxError),
    /// The image asks for a machine that cannot be, or its bytes cannot be
    /// read. A sentence that says what and where.
    Image(String),
    /// KVM refused a part of a processor's state.
    Refused {
        /// Which processor.
        vp_index: u32,
        /// Which part: "the special registers".
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// KVM took a register and made something else of it.
    Changed {
        /// Which processor.
        vp_index: u32,
        /// Which register.
        register: Register,
        /// The value it was to have.
        asked: RegisterValue,
        /// The value it has.
        got: RegisterValue,
    },
}

impl BootError {
    /// A failed call, for `map_err`.
    pub(crate) fn kvm(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |errno| Self::Kvm { what, source: errno.into() }
    }

    /// A refusal of the system, for `map_err`.
    pub fn system(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// The exit code: 2 for the image, 4 for a state no processor takes, 5 for
    /// the host.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Image(_) => 2,
            Self::Refused { .. } | Self::Changed { .. } => 4,
            Self::Host(_) | Self::Kvm { .. } | Self::System { .. } | Self::Sandbox(_) => 5,
        }
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::Kvm { what, source } => write!(f, "KVM would not {what}: {source}"),
            Self::System { what, source } => {
                write!(f, "this system would not {what}: {source}")
            }
            Self::Sandbox(error) => error.fmt(f),
            Self::Image(sentence) => f.write_str(sentence),
            Self::Refused { vp_index, what, source } => write!(
                f,
                "KVM refuses {what} of processor {vp_index} ({source}): no processor can start in \
                 this state; `check` and `state` show what contradicts what"
            ),
            Self::Changed { vp_index, register, asked, got } => {
                write!(f, "processor {vp_index} should start with {register} ")?;
                value(f, asked)?;
                f.write_str(", this host's KVM makes it ")?;
                value(f, got)?;
                f.write_str(if *register == Register::Cr0 {
                    ": it cannot run this paging mode; a host with hardware virtualization can"
                } else {
                    ""
                })
            }
        }
    }
}

/// One value, in the space of a sentence.
fn value(f: &mut fmt::Formatter<'_>, value: &RegisterValue) -> fmt::Result {
    match value {
        RegisterValue::Integer(value) => write!(f, "{value:#x}"),
        RegisterValue::Segment(segment) => write!(
            f,
            "selector {:#x}, base {:#x}, limit {:#x}, attributes {:#x}",
            segment.selector, segment.base, segment.limit, segment.attributes
        ),
        RegisterValue::Table(table) => {
            write!(f, "base {:#x}, limit {:#x}", table.base, table.limit)
        }
    }
}

impl std::error::Error for BootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Host(error) => Some(error),
            Self::Sandbox(error) => Some(error),
            Self::Kvm { source, .. }
            | Self::System { source, .. }
            | Self::Refused { source, .. } => Some(source),
            Self::Image(_) | Self::Changed { .. } => None,
        }
    }
}

impl From<HostError> for BootError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}
