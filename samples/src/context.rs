//! The same processor state in the formats of the other platforms.

use igvm_core::defs::{IgvmNativeVpContextX64, VbsVpContextRegister};
use igvm_core::x86::{RegisterFile, Segment, TableRegister};

/// What a native context starts a processor with.
pub(crate) fn registers_of(context: &IgvmNativeVpContextX64) -> RegisterFile {
    let data = Segment {
        selector: context.data_selector,
        attributes: context.data_attributes,
        limit: context.data_limit,
        base: context.data_base.into(),
    };
    RegisterFile {
        rsp: context.rsp,
        rip: context.rip,
        rflags: context.rflags,
        cr0: context.cr0,
        cr3: context.cr3,
        cr4: context.cr4,
        efer: context.efer,
        cs: Segment {
            selector: context.code_selector,
            attributes: context.code_attributes,
            limit: context.code_limit,
            base: context.code_base.into(),
        },
        ds: data,
        es: data,
        ss: data,
        fs: data,
        gs: Segment { base: context.gs_base, ..data },
        gdtr: TableRegister { base: context.gdtr_base, limit: context.gdtr_limit },
        idtr: TableRegister { base: context.idtr_base, limit: context.idtr_limit },
        ..RegisterFile::reset(true)
    }
}

/// EFER.SVME, which the processor demands in every save area.
const EFER_SVME: u64 = 1 << 12;

/// SEV_FEATURES bit 0: an SNP guest.
pub(crate) const SEV_FEATURE_SNP: u64 = 1;

/// An SEV-ES save area (APM volume 2, appendix B, "VMSA Layout, Save Area for
/// SEV-ES"). The general registers besides RSP and RDX are zero in the samples.
pub(crate) fn vmsa(registers: &RegisterFile, sev_features: u64) -> Vec<u8> {
    let mut page = vec![0; 0x1000];
    let table = |table: TableRegister| Segment {
        selector: 0,
        attributes: 0,
        limit: table.limit.into(),
        base: table.base,
    };
    let segments = [
        (0x000, registers.es),
        (0x010, registers.cs),
        (0x020, registers.ss),
        (0x030, registers.ds),
        (0x040, registers.fs),
        (0x050, registers.gs),
        (0x060, table(registers.gdtr)),
        (0x070, registers.ldtr),
        (0x080, table(registers.idtr)),
        (0x090, registers.tr),
    ];
    for (at, segment) in segments {
        put(&mut page, at, &segment.selector.to_le_bytes());
        // Bits 15:12 of the attributes move down to 11:8.
        let packed = segment.attributes & 0xff | segment.attributes >> 12 << 8;
        put(&mut page, at + 2, &packed.to_le_bytes());
        put(&mut page, at + 4, &segment.limit.to_le_bytes());
        put(&mut page, at + 8, &segment.base.to_le_bytes());
    }
    let quads = [
        (0x0d0, registers.efer | EFER_SVME),
        (0x148, registers.cr4),
        (0x150, registers.cr3),
        (0x158, registers.cr0),
        (0x160, registers.dr7),
        (0x168, registers.dr6),
        (0x170, registers.rflags),
        (0x178, registers.rip),
        (0x1d8, registers.rsp),
        (0x268, registers.pat),
        (0x310, registers.rdx),
        (0x3b0, sev_features),
        (0x3e8, registers.xcr0),
    ];
    for (at, value) in quads {
        put(&mut page, at, &value.to_le_bytes());
    }
    put(&mut page, 0x408, &registers.mxcsr.to_le_bytes());
    put(&mut page, 0x410, &registers.fcw.to_le_bytes());
    page
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The registers as a VBS context lists them, for VTL 0; names from the
/// Hypervisor Top Level Functional Specification, "Virtual Processor Register
/// Names".
pub(crate) fn vbs_registers(registers: &RegisterFile) -> Vec<VbsVpContextRegister> {
    let segments = [
        (0x0006_0000, registers.es),
        (0x0006_0001, registers.cs),
        (0x0006_0002, registers.ss),
        (0x0006_0003, registers.ds),
        (0x0006_0004, registers.fs),
        (0x0006_0005, registers.gs),
        (0x0006_0007, registers.tr),
    ]
    .map(|(name, segment)| {
        let mut value = [0; 16];
        value[0..8].copy_from_slice(&segment.base.to_le_bytes());
        value[8..12].copy_from_slice(&segment.limit.to_le_bytes());
        value[12..14].copy_from_slice(&segment.selector.to_le_bytes());
        value[14..16].copy_from_slice(&segment.attributes.to_le_bytes());
        (name, value)
    });
    let tables =
        [(0x0007_0000, registers.idtr), (0x0007_0001, registers.gdtr)].map(|(name, table)| {
            let mut value = [0; 16];
            value[6..8].copy_from_slice(&table.limit.to_le_bytes());
            value[8..16].copy_from_slice(&table.base.to_le_bytes());
            (name, value)
        });
    let quads = [
        (0x0002_0004, registers.rsp),
        (0x0002_0010, registers.rip),
        (0x0002_0011, registers.rflags),
        (0x0004_0000, registers.cr0),
        (0x0004_0002, registers.cr3),
        (0x0004_0003, registers.cr4),
        (0x0008_0001, registers.efer),
        (0x0008_0004, registers.pat),
    ]
    .map(|(name, quad)| (name, u128::from(quad).to_le_bytes()));

    let all = segments.into_iter().chain(tables).chain(quads);
    all.map(|(name, register_value)| VbsVpContextRegister {
        vtl: 0,
        register_name: u32::into(name),
        mbz: [0; 11],
        register_value,
    })
    .collect()
}
