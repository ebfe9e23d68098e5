//! The last exits of the processors: what the guest did to its devices.

use std::collections::VecDeque;
use std::fmt;

/// One access that left the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The processor.
    pub vp_index: u32,
    /// Where to.
    pub place: Place,
    /// Whether it was a write.
    pub write: bool,
    /// Bytes of it, 1 to 8.
    pub size: u8,
    /// What was read or written, little endian.
    pub value: u64,
}

/// Where an access went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An I/O port.
    Port(u16),
    /// A guest physical address without memory.
    Memory(u64),
}

impl Access {
    /// An access with its data, of which the first 8 bytes count.
    pub fn new(vp_index: u32, place: Place, write: bool, data: &[u8]) -> Self {
        let low = data.iter().take(8).rev();
        let value = low.fold(0, |value, byte| value << 8 | u64::from(*byte));
        Self { vp_index, place, write, size: data.len().min(8) as u8, value }
    }
}

impl fmt::Display for Access {
    /// `out 0x402, 0x48` and so on, as one would write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = 2 * usize::from(self.size);
        match (self.place, self.write) {
            (Place::Port(port), true) => write!(f, "out {port:#x} <- {:0digits$x}", self.value),
            (Place::Port(port), false) => write!(f, "in {port:#x} -> {:0digits$x}", self.value),
            (Place::Memory(gpa), true) => write!(f, "write {gpa:#x} <- {:0digits$x}", self.value),
            (Place::Memory(gpa), false) => write!(f, "read {gpa:#x} -> {:0digits$x}", self.value),
        }
    }
}

/// The last accesses, each with how often it came in a row.
#[derive(Debug, Clone, Default)]
pub struct Recent(VecDeque<(Access, u64)>);

impl Recent {
    /// How many are kept.
    pub const KEPT: usize = 16;

    /// Puts one in.
    pub fn push(&mut self, access: Access) {
        match self.0.back_mut() {
            Some((last, times)) if *last == access => *times = times.saturating_add(1),
            _ => {
                if self.0.len() == Self::KEPT {
                    self.0.pop_front();
                }
                self.0.push_back((access, 1));
            }
        }
    }

    /// The oldest first, with how often each came in a row.
    pub fn iter(&self) -> impl Iterator<Item = &(Access, u64)> {
        self.0.iter()
    }
}
