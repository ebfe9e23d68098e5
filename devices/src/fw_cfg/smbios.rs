//! The SMBIOS tables that firmware hands on: which machine this is (DMTF
//! DSP0134, version 2.8).
//!
//! Without them SeaBIOS makes its own, slowly: over a second where KVM
//! interprets.

/// Handles of the structures.
const SYSTEM: u16 = 0x0100;
const END: u16 = 0x7f00;

/// `etc/smbios/smbios-tables`: what the machine is, and the end.
pub(super) fn tables() -> Vec<u8> {
    const WAKE_UP_BY_POWER_SWITCH: u8 = 6;
    let mut system = Vec::new();
    // Manufacturer, product, version and serial number: strings by number, 0
    // is none. No UUID, which is sixteen zeroes.
    system.extend([1, 2, 0, 0]);
    system.extend([0; 16]);
    // Then neither stock number nor family.
    system.extend([WAKE_UP_BY_POWER_SWITCH, 0, 0]);
    let mut tables = structure(1, SYSTEM, &system, &["igvm-playground", "q35"]);
    tables.extend(structure(127, END, &[], &[]));
    tables
}

/// A structure: type, length, handle, its fields, its strings, two zeroes.
fn structure(typ: u8, handle: u16, fields: &[u8], strings: &[&str]) -> Vec<u8> {
    const HEADER: usize = 4;
    let mut structure = vec![typ, (HEADER + fields.len()) as u8];
    structure.extend(handle.to_le_bytes());
    structure.extend(fields);
    for string in strings {
        structure.extend(string.as_bytes());
        structure.push(0);
    }
    if strings.is_empty() {
        structure.push(0);
    }
    structure.push(0);
    structure
}

/// `etc/smbios/smbios-anchor`: the entry point ("SMBIOS 2.1 (32-bit) Entry
/// Point"). The address is firmware's to fill in, with the sums.
pub(super) fn anchor(tables: &[u8]) -> Vec<u8> {
    const STRUCTURES: u16 = 2;
    const INTERMEDIATE: usize = 0x10;
    let largest: u16 = 0x1b + 16 + 4 + 1;
    let mut anchor = b"_SM_".to_vec();
    // Sum, length, version 2.8, largest structure, revision, its five bytes.
    anchor.extend([0, 0x1f, 2, 8]);
    anchor.extend(largest.to_le_bytes());
    anchor.extend([0; 6]);
    anchor.extend(b"_DMI_\0");
    anchor.extend((tables.len() as u16).to_le_bytes());
    anchor.extend(0_u32.to_le_bytes());
    anchor.extend(STRUCTURES.to_le_bytes());
    anchor.push(0x28);
    anchor[INTERMEDIATE + 5] = sum_to_zero(&anchor[INTERMEDIATE..]);
    anchor[4] = sum_to_zero(&anchor);
    anchor
}

/// The byte that makes the sum of all of them zero.
fn sum_to_zero(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anchor_agrees_with_the_tables() {
        let tables = tables();
        let anchor = anchor(&tables);
        assert_eq!(anchor.len(), 0x1f);
        assert_eq!(sum_to_zero(&anchor), 0);
        assert_eq!(sum_to_zero(&anchor[0x10..]), 0);
        // Walk the structures as a reader does.
        let (mut at, mut largest, mut count) = (0, 0, 0);
        while at < tables.len() {
            let formatted = usize::from(tables[at + 1]);
            let strings = tables[at + formatted..].windows(2).position(|two| two == [0, 0]);
            let len = formatted + strings.expect("the strings end") + 2;
            (at, largest, count) = (at + len, largest.max(len), count + 1);
        }
        assert_eq!(at, tables.len());
        let word = |at: usize| usize::from(u16::from_le_bytes([anchor[at], anchor[at + 1]]));
        assert_eq!((word(8), word(0x16), word(0x1c)), (largest, tables.len(), count));
    }
}
