//! The register map: there and back without a hypervisor, and through a real
//! virtual processor.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::{Bits, flat, host, long, real_mode};
use igvm_core::x86::{Register, RegisterFile, RegisterValue, Segment, TableRegister};
use kvm_runner::guest::BootError;
use kvm_runner::kvm::{Machine, State};
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

fn value(register: Register) -> BoxedStrategy<RegisterValue> {
    match RegisterFile::reset(true).get(register) {
        RegisterValue::Integer(_) => any::<u64>().prop_map(RegisterValue::Integer).boxed(),
        RegisterValue::Segment(_) => (any::<u16>(), any::<u16>(), any::<u32>(), any::<u64>())
            .prop_map(|(selector, attributes, limit, base)| {
                RegisterValue::Segment(Segment { selector, attributes, limit, base })
            })
            .boxed(),
        RegisterValue::Table(_) => (any::<u64>(), any::<u16>())
            .prop_map(|(base, limit)| RegisterValue::Table(TableRegister { base, limit }))
            .boxed(),
    }
}

fn any_register_file() -> impl Strategy<Value = RegisterFile> {
    Register::ALL.into_iter().map(value).collect::<Vec<_>>().prop_map(|values| {
        let mut file = RegisterFile::reset(false);
        for (register, value) in Register::ALL.into_iter().zip(values) {
            file.set(register, value);
        }
        file
    })
}

proptest! {
    /// No two registers share a place in KVM's structures, and none is cut.
    #[test]
    fn any_register_file_goes_there_and_back(file in any_register_file()) {
        let back = RegisterFile::from(&State::from(&file));
        for register in Register::ALL {
            let expected = match (register, file.get(register)) {
                // Always set; a file may say otherwise.
                (Register::Rflags, RegisterValue::Integer(value)) => {
                    RegisterValue::Integer(value | 2)
                }
                // No processor has these bits.
                (_, RegisterValue::Segment(segment)) => RegisterValue::Segment(Segment {
                    attributes: segment.attributes & !Segment::RESERVED_ATTRIBUTES,
                    ..segment
                }),
                (_, value) => value,
            };
            prop_assert_eq!(back.get(register), expected, "{}", register);
        }
    }
}

#[test]
fn attributes_land_in_the_fields_of_their_names() {
    let mut file = RegisterFile::reset(true);
    // Type 0xb, S, DPL 3, P, AVL, L, no D/B, G.
    file.cs.attributes = 0xb0fb;
    let cs = State::from(&file).sregs.cs;
    assert_eq!((cs.type_, cs.s, cs.dpl, cs.present), (0xb, 1, 3, 1));
    assert_eq!((cs.avl, cs.l, cs.db, cs.g, cs.unusable), (1, 1, 0, 1, 0));
    file.ldtr = Segment::default();
    assert_eq!(State::from(&file).sregs.ldt.unusable, 1);
}

#[test]
fn the_xsave_image_has_the_registers_and_their_bits() {
    let file = RegisterFile::reset(true);
    for (with_pkru, components) in [(false, 3), (true, 0x203)] {
        let area = State::from(&file).xsave(with_pkru);
        // FCW at byte 0, abridged FTW at 4, MXCSR at 24, XSTATE_BV at 512.
        let mut expected = [0; 1024];
        (expected[0], expected[1], expected[6]) = (0x40, 0xff, 0x1f80);
        expected[128] = components;
        assert_eq!(area.region, expected);
    }
}

/// What KVM or the processor makes of a register that was asked for, and why.
/// Any other difference fails the test.
fn allowed(register: Register, asked: u64, got: u64) -> Option<&'static str> {
    match register {
        Register::Rflags if got == asked | 2 => Some("bit 1 is fixed at 1"),
        Register::Cr0 if got == asked | 0x10 => Some("ET is fixed at 1"),
        Register::Dr6 if (got ^ asked) & 0xe00f == 0 => Some("the other bits are fixed"),
        Register::Dr7 if (got ^ asked) & 0xffff_2bff == 0 => Some("the other bits are fixed"),
        _ => None,
    }
}

fn compare(asked: &RegisterFile, got: &RegisterFile) {
    for register in Register::ALL {
        let (asked, got) = (asked.get(register), got.get(register));
        let excuse = match (asked, got) {
            _ if asked == got => continue,
            (RegisterValue::Integer(asked), RegisterValue::Integer(got)) => {
                allowed(register, asked, got)
            }
            (RegisterValue::Segment(asked), RegisterValue::Segment(got)) => {
                let accessed = Segment { attributes: asked.attributes | 1, ..asked };
                (accessed == got && asked.code_or_data()).then_some("a loaded segment is accessed")
            }
            _ => None,
        };
        match excuse {
            Some(why) => println!("{register}: {asked:x?} became {got:x?}: {why}"),
            None => panic!("{register}: {asked:x?} became {got:x?}"),
        }
    }
}

/// Every mode that every KVM runs, with a value of its own in every register
/// that takes one.
fn states() -> [(&'static str, RegisterFile); 5] {
    let full = |base: RegisterFile| RegisterFile {
        rax: 0x1111_2222_3333_0001,
        rcx: 2,
        rdx: 3,
        rbx: 4,
        rbp: 6,
        rsi: 7,
        rdi: 8,
        r8: 0xffff_ffff_ffff_ff08,
        r9: 9,
        r10: 10,
        r11: 11,
        r12: 12,
        r13: 13,
        r14: 14,
        r15: 15,
        rflags: 0,
        cr2: 0x1234_5000,
        cr8: 5,
        dr0: 0x1000,
        dr1: 0x2000,
        dr2: 0x3000,
        dr3: 0x4000,
        dr6: 0xffff_0ff1,
        dr7: 0x401,
        mxcsr: 0x1fa0,
        fcw: 0x27f,
        pat: 0x0606_0606_0606_0606,
        gs: Segment { base: 0x55_0000, ..base.gs },
        fs: Segment { base: 0x44_0000, ..base.fs },
        gdtr: TableRegister { base: 0x6000, limit: 0x37 },
        idtr: TableRegister { base: 0x6800, limit: 0x7ff },
        ..base
    };
    let long = long(&[]).registers[0].unwrap();
    let compatibility = RegisterFile { cs: flat().cs, ..long };
    [
        ("reset", RegisterFile::reset(true)),
        ("real mode", RegisterFile { rflags: 0, fcw: 0x37f, ..real_mode() }),
        ("protected mode", full(flat())),
        ("long mode", full(RegisterFile { tr: tss(), ldtr: Segment::default(), ..long })),
        ("compatibility mode", full(compatibility)),
    ]
}

fn tss() -> Segment {
    Segment { selector: 0x28, attributes: 0x8b, limit: 0x67, base: 0x5000 }
}

#[test]
fn a_real_processor_holds_what_it_was_given() {
    for (name, asked) in states() {
        let Some(host) = host() else { return };
        println!("{name}");
        let bits = Bits { registers: vec![Some(asked)], ..long(&[0xf4]) };
        let machine = Machine::new(host, &bits, 1).unwrap_or_else(|error| panic!("{error}"));
        compare(&asked, &machine.processor(0).unwrap().registers().unwrap());
        // And the memory, before the first instruction.
        for (gpa, bytes) in &bits.pieces {
            let mut read = vec![0; bytes.len()];
            machine.memory().read_slice(&mut read, GuestAddress(*gpa)).unwrap();
            assert_eq!(read, *bytes);
        }
    }
}

#[test]
fn every_processor_has_its_own_context() {
    let Some(host) = host() else { return };
    let mut bits = Bits::real_mode(&[0xf4]);
    let mut second = real_mode();
    second.rax = 0x1234;
    second.apic_base = 0xfee0_0800;
    bits.registers.push(Some(second));
    let machine = Machine::new(host, &bits, 3).unwrap();
    compare(&real_mode(), &machine.processor(0).unwrap().registers().unwrap());
    compare(&second, &machine.processor(1).unwrap().registers().unwrap());
    assert!(machine.processor(2).is_some());
    assert!(machine.processor(3).is_none());
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let Some(host) = host() else { return };
    // Long mode is enabled and paging is on, yet not active.
    let mut bits = long(&[0xf4]);
    if let Some(registers) = &mut bits.registers[0] {
        registers.efer = 0x100;
    }
    let error = Machine::new(host, &bits, 1).err();
    assert!(matches!(error, Some(BootError::Refused { .. })), "{error:?}");
    assert_eq!(error.map(|error| error.exit_code()), Some(4));
}

/// 32-bit paging: a KVM that interprets takes it and does not do it.
#[test]
fn a_paging_mode_that_the_host_lacks_is_noticed() {
    let Some(host) = host() else { return };
    let interprets = host.interprets();
    let mut bits = Bits::flat(&[0xf4]);
    if let Some(registers) = &mut bits.registers[0] {
        registers.cr0 = 0x8000_0011;
        registers.cr3 = 0x1000;
    }
    match (interprets, Machine::new(host, &bits, 1)) {
        (Some(true), Err(error @ BootError::Changed { register: Register::Cr0, .. })) => {
            assert!(error.to_string().contains("cannot run this paging mode"), "{error}");
        }
        (Some(false), Ok(_)) => {}
        (interprets, result) => panic!("{interprets:?}: {:?}", result.err()),
    }
}

#[test]
fn memory_that_cannot_be_is_refused_in_a_sentence() {
    use igvm_core::span::Span;
    let cases = [
        (Span::new(0x800, 0x1000), "not made of whole pages"),
        (Span::new(0, 0), "is empty"),
        (Span::new(u64::MAX - 0xfff, 0x2000), "passes the end"),
        (Span::new(0xfeff_0000, 0x1_0000), "KVM needs for itself"),
        (Span::new(1 << 32, 1 << 60), "cannot map"),
    ];
    for (span, sentence) in cases {
        let Some(host) = host() else { return };
        let bits = Bits { memory: vec![span], pieces: vec![], ..Bits::real_mode(&[]) };
        let error = Machine::new(host, &bits, 1).err().unwrap();
        assert!(error.to_string().contains(sentence), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
