//! Virtqueues in any state, walked by us and by rust-vmm's `virtio-queue`.

mod common;

use common::Ram;
use common::driver::{Descriptor, INDIRECT, NEXT, WRITE};
use igvm_devices::virtio::{Broken, Chain, Segment, Virtqueue};
use proptest::prelude::*;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const RAM: usize = 0x1_0000;
const TABLE: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
const INDIRECT_TABLE: u64 = 0x4000;
/// Smaller than the indirect table.
const SIZE: u16 = 8;

/// What the oracle sees in a chain: address, length, whether it is to be
/// written; and whether the last one says that there is more.
struct Seen {
    buffers: Vec<(u64, u32, bool)>,
    cut: bool,
}

fn oracle(ram: &[u8], waiting: u16) -> Option<Vec<Seen>> {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    memory.write_slice(ram, GuestAddress(0)).unwrap();
    let mut queue = Queue::new(SIZE).unwrap();
    queue.set_desc_table_address(Some(TABLE as u32), Some(0));
    queue.set_avail_ring_address(Some(AVAILABLE as u32), Some(0));
    queue.set_used_ring_address(Some(USED as u32), Some(0));
    queue.set_ready(true);
    let chains: Vec<_> = queue.iter(&memory).ok()?.collect();
    assert_eq!(chains.len(), usize::from(waiting));
    let seen = chains.into_iter().map(|chain| {
        let descriptors: Vec<_> = chain.collect();
        Seen {
            cut: descriptors.last().is_none_or(|last| last.has_next()),
            buffers: descriptors
                .iter()
                .map(|buffer| (buffer.addr().0, buffer.len(), buffer.is_write_only()))
                .collect(),
        }
    });
    Some(seen.collect())
}

/// The buffers of a chain as the oracle has them.
fn buffers(chain: &Chain) -> Vec<(u64, u32, bool)> {
    let part = |segments: &[Segment], writable| -> Vec<_> {
        segments.iter().map(|segment| (segment.gpa, segment.len, writable)).collect()
    };
    [part(&chain.readable, false), part(&chain.writable, true)].concat()
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let flags = prop_oneof![
        4 => Just(NEXT),
        2 => Just(NEXT | WRITE),
        2 => Just(WRITE),
        2 => Just(0),
        2 => Just(INDIRECT),
        1 => any::<u16>(),
    ];
    let table = prop_oneof![
        4 => Just(INDIRECT_TABLE),
        1 => Just(RAM as u64 - 0x10),
        1 => Just(RAM as u64 - 8),
        1 => Just(u64::MAX - 8),
        1 => any::<u64>(),
    ];
    let len = prop_oneof![
        4 => (0_u32..14).prop_map(|count| count * 16),
        2 => 0_u32..0x200,
        1 => Just(1 << 31),
        1 => any::<u32>(),
    ];
    let next = prop_oneof![9 => 0_u16..SIZE, 1 => any::<u16>()];
    (table, len, flags, next).prop_map(|(gpa, len, flags, next)| Descriptor {
        gpa,
        len,
        flags,
        next,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Either both see the same chain, or we refuse it for a reason that shows
    /// in what the oracle sees, or that it does not look at.
    #[test]
    fn the_same_chains_or_both_refuse(
        table in prop::collection::vec(descriptor(), SIZE as usize),
        indirect in prop::collection::vec(descriptor(), 12),
        heads in prop::collection::vec(prop_oneof![9 => 0..SIZE, 1 => any::<u16>()], SIZE as usize),
        index in prop_oneof![9 => 0..=SIZE, 1 => any::<u16>()],
    ) {
        let mut ram = Ram(vec![0; RAM]);
        let mut put = |at: u64, bytes: &[u8]| {
            ram.0[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        };
        for (at, descriptors) in [(TABLE, &table), (INDIRECT_TABLE, &indirect)] {
            for (at, descriptor) in (at..).step_by(16).zip(descriptors) {
                put(at, &descriptor.bytes());
            }
        }
        put(AVAILABLE + 2, &index.to_le_bytes());
        for (at, head) in (AVAILABLE + 4..).step_by(2).zip(&heads) {
            put(at, &head.to_le_bytes());
        }

        let mut queue = Virtqueue::default();
        (queue.size, queue.enabled, queue.indirect) = (SIZE, true, true);
        (queue.descriptors, queue.available, queue.used) = (TABLE, AVAILABLE, USED);
        let seen = oracle(&ram.0, index);
        let waiting = queue.waiting(&mut ram);
        let Some(seen) = seen else {
            prop_assert_eq!(waiting, Err(Broken::AvailableIndex));
            return Ok(());
        };
        prop_assert_eq!(waiting, Ok(index));
        for (seen, head) in seen.iter().zip(&heads) {
            match queue.take(&mut ram) {
                Ok(chain) => {
                    prop_assert_eq!(chain.head, *head);
                    prop_assert!(!seen.cut);
                    prop_assert_eq!(buffers(&chain), &seen.buffers[..]);
                }
                Err(Broken::ReadAfterWrite) => {
                    let writes = seen.buffers.iter().map(|(_, _, write)| *write);
                    prop_assert!(!writes.is_sorted());
                }
                // For the oracle a longer chain may be in an indirect table.
                Err(Broken::LongChain) => {
                    prop_assert!(seen.cut || seen.buffers.len() > usize::from(SIZE));
                }
                // The oracle does not mind NEXT beside INDIRECT.
                Err(Broken::Indirect) => {
                    let both = |of: &Descriptor| of.flags & (INDIRECT | NEXT) == INDIRECT | NEXT;
                    prop_assert!(seen.cut || table.iter().any(both));
                }
                Err(_) => prop_assert!(seen.cut),
            }
        }
    }
}

/// The indexes are 16 bits wide and never reset.
#[test]
fn a_queue_goes_round_and_round() {
    let mut ram = Ram(vec![0; RAM]);
    let mut queue = Virtqueue::default();
    (queue.size, queue.descriptors, queue.available, queue.used) = (SIZE, TABLE, AVAILABLE, USED);
    for round in 0..0x2_0003_u32 {
        let head = (round % 3) as u16;
        let entry = AVAILABLE as usize + 4 + 2 * (round as usize % usize::from(SIZE));
        ram.0[entry..entry + 2].copy_from_slice(&head.to_le_bytes());
        let index = (round as u16).wrapping_add(1);
        ram.0[AVAILABLE as usize + 2..][..2].copy_from_slice(&index.to_le_bytes());
        assert_eq!(queue.waiting(&mut ram), Ok(1));
        assert_eq!(queue.take(&mut ram).unwrap().head, head);
        assert_eq!(queue.waiting(&mut ram), Ok(0));
        queue.give_back(&mut ram, head, round).unwrap();
        let element = USED as usize + 4 + 8 * (round as usize % usize::from(SIZE));
        assert_eq!(ram.0[element..element + 4], u32::from(head).to_le_bytes());
        assert_eq!(ram.0[element + 4..element + 8], round.to_le_bytes());
        assert_eq!(ram.0[USED as usize + 2..][..2], index.to_le_bytes());
    }
}
