//! KVM_SET_GUEST_DEBUG: single steps, breakpoints in the debug registers, INT3.

use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP,
    kvm_debug_exit_arch, kvm_guest_debug,
};
use kvm_ioctls::VcpuFd;

/// Debug registers 0 to 3.
pub const HARDWARE_BREAKPOINTS: usize = 4;

/// What a breakpoint in a debug register waits for (SDM volume 3, "Debug
/// Control Register (DR7)": R/W and LEN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The execution of the instruction that starts here.
    Execute,
    /// A write of any of these bytes: 1, 2, 4 or 8.
    Write(u8),
    /// A read or a write of any of them.
    Access(u8),
}

/// A breakpoint in a debug register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breakpoint {
    /// Linear address.
    pub linear: u64,
    /// What it waits for.
    pub trigger: Trigger,
}

/// How a processor is watched. The guest's own debug registers do not work
/// meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debug {
    /// Breakpoints in debug registers: at most [`HARDWARE_BREAKPOINTS`].
    pub hardware: Vec<Breakpoint>,
    /// Whether INT3 comes to us instead of the guest.
    pub software: bool,
}

/// What a debug exit was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// One instruction is done; the next one is at this linear address.
    Step {
        /// Where.
        pc: u64,
    },
    /// A breakpoint in a debug register.
    Hardware {
        /// Which.
        at: u8,
        /// Whether an instruction that was to be done alone is done as well.
        stepped: bool,
    },
    /// INT3.
    Software,
}

impl Debug {
    /// Applies it to a processor.
    pub(super) fn apply(&self, processor: &VcpuFd, step: bool) -> Result<(), kvm_ioctls::Error> {
        let mut debug = kvm_guest_debug::default();
        if step {
            debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
        }
        if self.software {
            debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
        }
        if !self.hardware.is_empty() {
            debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
            let used = self.hardware.iter().take(HARDWARE_BREAKPOINTS);
            for (at, breakpoint) in used.enumerate() {
                debug.arch.debugreg[at] = breakpoint.linear;
                debug.arch.debugreg[7] |= breakpoint.trigger.control(at);
            }
            // Bit 10 is always set; GE and LE are for the 386.
            debug.arch.debugreg[7] |= 0x400;
        }
        processor.set_guest_debug(&debug)
    }
}

impl Trigger {
    /// Its bits in DR7, for debug register `at`: global enable, R/W and LEN.
    fn control(self, at: usize) -> u64 {
        let (kind, len) = match self {
            Self::Execute => (0, 1),
            Self::Write(len) => (1, len),
            Self::Access(len) => (3, len),
        };
        let len: u64 = match len {
            2 => 1,
            4 => 3,
            8 => 2,
            _ => 0,
        };
        2 << (2 * at) | (kind | len << 2) << (16 + 4 * at)
    }
}

impl Event {
    /// Reads KVM_EXIT_DEBUG.
    pub(super) fn of(debug: &kvm_debug_exit_arch) -> Self {
        const BREAKPOINT_VECTOR: u32 = 3;
        const DR6_HIT: u64 = 0xf;
        const DR6_BS: u64 = 1 << 14;
        if debug.exception == BREAKPOINT_VECTOR {
            return Self::Software;
        }
        match debug.dr6 & DR6_HIT {
            0 => Self::Step { pc: debug.pc },
            hit => {
                Self::Hardware { at: hit.trailing_zeros() as u8, stepped: debug.dr6 & DR6_BS != 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values worked out by hand from the figure of DR7 in the SDM.
    #[test]
    fn triggers_are_bits_of_dr7() {
        assert_eq!(Trigger::Execute.control(0), 0x2);
        assert_eq!(Trigger::Execute.control(3), 0x80);
        assert_eq!(Trigger::Write(4).control(0), 0xd_0002);
        assert_eq!(Trigger::Access(8).control(1), 0xb0_0008);
        assert_eq!(Trigger::Write(2).control(2), 0x500_0020);
    }
}
