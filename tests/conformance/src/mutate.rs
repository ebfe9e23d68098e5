//! Files, damaged: where a reader looks, and with the CRC right or wrong.

use igvm_core::file::IgvmFile;

use crate::random::Random;

/// Damages a file in one to four places, and repairs the CRC half the time.
pub fn damage(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=random.below(4) {
        one(&mut bytes, random);
    }
    if random.one_in(2) {
        repair_checksum(&mut bytes);
    }
    bytes
}

fn one(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let head = head_len(bytes).max(1) as u64;
    let at = random.below(head) as usize;
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.u64() as u8,
        // A field of four or eight bytes, set to a number that overflows.
        2..=4 => {
            let len = random.pick(&[4usize, 8]);
            let at = at / 4 * 4;
            let value = random.edge().to_le_bytes();
            if let Some(field) = bytes.get_mut(at..at + len) {
                field.copy_from_slice(&value[..len]);
            }
        }
        5 => {
            let end = random.below(bytes.len() as u64 + 1) as usize;
            bytes.truncate(end);
            set_total_size(bytes);
        }
        6 => {
            let extra = random.below(64) as usize;
            bytes.resize(bytes.len() + extra, 0);
            set_total_size(bytes);
        }
        // A piece of the headers twice, over others.
        _ => {
            let len = random.pick(&[8usize, 16, 24, 32]);
            let from = random.below(head) as usize / 8 * 8;
            let to = at / 8 * 8;
            if from + len <= bytes.len() && to + len <= bytes.len() {
                bytes.copy_within(from..from + len, to);
            }
        }
    }
}

/// Bytes of the headers, as far as they are there.
pub fn head_len(bytes: &[u8]) -> usize {
    IgvmFile::parse(bytes)
        .map_or(bytes.len(), |file| IgvmFile::head_len(file.fixed(), bytes.len() as u64) as usize)
}

/// Puts the CRC that belongs there, if the file has one.
pub fn repair_checksum(bytes: &mut [u8]) {
    let checksum = IgvmFile::parse(bytes).ok().and_then(|file| file.compute_checksum());
    if let (Some(checksum), Some(field)) = (checksum, bytes.get_mut(20..24)) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Makes `total_file_size` true.
pub fn set_total_size(bytes: &mut [u8]) {
    let len = (bytes.len() as u32).to_le_bytes();
    if let Some(field) = bytes.get_mut(16..20) {
        field.copy_from_slice(&len);
    }
}
