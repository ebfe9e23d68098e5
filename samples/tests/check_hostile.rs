//! Files made to hurt: check ends soon and never panics.

mod common;

use std::time::{Duration, Instant};

use igvm_core::check::Severity;
use igvm_core::defs::{
    IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_PARAMETER_INSERT, IgvmPlatformType as Platform,
};
use igvm_core::file::IgvmFile;
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Context, Data, FileBuilder, HeaderSpec, Version};
use proptest::prelude::*;

use common::{findings, host, lines};

/// As many headers of one kind as a file of 4 to 8 MiB has.
const MANY: u32 = 1 << 18;

/// Generous: it takes a fraction of a second, a quadratic check takes hours.
const SOON: Duration = Duration::from_secs(30);

/// The header of this number.
type Nth = dyn Fn(u32) -> HeaderSpec<'static>;

fn many(each: impl Fn(u32) -> HeaderSpec<'static>) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.allow_any_order();
    for (bit, platform) in
        [Platform::NATIVE, Platform::SEV_SNP, Platform::TDX, Platform::SEV].into_iter().enumerate()
    {
        file.push(HeaderSpec::platform(platform, 1 << bit)).unwrap();
    }
    let area = HeaderSpec::ParameterArea { index: 0, number_of_bytes: 0x1000, initial: Data::Zero };
    file.push(area).unwrap();
    for nth in 0..MANY {
        file.push(each(nth)).unwrap();
    }
    file.finish()
}

#[test]
fn many_headers_of_one_kind_take_linear_time() {
    let context =
        |mask| HeaderSpec::VpContext { gpa: 0, mask, vp_index: 0, context: Context::At(0x20) };
    let insert = HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa: 0x1000,
        compatibility_mask: 1,
        parameter_area_index: 0,
    });
    let region = HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
        compatibility_mask: u32::MAX,
        vp_index: 7,
        vtl: 9,
        reserved: 1,
        gpa: 1,
        size: 1,
        used_size: 2,
    });
    let area = HeaderSpec::ParameterArea { index: 0, number_of_bytes: 0x1000, initial: Data::Zero };
    let kinds: [(&str, Box<Nth>); 9] = [
        ("platforms", Box::new(|_| HeaderSpec::platform(Platform::NATIVE, 1))),
        ("one page", Box::new(|_| HeaderSpec::zero_page(0, u32::MAX))),
        ("bad pages", Box::new(|nth| HeaderSpec::zero_page(nth.into(), nth))),
        ("areas", Box::new(move |_| area)),
        ("inserts", Box::new(move |_| insert)),
        ("parameters", Box::new(|_| HeaderSpec::parameter(ParameterKind::MemoryMap, 0, 8))),
        ("contexts", Box::new(context)),
        ("regions", Box::new(move |_| region)),
        ("unknown", Box::new(|_| HeaderSpec::Raw { typ: 0x4242, value: b"?" })),
    ];
    for (name, each) in kinds {
        let file = many(each);
        let start = Instant::now();
        let found = findings(&file, &host());
        assert!(start.elapsed() < SOON, "{name}: {:?}", start.elapsed());
        assert!(found.iter().any(|f| f.rule.severity != Severity::Note), "{name}");
    }
}

#[test]
fn a_file_cut_short_anywhere_has_an_error() {
    let file = (igvm_samples::by_name("parameters").unwrap().build)();
    for len in 0..file.len() {
        let cut = &file[..len];
        if IgvmFile::parse(cut).is_ok() {
            let found = findings(cut, &host());
            assert!(found.iter().any(|f| f.rule.severity == Severity::Error), "{len}");
        }
    }
}

proptest! {
    /// Any bytes anywhere in any sample: a verdict, and sentences for it.
    #[test]
    fn any_bytes_get_a_verdict(
        nth in 0..igvm_samples::all().len(),
        changes in prop::collection::vec((0_usize..0x800, any::<[u8; 4]>()), 1..12),
    ) {
        let sample = &igvm_samples::all()[nth];
        prop_assume!(sample.committed);
        let mut file = (sample.build)();
        for (at, bytes) in changes {
            // Leave magic and version, or nothing can be read.
            let at = 8 + at % (file.len() - 12);
            file[at..at + 4].copy_from_slice(&bytes);
        }
        let found = findings(&file, &host());
        prop_assert!(!lines(&found).is_empty());
    }
}
