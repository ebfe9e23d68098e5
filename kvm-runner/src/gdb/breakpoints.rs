//! Breakpoints: traps in the guest's code, and debug registers.

use std::collections::BTreeMap;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::kvm::{Breakpoint, Debug, HARDWARE_BREAKPOINTS, Trigger};

/// What stands in code in place of an instruction's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trap {
    /// INT3.
    Int3 = 0xcc,
    /// INT1. A KVM that interprets the guest runs an INT3 in real mode as the
    /// guest's own; this one it does not know.
    Int1 = 0xf1,
}

/// More breakpoints than anybody sets, and few enough to put them in for each
/// run.
const SOFTWARE_MAX: usize = 4096;

/// Every breakpoint that the debugger has set.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    /// Linear address to guest physical address, as it was when it was set.
    software: BTreeMap<u64, u64>,
    pub(super) hardware: Vec<Breakpoint>,
}

impl Breakpoints {
    /// Sets one in code; `false` if there are too many.
    pub(super) fn add_software(&mut self, linear: u64, gpa: u64) -> bool {
        let room = self.software.len() < SOFTWARE_MAX;
        if room {
            self.software.insert(linear, gpa);
        }
        room
    }

    /// Removes one from code; `false` if there was none.
    pub(super) fn remove_software(&mut self, linear: u64) -> bool {
        self.software.remove(&linear).is_some()
    }

    /// Sets one in a debug register; `false` if none is free.
    pub(super) fn add_hardware(&mut self, breakpoint: Breakpoint) -> bool {
        let room = self.hardware.len() < HARDWARE_BREAKPOINTS;
        if room {
            self.hardware.push(breakpoint);
        }
        room
    }

    /// Removes one from a debug register; `false` if there was none.
    pub(super) fn remove_hardware(&mut self, breakpoint: Breakpoint) -> bool {
        let at = self.hardware.iter().position(|set| *set == breakpoint);
        at.map(|at| self.hardware.remove(at)).is_some()
    }

    /// Whether an instruction that starts here has one.
    pub(super) fn stops_at(&self, linear: u64) -> bool {
        let execute = Breakpoint { linear, trigger: Trigger::Execute };
        self.software.contains_key(&linear) || self.hardware.contains(&execute)
    }

    /// Whether there is one in code.
    pub(super) fn is_software(&self, linear: u64) -> bool {
        self.software.contains_key(&linear)
    }

    /// What the processors are told; without those on instructions where one is
    /// to get past them.
    pub(super) fn debug(&self, on_instructions: bool) -> Debug {
        let used = |it: &&Breakpoint| on_instructions || it.trigger != Trigger::Execute;
        Debug {
            hardware: self.hardware.iter().filter(used).copied().collect(),
            software: on_instructions && !self.software.is_empty(),
        }
    }

    /// Puts them into code.
    pub(super) fn patch<'m>(&self, memory: &'m GuestMemoryMmap, trap: Trap) -> Patches<'m> {
        let mut originals = Vec::new();
        for gpa in self.software.values() {
            let at = GuestAddress(*gpa);
            if let Ok(original) = memory.read_obj::<u8>(at)
                && memory.write_obj(trap as u8, at).is_ok()
            {
                originals.push((at, original));
            }
        }
        Patches { memory, trap, originals }
    }
}

/// Traps in the guest's code, taken out when this goes.
pub(super) struct Patches<'m> {
    memory: &'m GuestMemoryMmap,
    trap: Trap,
    originals: Vec<(GuestAddress, u8)>,
}

impl Drop for Patches<'_> {
    fn drop(&mut self) {
        // Backwards: two linear addresses may be one place.
        for (at, original) in self.originals.iter().rev() {
            // What the guest has written there meanwhile stays.
            if self.memory.read_obj::<u8>(*at).is_ok_and(|byte| byte == self.trap as u8) {
                let _written = self.memory.write_obj(*original, *at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_leave_memory_as_it_was() -> Result<(), Box<dyn std::error::Error>> {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1000)])?;
        let code = [0x90_u8, 0xf4, 0xcc, 0x55];
        memory.write_slice(&code, GuestAddress(0x10))?;
        let mut set = Breakpoints::default();
        // Two linear addresses of one place, one of an INT3 of the guest's own,
        // one of nothing.
        for (linear, gpa) in [(0x10, 0x10), (0x8010, 0x10), (0x12, 0x12), (0x13, 0x13), (5, 0x5000)]
        {
            assert!(set.add_software(linear, gpa));
        }
        let patches = set.patch(&memory, Trap::Int3);
        assert_eq!(memory.read_obj::<[u8; 4]>(GuestAddress(0x10))?, [0xcc, 0xf4, 0xcc, 0xcc]);
        memory.write_obj(0x66_u8, GuestAddress(0x13))?;
        drop(patches);
        assert_eq!(memory.read_obj::<[u8; 4]>(GuestAddress(0x10))?, [0x90, 0xf4, 0xcc, 0x66]);
        Ok(())
    }
}
