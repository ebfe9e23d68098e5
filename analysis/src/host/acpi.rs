//! The ACPI tables that IGVM parameters can ask for (ACPI specification 6.5,
//! section 5.2). One NUMA node, one package, no threads: what this host is.

use acpi_tables::Aml;
use acpi_tables::pptt::{PPTT, ProcessorNode};
use acpi_tables::sdt::Sdt;
use acpi_tables::slit::SLIT;
use igvm_core::span::Span;

const OEM_ID: [u8; 6] = *b"IGVMPG";
const OEM_TABLE_ID: [u8; 8] = *b"PLAYGRND";
const OEM_REVISION: u32 = 1;

/// Bytes of the header that every system description table has.
const HEADER_LEN: u32 = 36;

const LOCAL_APIC_ADDRESS: u32 = 0xfee0_0000;
const IO_APIC_ADDRESS: u32 = 0xfec0_0000;

/// APIC ids from here on need the x2APIC structures.
const X2APIC_FROM: u32 = 255;

/// MADT: a local APIC for each processor, one I/O APIC, and the timer's
/// interrupt on its pin 2.
pub(super) fn madt(processors: u32) -> Vec<u8> {
    const PCAT_COMPAT: u32 = 1;
    const ENABLED: u32 = 1;
    let mut body = Vec::new();
    body.extend(LOCAL_APIC_ADDRESS.to_le_bytes());
    body.extend(PCAT_COMPAT.to_le_bytes());
    for id in 0..processors {
        if id < X2APIC_FROM {
            // Processor Local APIC: type 0, 8 bytes, uid, apic id, flags.
            body.extend([0, 8, id as u8, id as u8]);
            body.extend(ENABLED.to_le_bytes());
        } else {
            // Processor Local x2APIC: type 9, 16 bytes, reserved, id, flags, uid.
            body.extend([9, 16, 0, 0]);
            body.extend(id.to_le_bytes());
            body.extend(ENABLED.to_le_bytes());
            body.extend(id.to_le_bytes());
        }
    }
    // I/O APIC: type 1, 12 bytes, id, reserved, address, first interrupt.
    body.extend([1, 12, 0, 0]);
    body.extend(IO_APIC_ADDRESS.to_le_bytes());
    body.extend(0u32.to_le_bytes());
    // Interrupt Source Override: type 2, 10 bytes, ISA, IRQ 0, interrupt 2,
    // polarity and trigger as the bus has them.
    body.extend([2, 10, 0, 0]);
    body.extend(2u32.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    table(*b"APIC", 5, &body)
}

/// SRAT: every processor and all RAM in proximity domain 0.
pub(super) fn srat(processors: u32, ram: &[Span]) -> Vec<u8> {
    const ENABLED: u32 = 1;
    let mut body = Vec::new();
    body.extend(1u32.to_le_bytes());
    body.extend([0; 8]);
    for id in 0..processors {
        if id < X2APIC_FROM {
            // Processor Local APIC Affinity: type 0, 16 bytes, domain 7:0, apic
            // id, flags, SAPIC EID, domain 31:8, clock domain.
            body.extend([0, 16, 0, id as u8]);
            body.extend(ENABLED.to_le_bytes());
            body.extend([0; 8]);
        } else {
            // Processor Local x2APIC Affinity: type 2, 24 bytes, reserved,
            // domain, id, flags, clock domain, reserved.
            body.extend([2, 24, 0, 0]);
            body.extend(0u32.to_le_bytes());
            body.extend(id.to_le_bytes());
            body.extend(ENABLED.to_le_bytes());
            body.extend([0; 8]);
        }
    }
    for ram in ram {
        // Memory Affinity: type 1, 40 bytes, domain, reserved, base, length,
        // reserved, flags, reserved.
        body.extend([1, 40]);
        body.extend(0u32.to_le_bytes());
        body.extend([0; 2]);
        body.extend(ram.start.to_le_bytes());
        body.extend(ram.len.to_le_bytes());
        body.extend([0; 4]);
        body.extend(ENABLED.to_le_bytes());
        body.extend([0; 8]);
    }
    table(*b"SRAT", 3, &body)
}

/// SLIT: one node, at distance 10 of itself.
pub(super) fn slit() -> Vec<u8> {
    bytes(&SLIT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION, 1))
}

/// PPTT: one package with a core for each processor.
pub(super) fn pptt(processors: u32) -> Vec<u8> {
    let mut pptt = PPTT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    let package = pptt.add_processor(ProcessorNode::new(None, 0).physical().identical());
    for id in 0..processors {
        pptt.add_processor(ProcessorNode::new(Some(&package), id).valid().leaf());
    }
    bytes(&pptt)
}

fn table(signature: [u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut table = Sdt::new(signature, HEADER_LEN, revision, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.append_slice(body);
    table.as_slice().to_vec()
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}
