//! Split virtqueues (virtio 1.2, section 2.7), the device's side.

use std::fmt;
use std::sync::atomic::{Ordering, fence};

use crate::{Memory, NoMemory};

/// Bytes of a descriptor: address, length, flags, next.
const DESCRIPTOR: u64 = 16;
/// Descriptor flag: the chain goes on at `next`.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes, and does not read.
const WRITE: u16 = 2;
/// Descriptor flag: the address is a table of descriptors.
const INDIRECT: u16 = 4;

/// Available ring, `flags`: the driver wants no interrupt.
const NO_INTERRUPT: u16 = 1;
/// Where `idx` is in either ring.
const INDEX: u64 = 2;
/// Where the entries begin in either ring.
const RING: u64 = 4;
/// Bytes of an entry of the available ring: the head of a chain.
const AVAILABLE: u64 = 2;
/// Bytes of an entry of the used ring: the head, and the bytes written.
const USED: u64 = 8;

/// How a driver broke the rules of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Where the queue or a buffer is said to be there is no memory.
    NoMemory(NoMemory),
    /// More chains are available than the queue has entries.
    AvailableIndex,
    /// A descriptor's number is not below the length of its table.
    DescriptorIndex,
    /// A chain is longer than the queue, as one that ends in itself is.
    LongChain,
    /// The buffers of a chain are more than 2^32 bytes.
    LargeChain,
    /// A buffer to read from follows one to write to.
    ReadAfterWrite,
    /// An indirect descriptor that may not be: not negotiated, within an
    /// indirect table, not the last of its chain, or for a table that is not
    /// made of descriptors.
    Indirect,
    /// A request without the parts that any has.
    Request,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory(error) => return error.fmt(f),
            Self::AvailableIndex => "more chains are available than the queue has entries",
            Self::DescriptorIndex => "a descriptor's number is beyond the end of its table",
            Self::LongChain => "a chain has more descriptors than the queue",
            Self::LargeChain => "the buffers of a chain are larger than 4 GiB",
            Self::ReadAfterWrite => "a buffer to read from follows one to write to",
            Self::Indirect => "an indirect descriptor is where none may be",
            Self::Request => "a request is too short to be one",
        })
    }
}

impl std::error::Error for Broken {}

impl From<NoMemory> for Broken {
    fn from(error: NoMemory) -> Self {
        Self::NoMemory(error)
    }
}

/// A buffer: guest physical address and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The first byte's address.
    pub gpa: u64,
    /// Bytes; may be none.
    pub len: u32,
}

/// The buffers that a driver hands over together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The number of the first descriptor, by which the driver knows the chain.
    pub head: u16,
    /// What the device may read, in order.
    pub readable: Vec<Segment>,
    /// What the device may write, in order.
    pub writable: Vec<Segment>,
}

/// A queue as the driver has set it up, and how far the device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Virtqueue {
    /// Entries: a power of two, at most [`SIZE_MAX`](Self::SIZE_MAX).
    pub size: u16,
    /// The queue is in use.
    pub enabled: bool,
    /// Where the descriptor table is.
    pub descriptors: u64,
    /// Where the available ring (the driver area) is.
    pub available: u64,
    /// Where the used ring (the device area) is.
    pub used: u64,
    /// Whether indirect descriptors were negotiated.
    pub indirect: bool,
    next_available: u16,
    next_used: u16,
}

impl Default for Virtqueue {
    fn default() -> Self {
        Self {
            size: Self::SIZE_MAX,
            enabled: false,
            descriptors: 0,
            available: 0,
            used: 0,
            indirect: false,
            next_available: 0,
            next_used: 0,
        }
    }
}

/// A descriptor as it is in memory.
struct Descriptor {
    segment: Segment,
    flags: u16,
    next: u16,
}

impl Virtqueue {
    /// Entries at most.
    pub const SIZE_MAX: u16 = 128;

    /// How many chains the driver has made available that have not been taken.
    ///
    /// # Errors
    /// Fails where the ring has no memory or its index is impossible.
    pub fn waiting(&self, memory: &mut dyn Memory) -> Result<u16, Broken> {
        let index = read_u16(memory, at(self.available, INDEX)?)?;
        // What the index announces was written before it.
        fence(Ordering::Acquire);
        let waiting = index.wrapping_sub(self.next_available);
        if waiting > self.size { Err(Broken::AvailableIndex) } else { Ok(waiting) }
    }

    /// Takes the next chain, of which one must be waiting.
    ///
    /// # Errors
    /// Fails where the driver broke a rule.
    pub fn take(&mut self, memory: &mut dyn Memory) -> Result<Chain, Broken> {
        let entry = u64::from(self.next_available % self.size);
        let head = read_u16(memory, at(self.available, RING + AVAILABLE * entry)?)?;
        self.next_available = self.next_available.wrapping_add(1);
        self.chain(memory, head)
    }

    /// Follows a chain from its first descriptor.
    fn chain(&self, memory: &mut dyn Memory, head: u16) -> Result<Chain, Broken> {
        let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
        let (mut table, mut entries) = (self.descriptors, self.size);
        let mut in_indirect = false;
        let mut next = head;
        let mut total: u32 = 0;
        // Descriptors with a buffer: no chain has more than the queue entries,
        // wherever they are.
        for _ in 0..self.size {
            let mut descriptor = Descriptor::read(memory, table, entries, next)?;
            if descriptor.flags & INDIRECT != 0 {
                if in_indirect || !self.indirect || descriptor.flags & NEXT != 0 {
                    return Err(Broken::Indirect);
                }
                table = descriptor.segment.gpa;
                entries = descriptor.table_entries().ok_or(Broken::Indirect)?;
                in_indirect = true;
                descriptor = Descriptor::read(memory, table, entries, 0)?;
                if descriptor.flags & INDIRECT != 0 {
                    return Err(Broken::Indirect);
                }
            }
            let len = descriptor.segment.len;
            total = total.checked_add(len).ok_or(Broken::LargeChain)?;
            if descriptor.flags & WRITE != 0 {
                chain.writable.push(descriptor.segment);
            } else if chain.writable.is_empty() {
                chain.readable.push(descriptor.segment);
            } else {
                return Err(Broken::ReadAfterWrite);
            }
            if descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            next = descriptor.next;
        }
        Err(Broken::LongChain)
    }

    /// Gives a chain back, with the number of bytes written to it.
    ///
    /// # Errors
    /// Fails where the ring has no memory.
    pub fn give_back(
        &mut self,
        memory: &mut dyn Memory,
        head: u16,
        written: u32,
    ) -> Result<(), Broken> {
        let entry = u64::from(self.next_used % self.size);
        let mut element = [0; USED as usize];
        element[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        memory.write(at(self.used, RING + USED * entry)?, &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        // The index announces what was written before it.
        fence(Ordering::Release);
        memory.write(at(self.used, INDEX)?, &self.next_used.to_le_bytes())?;
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was given back.
    ///
    /// # Errors
    /// Fails where the ring has no memory.
    pub fn wants_interrupt(&self, memory: &mut dyn Memory) -> Result<bool, Broken> {
        // The driver sets the flag and looks at the used index; the device does
        // it the other way round. One of them must see what the other did.
        fence(Ordering::SeqCst);
        Ok(read_u16(memory, self.available)? & NO_INTERRUPT == 0)
    }
}

impl Descriptor {
    /// How many descriptors the table has that this one is for; at most as many
    /// as have numbers.
    fn table_entries(&self) -> Option<u16> {
        let len = u64::from(self.segment.len);
        let entries = u16::try_from(len / DESCRIPTOR).ok()?;
        (entries > 0 && len.is_multiple_of(DESCRIPTOR)).then_some(entries)
    }

    fn read(memory: &mut dyn Memory, table: u64, entries: u16, index: u16) -> Result<Self, Broken> {
        if index >= entries {
            return Err(Broken::DescriptorIndex);
        }
        let mut bytes = [0; DESCRIPTOR as usize];
        memory.read(at(table, DESCRIPTOR * u64::from(index))?, &mut bytes)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Ok(Self {
            segment: Segment {
                gpa: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                len: u32::from_le_bytes([i, j, k, l]),
            },
            flags: u16::from_le_bytes([m, n]),
            next: u16::from_le_bytes([o, p]),
        })
    }
}

fn at(base: u64, offset: u64) -> Result<u64, NoMemory> {
    base.checked_add(offset).ok_or(NoMemory { gpa: base })
}

fn read_u16(memory: &mut dyn Memory, gpa: u64) -> Result<u16, NoMemory> {
    let mut bytes = [0; 2];
    memory.read(gpa, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}
