//! The virtio block device, driven by a driver of the test's own.

mod common;

use common::driver::{
    ALL, AVAILABLE, BELL_PORT, Data, Descriptor, Driver, FLUSH, FREE, FUNCTION, INDIRECT, MSIX,
    NEXT, READ_ONLY, READY, RING_RESET, TABLE, USED, VERSION_1, WRITE, common as field,
};
use common::{Arrived, Pc, RamDisk};
use proptest::prelude::*;
use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};

const OK: u8 = VIRTIO_BLK_S_OK as u8;
const IO_ERROR: u8 = VIRTIO_BLK_S_IOERR as u8;
const UNSUPPORTED: u8 = VIRTIO_BLK_S_UNSUPP as u8;
const NEEDS_RESET: u8 = 0x40;
/// The inputs of the I/O APIC and the ISA interrupt that the pin reaches: slot
/// 3, pin A is PIRQH.
const PIRQH: u32 = 1 << 23;
const LPC: u8 = 0x1f << 3;

#[test]
fn requests() {
    let disk = RamDisk { bad_sector: Some(6), ..RamDisk::new(8) };
    let mut driver = Driver::started(disk.clone());
    let device = driver.device;
    assert_eq!(driver.read(device, 8), 8, "sectors");
    assert_eq!(driver.read(device + 20, 4), 512, "bytes of a sector");
    assert_eq!(driver.read(device + 16, 4), 0x3f10_0001, "cylinders, heads, sectors");
    let (read, write) = (VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT);
    assert_eq!(driver.request(read, 5, Data::In(512)), (OK, vec![5; 512], 513));
    let two = [vec![1; 512], vec![2; 512]].concat();
    assert_eq!(driver.request(read, 1, Data::In(1024)), (OK, two.clone(), 1025));
    assert_eq!(driver.request(write, 4, Data::Out(&two)), (OK, two.clone(), 1));
    assert_eq!(disk.content.lock().unwrap()[4 * 512..6 * 512], two);
    assert_eq!(*disk.flushes.lock().unwrap(), 0);
    assert_eq!(driver.request(VIRTIO_BLK_T_FLUSH, 0, Data::In(0)), (OK, vec![], 1));
    assert_eq!(*disk.flushes.lock().unwrap(), 1);
    let (status, id, len) = driver.request(VIRTIO_BLK_T_GET_ID, 0, Data::In(20));
    assert_eq!((status, &id[..], len), (OK, &b"igvm-disk\0\0\0\0\0\0\0\0\0\0\0"[..], 21));
    assert_eq!(driver.request(0x4711, 0, Data::In(512)).0, UNSUPPORTED);
    // Half a sector; across the end; behind it; where addresses would wrap; a
    // sector that cannot be read or written.
    let before = disk.content.lock().unwrap().clone();
    for (sector, len) in
        [(0, 256), (7, 1024), (8, 512), (u64::MAX, 512), (1 << 55, 512), (5, 1024), (6, 512)]
    {
        assert_eq!(driver.request(read, sector, Data::In(len)).0, IO_ERROR, "{sector}, {len}");
        let data = vec![0x55; len];
        if sector != 5 {
            let (status, ..) = driver.request(write, sector, Data::Out(&data));
            assert_eq!(status, IO_ERROR, "{sector}, {len}");
        }
    }
    assert_eq!(*disk.content.lock().unwrap(), before);
    assert_eq!(driver.request(read, 8, Data::In(0)).0, OK, "nothing, at the end");
    assert_eq!(driver.status(), READY);
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let disk = RamDisk { read_only: true, ..RamDisk::new(4) };
    let mut driver = Driver::started(disk.clone());
    assert_eq!(driver.offered() & READ_ONLY, READ_ONLY);
    let (status, ..) = driver.request(VIRTIO_BLK_T_OUT, 1, Data::Out(&[0x55; 512]));
    assert_eq!(status, IO_ERROR);
    assert_eq!(driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512)).1, [1; 512]);
    assert_eq!(Driver::probe(RamDisk::new(4)).offered() & READ_ONLY, 0);
}

/// A driver that does not know FLUSH expects writes to be safe when they are
/// done.
#[test]
fn without_flush_every_write_is_flushed() {
    let disk = RamDisk::new(4);
    let mut driver = Driver::probe(disk.clone());
    driver.start(VERSION_1);
    for count in 1..4 {
        driver.request(VIRTIO_BLK_T_OUT, 1, Data::Out(&[0x55; 512]));
        assert_eq!(*disk.flushes.lock().unwrap(), count);
    }
}

#[test]
fn negotiation() {
    let mut driver = Driver::probe(RamDisk::new(4));
    assert_eq!(driver.offered() & ALL, ALL);
    driver.set_common(field::DEVICE_FEATURE_SELECT, 4, 2);
    assert_eq!(driver.common(field::DEVICE_FEATURE, 4), 0);
    // Neither without version 1 nor with what was not offered; and nothing runs
    // then.
    for wrong in [FLUSH, VERSION_1 | READ_ONLY, VERSION_1 | 1 << 63] {
        driver.set_status(0);
        driver.set_status(3);
        driver.want(wrong);
        driver.set_status(11);
        assert_eq!(driver.status(), 3, "{wrong:#x}");
        driver.set_status(15);
        assert_eq!(driver.status(), 3, "{wrong:#x}");
    }
    driver.start(ALL);
    // What was agreed upon stays, and no bit can be cleared but by a reset.
    driver.want(0);
    assert_eq!(driver.common(field::DRIVER_FEATURE, 4), ALL >> 32);
    driver.set_status(1);
    assert_eq!(driver.status(), READY);
    driver.set_status(0);
    assert_eq!(driver.status(), 0);
    assert_eq!(driver.common(field::QUEUE_ENABLE, 2), 0);
    assert_eq!(driver.common(field::DRIVER_FEATURE, 4), 0);
}

#[test]
fn the_queues_registers() {
    let mut driver = Driver::probe(RamDisk::new(4));
    assert_eq!(driver.common(field::NUM_QUEUES, 2), 1);
    assert_eq!(driver.common(field::QUEUE_SIZE, 2), 128);
    for (size, accepted) in [(0, 128), (256, 128), (24, 128), (64, 64), (1, 1), (16, 16)] {
        driver.set_common(field::QUEUE_SIZE, 2, size);
        assert_eq!(driver.common(field::QUEUE_SIZE, 2), accepted);
    }
    driver.start(ALL);
    driver.set_common(field::QUEUE_SIZE, 2, 8);
    driver.set_common(field::QUEUE_DESC, 8, 0);
    assert_eq!(driver.common(field::QUEUE_SIZE, 2), 16, "not while it is in use");
    assert_eq!(driver.common(field::QUEUE_DESC, 8), TABLE);
    assert_eq!(driver.common(field::QUEUE_DRIVER, 8), AVAILABLE);
    assert_eq!(driver.common(field::QUEUE_DEVICE + 4, 4), 0);
    driver.set_common(field::QUEUE_SELECT, 2, 1);
    assert_eq!(driver.common(field::QUEUE_SIZE, 2), 0, "there is no second queue");
    driver.set_common(field::QUEUE_DESC, 8, 0x77);
    driver.set_common(field::QUEUE_SELECT, 2, 0);
    assert_eq!(driver.common(field::QUEUE_DESC, 8), TABLE);
    // Reset by itself, and set up again.
    driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512));
    driver.set_common(field::QUEUE_RESET, 2, 1);
    assert_eq!(driver.common(field::QUEUE_RESET, 2), 0);
    assert_eq!(driver.common(field::QUEUE_ENABLE, 2), 0);
    driver.set_up_queue();
    assert_eq!(driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512)).1, [1; 512]);
    driver.start(ALL & !RING_RESET);
    driver.set_common(field::QUEUE_RESET, 2, 1);
    assert_eq!(driver.common(field::QUEUE_ENABLE, 2), 1, "not negotiated");
}

/// Nothing is done for a driver that is not ready, or that may not be answered
/// because the function is no bus master.
#[test]
fn the_bell_is_heard_when_it_should_be() {
    let mut driver = Driver::started(RamDisk::new(4));
    driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512));
    driver.offer(0);
    driver.pc.set_config(FUNCTION, 4, 0b011);
    driver.ring();
    assert_eq!(driver.given_back(), []);
    driver.pc.set_config(FUNCTION, 4, 0b111);
    // Another queue's bell.
    let notify = driver.notify;
    driver.pc.write_memory(notify, &[1, 0]);
    assert_eq!(driver.given_back(), []);
    driver.ring();
    assert_eq!(driver.given_back(), [(0, 513)]);
    driver.offer(0);
    driver.pc.write(BELL_PORT, &[0, 0]);
    assert_eq!(driver.given_back(), [(0, 513)], "by the port");
    driver.set_status(0);
    driver.offer(0);
    driver.ring();
    assert_eq!(driver.given_back(), []);
}

#[test]
fn the_pin_is_asserted_until_the_isr_is_read() {
    let mut driver = Driver::started(RamDisk::new(4));
    let high = |driver: &Driver| driver.pc.controllers.arrived().high;
    let (isr, status) = (driver.isr, |pc: &mut Pc| pc.config(FUNCTION, 4) >> 16 & 8);
    assert_eq!(driver.pc.config(FUNCTION, 0x3c) >> 8, 1, "INTA#");
    let request = |driver: &mut Driver| driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512));
    request(&mut driver);
    assert_eq!(high(&driver), PIRQH);
    // The route to ISA interrupt 11 is switched on while it waits, then to one
    // that no route can name.
    driver.pc.set_config(LPC, 0x68, 0x0b80_8080);
    assert_eq!(high(&driver), PIRQH | 1 << 11);
    driver.pc.set_config(LPC, 0x68, 0x0880_8080);
    assert_eq!(high(&driver), PIRQH);
    driver.pc.set_config(LPC, 0x68, 0x0b80_8080);
    // Interrupt disable hides it; the status register still tells.
    driver.pc.set_config(FUNCTION, 4, 0x407);
    assert_eq!((high(&driver), status(&mut driver.pc)), (0, 8));
    driver.pc.set_config(FUNCTION, 4, 0x007);
    assert_eq!(high(&driver), PIRQH | 1 << 11);
    assert_eq!(driver.read(isr, 1), 1);
    assert_eq!((high(&driver), status(&mut driver.pc)), (0, 0));
    assert_eq!(driver.read(isr, 1), 0);
    // The driver can do without.
    driver.poke(AVAILABLE, &[1, 0]);
    request(&mut driver);
    assert_eq!(high(&driver), 0);
    // A reset of the device, and of the machine, lets go.
    driver.poke(AVAILABLE, &[0, 0]);
    request(&mut driver);
    assert_eq!(high(&driver), PIRQH | 1 << 11);
    driver.set_status(0);
    assert_eq!((high(&driver), status(&mut driver.pc)), (0, 0));
    driver.start(ALL);
    request(&mut driver);
    driver.pc.devices.reset();
    assert_eq!(driver.pc.controllers.arrived(), Arrived::default());
}

#[test]
fn messages_are_sent_masked_and_sent_later() {
    let mut driver = Driver::started(RamDisk::new(4));
    let request = |driver: &mut Driver| driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512));
    let (msix, table) = (driver.msix, u64::from(MSIX));
    assert_eq!(driver.pc.config(FUNCTION, msix) >> 16, 1, "two vectors, off");
    let control = |driver: &mut Driver, bits: u32| {
        driver.pc.set_config(FUNCTION, msix, bits << 16);
    };
    let vector = |driver: &mut Driver, vector: u64, masked: u8| {
        let entry = table + 16 * vector;
        driver.pc.write_memory(entry, &(0xfee0_1000 + 16 * vector).to_le_bytes());
        driver.pc.write_memory(entry + 8, &(0x40 + vector as u32).to_le_bytes());
        driver.pc.write_memory(entry + 12, &[masked, 0, 0, 0]);
    };
    let sent = |driver: &Driver| driver.pc.controllers.take_messages();
    driver.set_common(field::CONFIG_MSIX_VECTOR, 2, 0);
    driver.set_common(field::QUEUE_MSIX_VECTOR, 2, 1);
    control(&mut driver, 0x8000);
    let (config, queue) = ((0xfee0_1000, 0x40), (0xfee0_1010, 0x41));
    // Masked from the start.
    vector(&mut driver, 0, 0);
    vector(&mut driver, 1, 1);
    request(&mut driver);
    request(&mut driver);
    assert_eq!(sent(&driver), []);
    assert_eq!(driver.read(table + 0x800, 8), 2, "pending");
    vector(&mut driver, 1, 0);
    assert_eq!(sent(&driver), [queue], "once");
    assert_eq!(driver.read(table + 0x800, 8), 0);
    request(&mut driver);
    assert_eq!(sent(&driver), [queue]);
    assert_eq!(driver.pc.controllers.arrived().high, 0, "no pin beside it");
    let isr = driver.isr;
    assert_eq!(driver.read(isr, 1), 0);
    // All masked at once.
    control(&mut driver, 0xc000);
    request(&mut driver);
    assert_eq!(sent(&driver), []);
    control(&mut driver, 0x8000);
    assert_eq!(sent(&driver), [queue]);
    // The other vector tells that the device has failed.
    driver.offer(0xffff);
    driver.ring();
    assert_eq!(sent(&driver), [config]);
    assert_eq!(driver.status(), READY | NEEDS_RESET);
    // No vector, no message; a vector that is not there is none.
    driver.start(ALL);
    driver.set_common(field::QUEUE_MSIX_VECTOR, 2, 2);
    assert_eq!(driver.common(field::QUEUE_MSIX_VECTOR, 2), 0xffff);
    request(&mut driver);
    assert_eq!(sent(&driver), []);
}

/// What a driver can get wrong about a chain.
fn wrong_chains() -> Vec<(&'static str, Vec<Descriptor>)> {
    let descriptor = |gpa, len, flags, next| Descriptor { gpa, len, flags, next };
    let header = descriptor(FREE, 16, NEXT, 1);
    let status = |flags| descriptor(FREE + 0x100, 1, flags, 0);
    vec![
        ("no status", vec![descriptor(FREE, 16, 0, 0)]),
        ("no header", vec![status(WRITE)]),
        ("half a header", vec![descriptor(FREE, 8, NEXT, 1), status(WRITE)]),
        ("an empty status", vec![header, descriptor(FREE, 0, WRITE, 0)]),
        ("a circle", vec![header, descriptor(FREE, 16, NEXT, 0)]),
        ("a number beyond the table", vec![descriptor(FREE, 16, NEXT, 16)]),
        ("no memory at the header", vec![descriptor(0xfff8, 16, NEXT, 1), status(WRITE)]),
        ("no memory at the status", vec![header, descriptor(u64::MAX, 1, WRITE, 0)]),
        ("a status that wraps", vec![header, descriptor(u64::MAX, 0x20, WRITE, 0)]),
        (
            "no memory for the data",
            vec![header, descriptor(0xfffe, 512, WRITE | NEXT, 2), status(WRITE)],
        ),
        ("reading after writing", vec![header, status(WRITE | NEXT), header]),
        ("a table of half a descriptor", vec![descriptor(FREE, 8, INDIRECT, 0)]),
        ("an empty table", vec![descriptor(FREE, 0, INDIRECT, 0)]),
        ("a table that is not the last", vec![descriptor(FREE, 16, INDIRECT | NEXT, 1), status(0)]),
        ("a table in a table", vec![descriptor(TABLE, 16, INDIRECT, 0)]),
        (
            "more than 4 GiB",
            vec![
                header,
                descriptor(FREE, u32::MAX, WRITE | NEXT, 2),
                descriptor(FREE, u32::MAX, WRITE, 0),
            ],
        ),
    ]
}

#[test]
fn a_wrong_chain_stops_the_device_until_it_is_reset() {
    let mut driver = Driver::started(RamDisk::new(4));
    for (what, chain) in wrong_chains() {
        driver.start(ALL);
        driver.describe(&chain);
        driver.offer(0);
        driver.ring();
        assert_eq!(driver.status(), READY | NEEDS_RESET, "{what}");
        assert_eq!(driver.pc.controllers.arrived().high, PIRQH, "{what}");
        let isr = driver.isr;
        assert_eq!(driver.read(isr, 1), 2, "{what}: the configuration interrupt");
        // Nothing is done any more, right or wrong; the driver cannot clear it.
        driver.set_status(READY);
        driver.offer(0);
        driver.ring();
        assert_eq!(driver.given_back(), [], "{what}");
        driver.start(ALL);
        assert_eq!(driver.request(VIRTIO_BLK_T_IN, 3, Data::In(512)).1, [3; 512], "{what}");
    }
    // More chains than entries; and no memory where the rings should be.
    driver.poke(AVAILABLE + 2, &[0xff, 0xff]);
    driver.ring();
    assert_eq!(driver.status(), READY | NEEDS_RESET);
    for ring in [field::QUEUE_DESC, field::QUEUE_DRIVER, field::QUEUE_DEVICE] {
        for address in [0xffff, 0x1_0000, u64::MAX, u64::MAX - 1] {
            driver.start(ALL);
            driver.describe(&[
                Descriptor { gpa: FREE, len: 16, flags: NEXT, next: 1 },
                Descriptor { gpa: FREE + 0x100, len: 1, flags: WRITE, next: 0 },
            ]);
            driver.set_common(field::QUEUE_RESET, 2, 1);
            for (at, value) in [
                (field::QUEUE_DESC, TABLE),
                (field::QUEUE_DRIVER, AVAILABLE),
                (field::QUEUE_DEVICE, USED),
                (ring, address),
            ] {
                driver.set_common(at, 8, value);
            }
            driver.set_common(field::QUEUE_ENABLE, 2, 1);
            driver.offer(0);
            driver.ring();
            assert_eq!(driver.status(), READY | NEEDS_RESET, "{ring} at {address:#x}");
        }
    }
}

#[test]
fn indirect_descriptors_must_be_negotiated() {
    let mut driver = Driver::probe(RamDisk::new(4));
    for (features, status) in [(ALL, READY), (VERSION_1, READY | NEEDS_RESET)] {
        driver.start(features);
        let table = [
            Descriptor { gpa: FREE, len: 16, flags: NEXT, next: 1 },
            Descriptor { gpa: FREE + 0x100, len: 1, flags: WRITE, next: 0 },
        ];
        driver.poke(FREE + 0x200, &table.map(|descriptor| descriptor.bytes()).concat());
        driver.describe(&[Descriptor { gpa: FREE + 0x200, len: 32, flags: INDIRECT, next: 0 }]);
        driver.offer(0);
        driver.ring();
        assert_eq!(driver.status(), status);
    }
}

/// Overlapping buffers, so that 10 MiB of memory ask for more than 2 GiB.
#[test]
fn one_ring_moves_no_more_than_it_may() {
    const BUFFER: u32 = 10 << 20;
    const REQUEST: u32 = 14 * BUFFER;
    let disk = RamDisk::new(0);
    disk.content.lock().unwrap().resize(REQUEST as usize, 0x77);
    let mut driver = Driver::started(disk);
    driver.pc.ram.0.resize(BUFFER as usize + 0x1_0000, 0);
    driver.poke(FREE, &[&VIRTIO_BLK_T_IN.to_le_bytes()[..], &[0; 12]].concat());
    let mut chain = vec![Descriptor { gpa: FREE, len: 16, flags: NEXT, next: 1 }];
    let buffer = |next| Descriptor { gpa: FREE + 0x1000, len: BUFFER, flags: NEXT | WRITE, next };
    chain.extend((2..16).map(buffer));
    chain.push(Descriptor { gpa: FREE + 0x100, len: 1, flags: WRITE, next: 0 });
    driver.describe(&chain);
    (0..16).for_each(|_| driver.offer(0));
    driver.ring();
    // Fourteen of them are 1.9 GiB; none beyond that is done, not even in part.
    let done = (0, REQUEST + 1);
    let expected: Vec<_> = (0..16).map(|nth| if nth < 14 { done } else { (0, 0) }).collect();
    assert_eq!(driver.given_back(), expected);
    assert_eq!(driver.peek(FREE + 0x100, 1), [IO_ERROR]);
    // The next ring begins anew.
    driver.offer(0);
    driver.ring();
    assert_eq!(driver.given_back(), [done]);
    assert_eq!(driver.status(), READY);
}

/// The window in configuration space: all of it without memory or ports.
#[test]
fn the_window_reaches_what_the_base_addresses_do() {
    let mut driver = Driver::probe(RamDisk::new(4));
    let at = driver.window;
    let show = |pc: &mut Pc, bar: u32, offset: u32, len: u32| {
        pc.set_config(FUNCTION, at + 4, bar);
        pc.set_config(FUNCTION, at + 8, offset);
        pc.set_config(FUNCTION, at + 12, len);
        pc.config(FUNCTION, at + 16)
    };
    assert_eq!(show(&mut driver.pc, 0, 0x2000, 4), 4, "sectors");
    assert_eq!(show(&mut driver.pc, 2, 12, 4), 1, "a vector is masked");
    // No such register, offset or length: nothing happens.
    for (bar, offset, len) in [(1, 0, 4), (5, 0, 4), (0, 0x4000, 4), (0, 2, 4), (0, 0, 3)] {
        show(&mut driver.pc, bar, offset, len);
    }
    driver.start(ALL);
    driver.request(VIRTIO_BLK_T_IN, 1, Data::In(512));
    driver.offer(0);
    show(&mut driver.pc, 0, 0x3000, 2);
    assert_eq!(driver.given_back(), []);
    driver.pc.config(FUNCTION, at + 16);
    driver.pc.write(0xcfc, &[0, 0]);
    assert_eq!(driver.given_back(), [(0, 513)]);
}

/// Where buffers end and begin has no meaning (virtio 1.2, section 2.7.4).
fn cut(bytes: usize, cuts: &[usize]) -> Vec<usize> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut % (bytes + 1)).chain([0, bytes]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

proptest! {
    /// A disk in memory is the oracle.
    #[test]
    fn any_cut_of_a_request_is_the_same_request(
        requests in prop::collection::vec(
            (any::<bool>(), 0_u64..10, 0_usize..5, any::<u8>(),
             prop::collection::vec(any::<usize>(), 0..5), prop::collection::vec(any::<usize>(), 0..5),
             any::<bool>()),
            1..8,
        ),
    ) {
        let disk = RamDisk::new(8);
        let mut model = disk.content.lock().unwrap().clone();
        let mut driver = Driver::started(disk.clone());
        for (write, sector, sectors, fill, out_cuts, in_cuts, indirect) in requests {
            let len = sectors * 512;
            let kind = if write { VIRTIO_BLK_T_OUT } else { VIRTIO_BLK_T_IN };
            let mut out = [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
            if write {
                out.extend((0..len).map(|at| fill.wrapping_add((at / 7) as u8)));
            }
            let in_len = if write { 1 } else { len + 1 };
            let (out_at, in_at) = (FREE + 0x1000, FREE + 0x4000);
            driver.poke(out_at, &out);
            driver.poke(in_at, &vec![0xee; in_len]);
            let mut descriptors = vec![];
            let parts = [(out_at, cut(out.len(), &out_cuts), 0), (in_at, cut(in_len, &in_cuts), WRITE)];
            for (mut gpa, lens, flags) in parts {
                for len in lens {
                    let next = descriptors.len() as u16 + 1;
                    descriptors.push(Descriptor { gpa, len: len as u32, flags: flags | NEXT, next });
                    gpa += len as u64;
                }
            }
            descriptors.last_mut().unwrap().flags &= !NEXT;
            if indirect {
                let table: Vec<_> = descriptors.iter().flat_map(Descriptor::bytes).collect();
                driver.poke(FREE, &table);
                descriptors =
                    vec![Descriptor { gpa: FREE, len: table.len() as u32, flags: INDIRECT, next: 0 }];
            }
            driver.describe(&descriptors);
            driver.offer(0);
            driver.ring();
            let start = sector as usize * 512;
            let fits = start + len <= model.len();
            let expected = match (fits, write) {
                (true, true) => {
                    model[start..start + len].copy_from_slice(&out[16..]);
                    vec![OK]
                }
                (true, false) => [&model[start..start + len], &[OK]].concat(),
                (false, _) => {
                    let mut untouched = vec![0xee; in_len];
                    untouched[in_len - 1] = IO_ERROR;
                    untouched
                }
            };
            prop_assert_eq!(driver.peek(in_at, in_len), expected);
            // Failed reads write the status alone, which is not at the beginning
            // unless there is no data.
            let written = if fits || in_len == 1 { in_len } else { 0 };
            prop_assert_eq!(driver.given_back(), [(0, written as u32)]);
            prop_assert_eq!(&*disk.content.lock().unwrap(), &model);
        }
    }
}
