//! Small guests on a real KVM: each way a run can stop.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::time::{Duration, Instant};

use common::{Bits, Run, host, run_bits};
use igvm_devices::Ending;
use kvm_runner::console::Source;
use kvm_runner::kvm::Stop;
use vm_memory::{Bytes, GuestAddress};

/// mov dx, 0x501; mov al, `value`; out dx, al. The `out` is 16-bit code.
const fn exit(value: u8) -> [u8; 6] {
    [0xba, 0x01, 0x05, 0xb0, value, 0xee]
}

/// Prints what follows it, up to a zero, on a port and exits: 16-bit code that
/// finds its text by CS.
fn print(port: u16, at: u16, text: &str) -> Vec<u8> {
    let [port_low, port_high] = port.to_le_bytes();
    let [text_low, text_high] = (at + 0x16).to_le_bytes();
    let code = [
        0xbe, text_low, text_high, // 00 mov si, text
        0xba, port_low, port_high, // 03 mov dx, port
        0xfc,      // 06 cld
        0x2e, 0xac, // 07 lodsb al, cs:[si]
        0x84, 0xc0, // 09 test al, al
        0x74, 0x03, // 0b jz 10
        0xee, // 0d out dx, al
        0xeb, 0xf7, // 0e jmp 07
    ];
    [&code[..], &exit(0x10), text.as_bytes(), &[0]].concat()
}

const EXITED: Stop = Stop::Ended(Ending::Exit { value: 0x10 });

#[test]
fn hello_in_real_mode_on_either_port() {
    for port in [0x3f8, 0x402] {
        let Some(host) = host() else { return };
        let outcome =
            run_bits(host, &Bits::real_mode(&print(port, 0x7c00, "hello\n")), Run::default());
        assert_eq!(outcome.report.stop, EXITED, "{}", outcome.report);
        let (serial, debug) = if port == 0x3f8 { ("hello\n", "") } else { ("", "hello\n") };
        assert_eq!((&*outcome.serial, &*outcome.debug), (serial, debug));
    }
}

#[test]
fn long_mode_runs_to_the_exit_port() {
    let Some(host) = host() else { return };
    // mov dx, 0x501; mov eax, 0x12345678; out dx, eax
    let code = [0x66, 0xba, 0x01, 0x05, 0xb8, 0x78, 0x56, 0x34, 0x12, 0xef];
    let outcome = run_bits(host, &common::long(&code), Run::default());
    assert_eq!(outcome.report.stop, Stop::Ended(Ending::Exit { value: 0x1234_5678 }));
    // The access is complete: RIP is behind it.
    assert_eq!(outcome.report.linear, Some(0x7c0a));
}

/// INS and OUTS move several items an exit.
#[test]
fn string_io_is_one_access_per_item() {
    let Some(host) = host() else { return };
    let code = [
        0xfc, // cld
        0xbf, 0x00, 0x60, // mov di, 0x6000
        0xba, 0x10, 0x05, 0x31, 0xc0, 0xef, // mov dx, 0x510; xor ax, ax; out dx, ax
        0x42, 0xb9, 0x04, 0x00, 0xf3, 0x6c, // inc dx; mov cx, 4; rep insb
        0xbe, 0x00, 0x60, 0xba, 0x02, 0x04, // mov si, 0x6000; mov dx, 0x402
        0xb9, 0x04, 0x00, 0xf3, 0x6e, // mov cx, 4; rep outsb
        0xb9, 0x02, 0x00, 0xf3,
        0x6f, // mov cx, 2; rep outsw: the second byte is another port's
    ];
    let code = [&code[..], &exit(0x10)].concat();
    let mut bits = Bits::real_mode(&code);
    bits.pieces.push((0x6004, b"A-B-".to_vec()));
    let outcome = run_bits(host, &bits, Run::default());
    assert_eq!(outcome.report.stop, EXITED, "{}", outcome.report);
    assert_eq!(outcome.debug, "QEMUAB");
}

#[test]
fn what_nobody_claims_reads_as_ones() {
    let Some(host) = host() else { return };
    let code = [
        0xe4, 0x80, 0xa2, 0x00, 0x60, // in al, 0x80; mov [0x6000], al
        0xba, 0x02, 0x04, 0xec, 0xa2, 0x01,
        0x60, // mov dx, 0x402; in al, dx; mov [0x6001], al
        0xb8, 0x00, 0xc0, 0x8e, 0xc0, // mov ax, 0xc000; mov es, ax
        0x26, 0xa1, 0x00, 0x00, 0xa3, 0x02, 0x60, // mov ax, es:[0]; mov [0x6002], ax
        0x26, 0xa3, 0x00, 0x00, // mov es:[0], ax
    ];
    let outcome =
        run_bits(host, &Bits::real_mode(&[&code[..], &exit(0x10)].concat()), Run::default());
    assert_eq!(outcome.report.stop, EXITED, "{}", outcome.report);
    let read: [u8; 4] = outcome.machine.memory().read_obj(GuestAddress(0x6000)).unwrap();
    assert_eq!(read, [0xff, 0xe9, 0xff, 0xff]);
}

#[test]
fn the_guest_may_ask_for_a_reset_or_shutdown() {
    let reset = |port| Stop::Ended(Ending::Reset { port });
    let cases: [(&[u8], Stop); 4] = [
        (&[0xb0, 0xfe, 0xe6, 0x64], reset(0x64)),
        (&[0xb0, 0x01, 0xe6, 0x92], reset(0x92)),
        (&[0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee], reset(0xcf9)),
        // mov dx, 0x604; mov ax, 0x2000; out dx, ax
        (&[0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef], Stop::Ended(Ending::Shutdown)),
    ];
    for (code, stop) in cases {
        let Some(host) = host() else { return };
        let outcome = run_bits(host, &Bits::real_mode(code), Run::default());
        assert_eq!(outcome.report.stop, stop);
        assert_eq!(stop.exit_code(), 0);
    }
}

/// The serial port's interrupt goes through the controllers and ends a HLT.
#[test]
fn the_serial_port_interrupts() {
    let Some(host) = host() else { return };
    let code = [
        0xb0, 0x11, 0xe6, 0x20, // PIC: ICW1,
        0xb0, 0x08, 0xe6, 0x21, // vectors from 8 on,
        0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21, // ICW3, ICW4,
        0xb0, 0xef, 0xe6, 0x21, // IRQ 4 alone
        0xba, 0xf9, 0x03, 0xb0, 0x02, 0xee, // IER: transmitter empty
        0xfb, 0xf4, 0xeb, 0xfd, // sti; hlt; jmp to the hlt
    ];
    let mut bits = Bits::real_mode(&code);
    // Vector 12, 0000:6000.
    bits.pieces.push((12 * 4, vec![0x00, 0x60, 0x00, 0x00]));
    bits.pieces.push((0x6000, exit(0x10).to_vec()));
    let outcome = run_bits(host, &bits, Run::default());
    assert_eq!(outcome.report.stop, EXITED, "{}", outcome.report);
}

#[test]
fn a_triple_fault_is_told() {
    let Some(host) = host() else { return };
    let mut bits = Bits::flat(&[0x90, 0x0f, 0x0b]);
    if let Some(registers) = &mut bits.registers[0] {
        registers.idtr.limit = 0;
    }
    let outcome = run_bits(host, &bits, Run::default());
    assert_eq!(outcome.report.stop, Stop::TripleFault);
    assert_eq!(outcome.report.stop.exit_code(), 4);
    let text = outcome.report.to_string();
    // AMD's processors forget where it happened.
    assert!(text.contains("`ud2` (0f 0b)") || text.contains("0xfffffff0"), "{text}");
}

#[test]
fn a_halted_guest_is_stopped_in_time() {
    // cli; hlt and sti; hlt; jmp to the hlt
    for (code, for_ever) in [(&[0xfa, 0xf4][..], true), (&[0xfb, 0xf4, 0xeb, 0xfd], false)] {
        let Some(host) = host() else { return };
        let started = Instant::now();
        let limit = Duration::from_millis(300);
        // The interval timer is silent until somebody programs it.
        let outcome = run_bits(host, &Bits::real_mode(code), Run { limit, ..Run::default() });
        let Stop::Timeout { after, halted } = outcome.report.stop else {
            panic!("{}", outcome.report)
        };
        assert_eq!((after, halted), (limit, for_ever));
        assert_eq!(outcome.report.stop.exit_code(), 3);
        let took = started.elapsed();
        assert!(took >= limit && took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn an_endless_loop_is_stopped_in_time() {
    let Some(host) = host() else { return };
    let limit = Duration::from_millis(200);
    let outcome = run_bits(host, &Bits::real_mode(&[0xeb, 0xfe]), Run { limit, ..Run::default() });
    assert_eq!(outcome.report.stop, Stop::Timeout { after: limit, halted: false });
    assert!(outcome.report.to_string().contains("at 0x7c00: `jmp short"), "{}", outcome.report);
}

/// Runs on where the processor runs the guest's code itself; where KVM
/// interprets it, the sentence says so.
#[test]
fn an_instruction_that_kvm_cannot_interpret_is_named() {
    let cases: [(&[u8], &str); 3] = [
        (&[0x9b], "`fwait` (9b) at 0x7c00"),
        (&[0xf3, 0x0f, 0xb8, 0xc0], "`popcnt ax, ax` (f3 0f b8 c0) at 0x7c00"),
        (&[0xd9, 0xe8], "`fld1` (d9 e8) at 0x7c00"),
    ];
    for (code, named) in cases {
        let Some(host) = host() else { return };
        let interprets = host.interprets();
        let bits = Bits::real_mode(&[code, &exit(0x10)].concat());
        let outcome = run_bits(host, &bits, Run::default());
        let sentence = outcome.report.stop.to_string();
        match interprets {
            Some(true) => {
                assert!(sentence.contains(named), "{sentence}");
                assert!(sentence.contains("with hardware virtualization it would continue"));
                assert_eq!(outcome.report.stop.exit_code(), 4);
            }
            Some(false) => assert_eq!(outcome.report.stop, EXITED, "{sentence}"),
            None => panic!("the experiment failed"),
        }
    }
}

#[test]
fn code_outside_memory_is_the_guests_fault() {
    let Some(host) = host() else { return };
    // jmp 0xe000:0x0010
    let outcome = run_bits(host, &Bits::real_mode(&[0xea, 0x10, 0x00, 0x00, 0xe0]), Run::default());
    let sentence = outcome.report.stop.to_string();
    assert!(sentence.contains("0xe0010, where the machine has no memory"), "{sentence}");
    assert_eq!(outcome.report.stop.exit_code(), 4);
}

/// KVM must not rewrite the guest's code, nor meet it for ever.
#[test]
fn a_hypercall_does_not_hang() {
    // vmcall and vmmcall: one is the host's own, which answers "no such call";
    // the other is an invalid opcode, here without a handler.
    for code in [[0x0f, 0x01, 0xc1], [0x0f, 0x01, 0xd9]] {
        let Some(host) = host() else { return };
        let mut bits = Bits::real_mode(&[&code[..], &exit(0x10)].concat());
        if let Some(registers) = &mut bits.registers[0] {
            registers.idtr.limit = 0;
        }
        let outcome = run_bits(host, &bits, Run::default());
        assert!([EXITED, Stop::TripleFault].contains(&outcome.report.stop), "{}", outcome.report);
        let left: [u8; 3] = outcome.machine.memory().read_obj(GuestAddress(0x7c00)).unwrap();
        assert_eq!(left, code);
    }
}

#[test]
fn until_sees_text_across_writes_and_stops_there() {
    let Some(host) = host() else { return };
    let bits = Bits::real_mode(&print(0x3f8, 0x7c00, "login: and more"));
    let how = Run { until: Some("gin:"), ..Run::default() };
    let outcome = run_bits(host, &bits, how);
    assert_eq!(outcome.report.stop, Stop::Until(Source::Serial));
    assert_eq!(outcome.serial, "login:");
    assert_eq!(outcome.report.stop.exit_code(), 0);
}

/// 16-bit code: mov byte [0x500], 0x5a; hlt
const RAISE_FLAG: [u8; 6] = [0xc6, 0x06, 0x00, 0x05, 0x5a, 0xf4];

#[test]
fn a_second_processor_with_a_context_runs() {
    let Some(host) = host() else { return };
    // cmp byte [0x500], 0x5a; jne back; exit
    let wait = [0x80, 0x3e, 0x00, 0x05, 0x5a, 0x75, 0xf9];
    let mut bits = Bits::real_mode(&[&wait[..], &exit(0x10)].concat());
    let name_yourself = [
        0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xa2, // mov eax, 1; cpuid
        0x66, 0xc1, 0xeb, 0x18, 0x88, 0x1e, 0x04, 0x05, // shr ebx, 24; mov [0x504], bl
        0x66, 0xb8, 0x0b, 0x00, 0x00, 0x00, 0x66, 0x31, 0xc9, // mov eax, 0xb; xor ecx, ecx
        0x0f, 0xa2, 0x88, 0x16, 0x05, 0x05, // cpuid; mov [0x505], dl
    ];
    bits.pieces.push((0x6000, [&name_yourself[..], &RAISE_FLAG].concat()));
    let mut second = common::real_mode();
    second.rip = 0x6000;
    second.apic_base &= !0x100;
    bits.registers.push(Some(second));
    let outcome = run_bits(host, &bits, Run { processors: 2, ..Run::default() });
    assert_eq!(outcome.report.stop, EXITED, "{}", outcome.report);
    assert_eq!(outcome.report.vp_index, 0);
    // Its APIC id, by both leaves that tell it.
    let ids: [u8; 2] = outcome.machine.memory().read_obj(GuestAddress(0x504)).unwrap();
    assert_eq!(ids, [1, 1]);
}

#[test]
fn a_second_processor_without_a_context_waits_for_its_sipi() {
    let Some(host) = host() else { return };
    let code = [
        0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x00, 0x45, 0x0c, 0x00, // INIT to all others
        0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x06, 0x46, 0x0c, 0x00, // SIPI, page 6
        0x80, 0x3d, 0x00, 0x05, 0x00, 0x00, 0x5a, 0x75, 0xf7, // wait for the flag
        0x66, 0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, // exit
    ];
    let mut bits = Bits::flat(&code);
    bits.pieces.push((0x6000, RAISE_FLAG.to_vec()));
    let outcome = run_bits(host, &bits, Run { processors: 2, ..Run::default() });
    assert_eq!(outcome.report.stop, EXITED, "{}", outcome.report);
}

#[test]
fn a_processor_that_waits_for_its_sipi_is_stopped_too() {
    let Some(host) = host() else { return };
    let limit = Duration::from_millis(200);
    let how = Run { processors: 3, limit, ..Run::default() };
    let outcome = run_bits(host, &Bits::real_mode(&[0xfa, 0xf4]), how);
    assert_eq!(outcome.report.stop, Stop::Timeout { after: limit, halted: true });
}
