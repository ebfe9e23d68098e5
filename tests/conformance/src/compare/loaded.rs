//! The machines that the two readers' headers make: contexts and pages.

use std::collections::BTreeMap;

use igvm::{IgvmDirectiveHeader as Directive, IgvmFile as Oracle, IgvmPlatformHeader};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile;
use igvm_core::load::{GUEST_PHYSICAL_LIMIT, Host, LoadError, Machine, Processor};
use igvm_core::span::Span;

use super::registers;
use crate::machine::{Room, inspect};

/// Processors that the host of a comparison starts.
const PROCESSORS: u32 = 4;

/// Whether two platforms of a file share a mask bit. The oracle takes the last
/// of them for a context, core the first; a loader knows which one it loads.
pub(super) fn shares_masks(file: &IgvmFile<'_>) -> bool {
    let mut seen = 0;
    file.platforms().any(|platform| {
        let shared = seen & platform.compatibility_mask != 0;
        seen |= platform.compatibility_mask;
        shared
    })
}

/// Loads the file for each of its platforms and compares with the oracle's
/// directives.
pub(super) fn same_machines(ours: &IgvmFile<'_>, bytes: &[u8], theirs: &Oracle) {
    if shares_masks(ours) {
        return;
    }
    let ram = [Span::new(0, 16 << 20)];
    let host = Host { processors: PROCESSORS, ..Host::new(&ram, &[]) };
    let mut room = Room::new(64, 8, PROCESSORS as usize, 0);
    for IgvmPlatformHeader::SupportedPlatform(platform) in theirs.platforms() {
        let machine = match room.load(bytes, platform.platform_type, &host, &mut |_| {}) {
            Ok(machine) => machine,
            Err(LoadError::StorageFull(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        inspect(&machine, &host);
        let mask = platform.compatibility_mask;
        let applies = |directive: &&Directive| {
            directive.compatibility_mask().is_none_or(|own| own & mask != 0)
        };
        let directives: Vec<_> = theirs.directives().iter().filter(applies).collect();
        for processor in machine.processors() {
            same_processor(processor, &directives);
        }
        same_pages(&machine, bytes, &host, &directives);
    }
}

fn same_processor(processor: &Processor, directives: &[&Directive]) {
    use Directive as D;
    let is_of = |vp_index: &u16| u32::from(*vp_index) == processor.vp_index;
    // The last context of a processor counts.
    let expected = directives.iter().rev().find_map(|directive| match directive {
        D::X64NativeVpContext { vp_index, context, .. } if is_of(vp_index) => {
            Some(registers::native(context, processor))
        }
        // A save area beyond guest memory cannot be put there.
        D::SnpVpContext { gpa, vp_index, vmsa, .. }
            if is_of(vp_index) && *gpa < GUEST_PHYSICAL_LIMIT =>
        {
            Some(registers::vmsa(vmsa, processor))
        }
        // Core takes no list longer than there are registers.
        D::X64VbsVpContext { registers, .. }
            if processor.vp_index == 0 && registers.len() <= 256 =>
        {
            Some(registers::vbs(registers, processor))
        }
        _ => None,
    });
    match expected {
        Some(expected) => assert_eq!(processor.registers, expected),
        None => assert_eq!(*processor, Processor::reset(processor.vp_index)),
    }
}

/// Compares the pages that only 4 KiB page data wrote.
fn same_pages(machine: &Machine<'_>, bytes: &[u8], host: &Host<'_>, directives: &[&Directive]) {
    if machine.regions().iter().any(|region| region.is_moved()) {
        return;
    }
    let mut pages: BTreeMap<u64, &[u8]> = BTreeMap::new();
    let mut others: Vec<Span> = Vec::new();
    for directive in directives {
        match directive {
            Directive::PageData { gpa, flags, .. } if flags.is_2mb_page() => {
                others.push(Span::new(*gpa, 2 << 20));
            }
            Directive::PageData { gpa, data, .. } => drop(pages.insert(*gpa, data)),
            Directive::SnpVpContext { gpa, .. } => others.push(Span::new(*gpa, 4096)),
            Directive::ParameterInsert(insert) => {
                let area = machine.areas().get(insert.parameter_area_index);
                others.push(Span::new(insert.gpa, area.map_or(0, |area| area.len)));
            }
            _ => {}
        }
    }
    let memory = machine.memory(bytes, host);
    for (gpa, data) in pages {
        if gpa >= GUEST_PHYSICAL_LIMIT || others.iter().any(|other| other.contains(gpa)) {
            continue;
        }
        let mut found = [0xaa; 4096];
        memory.read(gpa, &mut found).expect("the oracle found the data");
        if data.is_empty() {
            assert_eq!(found, [0; 4096], "{gpa:#x}");
        } else {
            assert_eq!(found, data, "{gpa:#x}");
        }
    }
    let cca = machine.platform() == IgvmPlatformType::CCA;
    assert!(!cca || machine.processors().iter().all(|p| p.context.is_none()));
}
