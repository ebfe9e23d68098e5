//! Every problem by the smallest change to a sound state that causes it and
//! nothing else.

use std::collections::BTreeSet;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::{Gravity, Problem, problems};
use crate::x86::bits::{cr0, cr4, efer, rflags};
use crate::x86::{Mode, Register, RegisterFile, Segment, TableRegister};

fn reset() -> RegisterFile {
    RegisterFile::reset(true)
}

/// 32-bit protected mode, flat, without paging.
fn protected() -> RegisterFile {
    let data = Segment { selector: 0x10, attributes: 0xc093, limit: u32::MAX, base: 0 };
    RegisterFile {
        cr0: cr0::PE | cr0::ET,
        rip: 0x10_0000,
        cs: Segment { selector: 8, attributes: 0xc09b, ..data },
        ds: data,
        es: data,
        ss: data,
        fs: data,
        gs: data,
        gdtr: TableRegister { base: 0x1000, limit: 0x1f },
        ..reset()
    }
}

/// 64-bit mode.
fn long() -> RegisterFile {
    let mut r = protected();
    r.cr0 |= cr0::PG | cr0::WP;
    r.cr4 = cr4::PAE;
    r.cr3 = 0x2000;
    r.efer = efer::LME | efer::LMA | efer::NXE;
    r.cs.attributes = 0xa09b;
    r.rip = 0xffff_8000_0000_0000;
    r
}

/// Virtual-8086 mode: not a mode to start in, but possible.
fn virtual_8086() -> RegisterFile {
    let segment = Segment { selector: 0x100, attributes: 0xf3, limit: 0xffff, base: 0x1000 };
    RegisterFile {
        rflags: rflags::VM | rflags::FIXED,
        rip: 0,
        cs: segment,
        ds: segment,
        es: segment,
        ss: segment,
        fs: segment,
        gs: segment,
        ..protected()
    }
}

fn found(registers: &RegisterFile) -> Vec<Problem> {
    let mut found = Vec::new();
    problems(registers, &mut |problem| found.push(problem));
    found
}

#[test]
fn sound_states_have_no_problems() {
    let mut compatibility = long();
    compatibility.cs.attributes = 0xc09b;
    compatibility.rip = 0x1000;
    let mut null_selectors = long();
    for segment in [&mut null_selectors.ds, &mut null_selectors.es, &mut null_selectors.ss] {
        *segment = Segment::default();
    }
    let mut five_levels = long();
    five_levels.cr4 |= cr4::LA57;
    five_levels.rip = 0xff00_0000_0000_0000;
    let states = [
        RegisterFile::reset(true),
        RegisterFile::reset(false),
        protected(),
        long(),
        compatibility,
        null_selectors,
        five_levels,
    ];
    for registers in &states {
        assert_eq!(found(registers), [], "{}", Mode::because(registers));
    }
}

type Case = (fn() -> RegisterFile, fn(&mut RegisterFile), &'static str, Register);

const CASES: &[Case] = &[
    (long, |r| r.cr0 |= 1 << 32, "reserved-bits", Register::Cr0),
    (long, |r| r.cr3 |= 1 << 52, "reserved-bits", Register::Cr3),
    (long, |r| r.cr4 |= 1 << 15, "reserved-bits", Register::Cr4),
    (long, |r| r.cr8 = 0x10, "reserved-bits", Register::Cr8),
    (long, |r| r.efer |= 1 << 9, "reserved-bits", Register::Efer),
    (long, |r| r.rflags |= 1 << 3, "reserved-bits", Register::Rflags),
    (long, |r| r.rflags |= 1 << 22, "reserved-bits", Register::Rflags),
    (long, |r| r.xcr0 |= 1 << 8, "reserved-bits", Register::Xcr0),
    (long, |r| r.dr6 |= 1 << 32, "reserved-bits", Register::Dr6),
    (long, |r| r.dr7 |= 1 << 63, "reserved-bits", Register::Dr7),
    (long, |r| r.mxcsr |= 1 << 16, "reserved-bits", Register::Mxcsr),
    (long, |r| r.apic_base |= 1 << 9, "reserved-bits", Register::ApicBase),
    (long, |r| r.cr0 |= 1 << 6, "ignored-cr0-bits", Register::Cr0),
    (long, |r| r.efer |= efer::SVME, "amd-efer-bits", Register::Efer),
    (reset, |r| r.cr0 |= cr0::PG, "paging-without-protection", Register::Cr0),
    (reset, |r| r.cr0 = cr0::NW, "not-write-through-with-caching", Register::Cr0),
    (long, |r| r.efer &= !efer::LMA, "lma-mismatch", Register::Efer),
    (protected, |r| r.efer = efer::LMA, "lma-mismatch", Register::Efer),
    (protected, |r| r.efer = efer::LMA | efer::LME, "lma-mismatch", Register::Efer),
    (long, |r| r.cr4 = 0, "long-mode-without-pae", Register::Cr4),
    (protected, |r| r.cr4 = cr4::PCIDE, "pcide-outside-long-mode", Register::Cr4),
    (protected, |r| r.cr4 = cr4::CET, "cet-without-write-protect", Register::Cr4),
    (long, |r| r.rflags = 0, "rflags-zero", Register::Rflags),
    (long, |r| r.rflags = rflags::IF, "rflags-fixed-bit-clear", Register::Rflags),
    (virtual_8086, |_| (), "virtual-8086", Register::Rflags),
    (long, |r| r.rflags |= rflags::VM, "virtual-8086-impossible", Register::Rflags),
    (reset, |r| r.rflags |= rflags::VM, "virtual-8086-impossible", Register::Rflags),
    (virtual_8086, |r| r.fs.base = 0, "virtual-8086-segment", Register::Fs),
    (virtual_8086, |r| r.cs.limit = 0xfffff, "virtual-8086-segment", Register::Cs),
    (virtual_8086, |r| r.ss.attributes = 0x93, "virtual-8086-segment", Register::Ss),
    (long, |r| r.xcr0 = 0, "xcr0-without-x87", Register::Xcr0),
    (long, |r| r.xcr0 = 0b101, "xcr0-incomplete", Register::Xcr0),
    (long, |r| r.xcr0 = 0b0110_0111, "xcr0-incomplete", Register::Xcr0),
    (long, |r| r.xcr0 = 0b1110_0011, "xcr0-incomplete", Register::Xcr0),
    (long, |r| r.xcr0 = 0b1001, "xcr0-incomplete", Register::Xcr0),
    (long, |r| r.xcr0 = 1 | 1 << 17, "xcr0-incomplete", Register::Xcr0),
    (long, |r| r.dr6 = 0, "fixed-debug-bits", Register::Dr6),
    (long, |r| r.dr7 = 0, "fixed-debug-bits", Register::Dr7),
    (long, |r| r.pat = 2, "pat-type", Register::Pat),
    (long, |r| r.pat = 8 << 56, "pat-type", Register::Pat),
    (long, |r| r.apic_base = 0xfee0_0400, "x2apic-disabled", Register::ApicBase),
    (long, |r| r.rip = 1 << 47, "not-canonical", Register::Rip),
    (long, |r| r.gdtr.base = 1 << 47, "not-canonical", Register::Gdtr),
    (protected, |r| r.idtr.base = 1 << 63, "not-canonical", Register::Idtr),
    (long, |r| r.fs.base = 1 << 47, "not-canonical", Register::Fs),
    (long, |r| r.gs.base = 0xffff << 48, "not-canonical", Register::Gs),
    (long, |r| r.tr.base = 1 << 47, "not-canonical", Register::Tr),
    (long, |r| r.ldtr.base = 1 << 47, "not-canonical", Register::Ldtr),
    (protected, paged_above_4g, "cr3-above-32-bits", Register::Cr3),
    (protected, |r| r.rip = 1 << 32, "rip-above-32-bits", Register::Rip),
    (long, |r| r.cs.attributes = 0xc09b, "rip-above-32-bits", Register::Rip),
    (reset, |r| r.rip = 0x1_0000, "rip-beyond-limit", Register::Rip),
    (long, |r| r.cs.attributes &= !0x80, "code-not-present", Register::Cs),
    (long, |r| r.cs.attributes = 0xa08b, "code-wrong-type", Register::Cs),
    (protected, |r| r.cs.attributes = 0xc091, "code-wrong-type", Register::Cs),
    (protected, |r| r.cs.attributes = 0xc093, "code-is-data", Register::Cs),
    (protected, |r| r.cs.attributes |= 1 << 13, "code-long-outside-long-mode", Register::Cs),
    (long, |r| r.cs.attributes |= 1 << 14, "code-long-and-big", Register::Cs),
    (long, |r| r.cs.attributes |= 3 << 5, "code-privilege", Register::Cs),
    (protected, |r| r.cs.attributes = 0xc0ff, "code-privilege", Register::Cs),
    (protected, |r| r.ss.attributes = 0xc091, "stack-not-writable", Register::Ss),
    (protected, |r| r.ss.attributes = 0xc09b, "stack-not-writable", Register::Ss),
    (reset, stack_of_level_3, "stack-privilege", Register::Ss),
    (long, |r| r.cs.selector |= 3, "stack-code-rpl", Register::Ss),
    (long, |r| (r.cs.selector, r.ss.selector) = (0xb, 0x13), "stack-rpl", Register::Ss),
    (long, |r| r.ds.selector |= 3, "data-privilege", Register::Ds),
    (long, |r| r.es.attributes = 0xc083, "system-segment", Register::Es),
    (long, |r| r.gs.attributes = 0xc099, "not-readable", Register::Gs),
    (long, |r| r.ds.attributes = 0xc092, "not-accessed", Register::Ds),
    (long, |r| r.ss.attributes = 0xc092, "not-accessed", Register::Ss),
    (long, |r| r.cs.attributes = 0xa09a, "not-accessed", Register::Cs),
    (long, |r| r.ds.attributes = 0xa093, "long-data-segment", Register::Ds),
    (long, |r| r.cs.attributes |= 0x100, "reserved-attributes", Register::Cs),
    (long, |r| r.tr.attributes |= 0x800, "reserved-attributes", Register::Tr),
    (protected, |r| r.ds.limit = 0x1000_0000, "limit-granularity", Register::Ds),
    (protected, |r| r.es.attributes = 0x4093, "limit-granularity", Register::Es),
    (long, |r| r.ldtr.limit = 0x10_0000, "limit-granularity", Register::Ldtr),
    (long, |r| r.ss.base = 1 << 32, "base-above-32-bits", Register::Ss),
    (long, |r| r.cs.base = 1 << 32, "base-above-32-bits", Register::Cs),
    (long, |r| r.tr.attributes = 0x89, "task-register", Register::Tr),
    (long, |r| r.tr.attributes = 0x83, "task-register", Register::Tr),
    (reset, |r| r.tr.attributes = 0, "task-register", Register::Tr),
    (long, |r| r.ldtr.attributes = 0x8b, "local-table", Register::Ldtr),
    (long, |r| r.tr.selector = 4, "local-selector", Register::Tr),
    (long, |r| r.ldtr.selector = 0xc, "local-selector", Register::Ldtr),
    (reset, |r| r.ds.base = 0x1000, "real-mode-base", Register::Ds),
    (reset, |r| r.cs.base = 0xf000, "real-mode-base", Register::Cs),
    (long, |r| r.gdtr = TableRegister::default(), "no-gdt", Register::Gdtr),
    (long, |r| r.gdtr.base = 0, "no-gdt", Register::Gdtr),
    (long, |r| r.gs.selector = 0x20, "selector-beyond-gdt", Register::Gs),
    (long, |r| (r.gs.selector, r.gdtr.limit) = (0x18, 0x1e), "selector-beyond-gdt", Register::Gs),
];

fn paged_above_4g(r: &mut RegisterFile) {
    r.cr0 |= cr0::PG;
    r.cr4 |= cr4::PAE;
    r.cr3 = 1 << 32;
}

/// Code keeps the levels equal, so that only real mode's own rule is broken.
fn stack_of_level_3(r: &mut RegisterFile) {
    r.ss.attributes |= 3 << 5;
    r.cs.attributes |= 3 << 5;
}

#[test]
fn each_problem_alone() {
    for (number, &(sound, spoil, id, register)) in CASES.iter().enumerate() {
        let mut registers = sound();
        spoil(&mut registers);
        let found: Vec<_> = found(&registers)
            .into_iter()
            // The state to start from has this one itself.
            .filter(|problem| id == "virtual-8086" || problem.id() != "virtual-8086")
            .collect();
        let [problem] = found[..] else {
            panic!("case {number}, {id} of {register}: {found:#?}");
        };
        assert_eq!((problem.id(), problem.register()), (id, register), "case {number}");
    }
}

#[test]
fn every_problem_has_a_case_a_sentence_and_a_source() {
    let covered: BTreeSet<_> = CASES.iter().map(|(_, _, id, _)| *id).collect();
    let all: BTreeSet<_> = Problem::IDS.iter().copied().collect();
    assert_eq!(covered, all);
    assert_eq!(all.len(), Problem::IDS.len(), "ids are unique");
    for (sound, spoil, ..) in CASES {
        let mut registers = sound();
        spoil(&mut registers);
        for problem in found(&registers) {
            let sentence = problem.to_string();
            assert!(sentence.contains(problem.register().name()), "{sentence}");
            assert!(sentence.chars().any(|c| c.is_ascii_digit()), "{sentence}");
            assert!(!sentence.ends_with('.'), "{sentence}");
            let source = problem.source();
            assert!(source.starts_with("SDM") || source.starts_with("APM"), "{source}");
        }
    }
}

#[test]
fn sentences() {
    let sentence = |spoil: fn(&mut RegisterFile)| {
        let mut registers = long();
        spoil(&mut registers);
        found(&registers).iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        sentence(|r| r.efer &= !efer::LMA),
        "efer is 0x900 and cr0 0x80010011: LMA must be set exactly where LME and PG are"
    );
    assert_eq!(
        sentence(|r| r.xcr0 = 0x63),
        "xcr0 is 0x63: AVX and Hi16_ZMM must be set along with opmask and ZMM_Hi256"
    );
    assert_eq!(
        sentence(|r| r.efer |= efer::SVME | efer::TCE),
        "efer is 0x9d00; Intel processors refuse SVME and TCE, which AMD defines"
    );
}

/// A context of zeroes is what a careless writer leaves: it must not look
/// sound, and must not be more than it is.
#[test]
fn zeroes() {
    let zero = Segment::default();
    let registers = RegisterFile {
        rflags: 0,
        cr0: 0,
        cs: zero,
        ds: zero,
        es: zero,
        ss: zero,
        fs: zero,
        gs: zero,
        ..reset()
    };
    let refused: Vec<_> = found(&registers)
        .into_iter()
        .filter(|problem| problem.gravity() == Gravity::Refused)
        .map(|problem| format!("{problem}"))
        .collect();
    assert_eq!(refused, ["cs has attributes 0x0: it is not present"]);
}
