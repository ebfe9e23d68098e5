//! CPUID: what the host's KVM supports, with each processor's place in the
//! machine: one package, one core per processor, one thread per core.

use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm};

/// Room for more leaves than any processor has.
const MAX_ENTRIES: usize = 256;

/// KVM_GET_SUPPORTED_CPUID, and the APIC timer's TSC-deadline mode, which that
/// call leaves to KVM_CHECK_EXTENSION.
///
/// Without VMX and SVM: a processor that is in VMX operation cannot be reset,
/// since KVM then refuses a CR4 without VMXE; and a guest's own guests would be
/// state of KVM's that nothing here restores.
pub(super) fn supported(kvm: &Kvm) -> Result<CpuId, kvm_ioctls::Error> {
    const TSC_DEADLINE: u32 = 1 << 24;
    let mut cpuid = kvm.get_supported_cpuid(MAX_ENTRIES)?;
    let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    for entry in cpuid.as_mut_slice() {
        if deadline && entry.function == 1 {
            entry.ecx |= TSC_DEADLINE;
        }
        forbid_guests(entry);
    }
    Ok(cpuid)
}

/// Takes VMX (leaf 1) and SVM (leaf 0x8000_0001, with its details in
/// 0x8000_000a) out of a leaf.
fn forbid_guests(entry: &mut kvm_cpuid_entry2) {
    const VMX: u32 = 1 << 5;
    const SVM: u32 = 1 << 2;
    match entry.function {
        1 => entry.ecx &= !VMX,
        0x8000_0001 => entry.ecx &= !SVM,
        0x8000_000a => (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0),
        _ => {}
    }
}

/// The leaves of processor `id` of `count`; its APIC id is `id`.
pub(super) fn for_processor(supported: &CpuId, id: u32, count: u32) -> Option<CpuId> {
    let has = |leaf| supported.as_slice().iter().any(|entry| entry.function == leaf);
    let mut entries: Vec<_> = supported
        .as_slice()
        .iter()
        .filter(|entry| !matches!(entry.function, TOPOLOGY | TOPOLOGY_V2))
        .map(|entry| placed(*entry, id, count))
        .collect();
    for leaf in [TOPOLOGY, TOPOLOGY_V2].into_iter().filter(|leaf| has(*leaf)) {
        entries.extend(topology(leaf, id, count));
    }
    CpuId::from_entries(&entries).ok()
}

/// Extended topology, and its second version.
const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;

/// Bits of the APIC id that tell the cores of the package apart.
const fn core_bits(count: u32) -> u32 {
    u32::BITS - count.saturating_sub(1).leading_zeros()
}

fn placed(mut entry: kvm_cpuid_entry2, id: u32, count: u32) -> kvm_cpuid_entry2 {
    const HTT: u32 = 1 << 28;
    let others = count.saturating_sub(1);
    match entry.function {
        // Initial APIC id, number of APIC ids in the package.
        1 => {
            entry.ebx = entry.ebx & 0xffff | id << 24 | count.min(255) << 16;
            entry.edx = entry.edx & !HTT | if count > 1 { HTT } else { 0 };
        }
        // Caches: the third level is everybody's, the others are one core's.
        4 | 0x8000_001d if entry.eax & 0x1f != 0 => {
            let level = entry.eax >> 5 & 7;
            let sharing = if level >= 3 { others.min(0xfff) } else { 0 };
            entry.eax = entry.eax & 0x3fff | sharing << 14;
            if entry.function == 4 {
                entry.eax |= others.min(0x3f) << 26;
            }
        }
        // AMD: number of cores, bits of the APIC id that count them.
        0x8000_0008 => {
            entry.ecx = entry.ecx & !0xf0ff | others.min(0xff) | core_bits(count).min(0xf) << 12;
        }
        // AMD: APIC id, core id, one thread per core, one node.
        0x8000_001e => {
            entry.eax = id;
            entry.ebx = id & 0xff;
            entry.ecx = 0;
        }
        _ => {}
    }
    entry
}

/// Levels: one thread per core, `count` cores, the end.
fn topology(function: u32, id: u32, count: u32) -> [kvm_cpuid_entry2; 3] {
    let level = |index: u32, shift, processors, typ: u32| kvm_cpuid_entry2 {
        function,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax: shift,
        ebx: processors,
        ecx: typ << 8 | index,
        edx: id,
        ..Default::default()
    };
    [level(0, 0, 1, 1), level(1, core_bits(count), count, 2), level(2, 0, 0, 0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_processor_offers_to_run_guests_of_its_own() {
        let leaf = |function| {
            let mut entry = kvm_cpuid_entry2 {
                function,
                eax: u32::MAX,
                ebx: u32::MAX,
                ecx: u32::MAX,
                edx: u32::MAX,
                ..Default::default()
            };
            forbid_guests(&mut entry);
            [entry.eax, entry.ebx, entry.ecx, entry.edx]
        };
        let all = u32::MAX;
        assert_eq!(leaf(1), [all, all, 0xffff_ffdf, all]);
        assert_eq!(leaf(0x8000_0001), [all, all, 0xffff_fffb, all]);
        assert_eq!(leaf(0x8000_000a), [0; 4]);
        assert_eq!(leaf(7), [all; 4]);
    }

    #[test]
    fn core_bits_hold_the_highest_apic_id() {
        assert_eq!([1, 2, 3, 4, 5, 255].map(core_bits), [0, 1, 2, 2, 3, 8]);
    }
}
