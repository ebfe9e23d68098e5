//! The roots of the ACPI tables (ACPI specification 6.5, 5.2.5 and 5.2.8).

use alloc::vec::Vec;

use super::layout::{MADT_GPA, RSDP_GPA, XSDT_GPA};

const OEM_ID: [u8; 6] = *b"IGVMPG";
const OEM_TABLE_ID: [u8; 8] = *b"PLAYGRND";
/// Where a table's checksum is.
const CHECKSUM: usize = 9;
const XSDT_HEADER_LEN: usize = 36;
const RSDP_V1_LEN: usize = 20;
const RSDP_LEN: u32 = 36;
const RSDP_V1_CHECKSUM: usize = 8;
const RSDP_CHECKSUM: usize = 32;

/// The RSDP, and the XSDT behind it, which names `tables` and the MADT.
pub(super) fn roots(tables: &[u64]) -> Vec<u8> {
    let mut bytes = rsdp();
    bytes.resize(const { (XSDT_GPA - RSDP_GPA) as usize }, 0);
    bytes.extend(xsdt(tables));
    bytes
}

fn rsdp() -> Vec<u8> {
    let mut rsdp = Vec::from(*b"RSD PTR ");
    rsdp.push(0);
    rsdp.extend(OEM_ID);
    // Revision 2, and no RSDT.
    rsdp.push(2);
    rsdp.extend([0; 4]);
    rsdp.extend(RSDP_LEN.to_le_bytes());
    rsdp.extend(XSDT_GPA.to_le_bytes());
    rsdp.extend([0; 4]);
    let first = rsdp.get(..RSDP_V1_LEN).map_or(0, checksum);
    set(&mut rsdp, RSDP_V1_CHECKSUM, first);
    let all = checksum(&rsdp);
    set(&mut rsdp, RSDP_CHECKSUM, all);
    rsdp
}

fn xsdt(tables: &[u64]) -> Vec<u8> {
    let entries = tables.len().saturating_add(1);
    let len = entries.saturating_mul(size_of::<u64>()).saturating_add(XSDT_HEADER_LEN);
    let mut xsdt = Vec::from(*b"XSDT");
    xsdt.extend((len as u32).to_le_bytes());
    // Revision and checksum.
    xsdt.extend([1, 0]);
    xsdt.extend(OEM_ID);
    xsdt.extend(OEM_TABLE_ID);
    xsdt.extend(1_u32.to_le_bytes());
    // Creator and its revision.
    xsdt.extend(*b"IGVM");
    xsdt.extend(1_u32.to_le_bytes());
    for table in tables.iter().chain([&MADT_GPA]) {
        xsdt.extend(table.to_le_bytes());
    }
    let sum = checksum(&xsdt);
    set(&mut xsdt, CHECKSUM, sum);
    xsdt
}

/// The byte that makes the sum of all zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte))
}

fn set(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}
