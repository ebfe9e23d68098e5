//! `/dev/kvm`: opening it, what it must offer, and what kind of KVM it is.

use std::fmt;
use std::io;
use std::path::Path;

use kvm_ioctls::{Cap, Kvm, VcpuExit};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use igvm_core::x86::RegisterFile;

use super::{vcpu, vm};

/// The stable version of the API, since 2007.
const API_VERSION: i32 = 12;

/// What the runner builds on, with the names of `linux/kvm.h`.
const NEEDED: [(Cap, &str); 8] = [
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
    (Cap::Pit2, "KVM_CAP_PIT2"),
    (Cap::Debugregs, "KVM_CAP_DEBUGREGS"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
];

/// KVM on this host.
pub struct Host {
    pub(super) kvm: Kvm,
}

/// Why KVM cannot be used: a sentence each, with what to do.
#[derive(Debug)]
pub enum HostError {
    /// There is no `/dev/kvm`.
    Missing,
    /// It may not be opened.
    NotPermitted,
    /// It is there and nobody is behind it.
    NoDevice,
    /// It could not be opened for another reason.
    Open(io::Error),
    /// It speaks another version of the API.
    Version(i32),
    /// It lacks something the runner builds on.
    TooOld(&'static str),
    /// It would not make a virtual machine.
    Create(io::Error),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "this machine has no /dev/kvm: load the kvm_intel or kvm_amd module and switch on \
                 virtualization in the firmware set-up, or nested virtualization where this is \
                 itself a virtual machine",
            ),
            Self::NotPermitted => f.write_str(
                "/dev/kvm may not be opened by this user: join its group (`sudo usermod -aG kvm \
                 $USER`, then log in again), or pass the device into the container",
            ),
            Self::NoDevice => f.write_str(
                "/dev/kvm is there but no module serves it: load kvm_intel or kvm_amd (`sudo \
                 modprobe kvm_intel`), with virtualization switched on in the firmware set-up",
            ),
            Self::Open(error) => write!(f, "/dev/kvm cannot be opened: {error}"),
            Self::Version(version) => write!(
                f,
                "/dev/kvm speaks version {version} of its API, not {API_VERSION}: a newer kernel \
                 is needed"
            ),
            Self::TooOld(capability) => write!(
                f,
                "this host's KVM has no {capability}: a newer kernel is needed (4.13 has all)"
            ),
            Self::Create(error) => write!(
                f,
                "KVM would not make a virtual machine ({error}): another hypervisor may have the \
                 processor, or memory is short"
            ),
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) | Self::Create(error) => Some(error),
            _ => None,
        }
    }
}

impl Host {
    /// Opens `/dev/kvm` and checks that it has what the runner needs.
    ///
    /// # Errors
    /// Fails, with what to do, where KVM is missing, closed to this user, or
    /// too old.
    pub fn open() -> Result<Self, HostError> {
        Self::open_at(Path::new("/dev/kvm"))
    }

    fn open_at(path: &Path) -> Result<Self, HostError> {
        let c_path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|error| HostError::Open(error.into()))?;
        let kvm = Kvm::new_with_path(c_path).map_err(|errno| match errno.errno() {
            libc::ENOENT => HostError::Missing,
            libc::EACCES | libc::EPERM => HostError::NotPermitted,
            libc::ENODEV | libc::ENXIO => HostError::NoDevice,
            _ => HostError::Open(errno.into()),
        })?;
        let version = kvm.get_api_version();
        if version != API_VERSION {
            return Err(HostError::Version(version));
        }
        match NEEDED.iter().find(|(capability, _)| !kvm.check_extension(*capability)) {
            Some((_, name)) => Err(HostError::TooOld(name)),
            None => Ok(Self { kvm }),
        }
    }

    /// Whether this KVM interprets the guest's kernel instead of running it, as
    /// a host without VMX or SVM does. Found by running an instruction that
    /// every processor has and KVM's interpreter has not. `None` where the
    /// experiment failed.
    pub fn interprets(&self) -> Option<bool> {
        // pxor xmm0, xmm0; hlt
        const CODE: [u8; 5] = [0x66, 0x0f, 0xef, 0xc0, 0xf4];
        const AT: u64 = 0x1000;
        const CR4_OSFXSR: u64 = 1 << 9;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).ok()?;
        memory.write_slice(&CODE, GuestAddress(AT)).ok()?;
        let fd = self.kvm.create_vm().ok()?;
        vm::provide(&fd, &memory).ok()?;
        // No interrupt controller: here HLT does come back.
        let mut processor = fd.create_vcpu(0).ok()?;
        let mut registers = RegisterFile::reset(true);
        registers.cs.selector = 0;
        registers.cs.base = 0;
        registers.rip = AT;
        registers.cr4 = CR4_OSFXSR;
        // CD and NW off.
        registers.cr0 = 0x10;
        let supported = super::cpuid::supported(&self.kvm).ok()?;
        processor.set_cpuid2(&supported).ok()?;
        vcpu::load(&processor, &registers, 0).ok()?;
        match processor.run() {
            Ok(VcpuExit::Hlt) => Some(false),
            Ok(VcpuExit::InternalError) => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_said_to_be_missing() {
        let error = Host::open_at(Path::new("/dev/no-such-kvm")).err();
        assert!(matches!(error, Some(HostError::Missing)), "{error:?}");
    }

    #[test]
    fn another_device_is_not_kvm() {
        let error = Host::open_at(Path::new("/dev/null")).err();
        assert!(matches!(error, Some(HostError::Version(_))), "{error:?}");
    }
}
