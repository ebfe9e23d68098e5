//! The registers of a processor, decoded.

use igvm_analysis::report::ProcessorView;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::x86::{Register, RegisterFile, RegisterValue, Segment, TableRegister, bits};
use maud::{Markup, html};

use super::View;
use super::parts::{by_host as by_host_sign, guest, header, hex, no_processor, wide_hex};
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::machine::linear_entry;

const GENERAL: [Register; 18] = [
    Register::Rip,
    Register::Rsp,
    Register::Rax,
    Register::Rbx,
    Register::Rcx,
    Register::Rdx,
    Register::Rsi,
    Register::Rdi,
    Register::Rbp,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
    Register::Cr2,
];

const CONTROL: [Register; 8] = [
    Register::Cr0,
    Register::Cr3,
    Register::Cr4,
    Register::Efer,
    Register::Rflags,
    Register::Xcr0,
    Register::ApicBase,
    Register::Mxcsr,
];

const SEGMENTS: [Register; 8] = [
    Register::Cs,
    Register::Ds,
    Register::Es,
    Register::Ss,
    Register::Fs,
    Register::Gs,
    Register::Ldtr,
    Register::Tr,
];

const OTHERS: [Register; 9] = [
    Register::Cr8,
    Register::Pat,
    Register::Fcw,
    Register::Dr0,
    Register::Dr1,
    Register::Dr2,
    Register::Dr3,
    Register::Dr6,
    Register::Dr7,
];

/// The pane.
pub fn processors(view: View<'_>) -> Markup {
    let processor = view.loaded.and_then(|loaded| loaded.processor(view.focus.vp_index()));
    html! {
        @if let Some(loaded) = view.loaded.filter(|loaded| loaded.is_x64) { (choice(view, &loaded.state.processors)) }
        @match processor {
            Some(processor) => (one(view, processor)),
            None => (no_processor(view)),
        }
    }
}

/// Groups of processors that are listed.
const GROUPS_MAX: usize = 64;

/// The processors of the host, those alike together.
fn choice(view: View<'_>, all: &[ProcessorView]) -> Markup {
    if all.len() < 2 {
        return Markup::default();
    }
    let same = |one: &ProcessorView, next: &ProcessorView| {
        one.context_header.is_none() && next.context_header.is_none() && one.start == next.start
    };
    let groups = all.chunk_by(same);
    let hidden = groups.clone().skip(GROUPS_MAX).count();
    let shown = view.focus.vp_index();
    let step = |to: Option<u32>, rel: &'static str, text: &str| {
        let to = to.filter(|to| (*to as usize) < all.len());
        html! {
            @if let Some(to) = to { a rel=(rel) href=(view.focus.for_processor(to).href()) { (text) } }
        }
    };
    html! {
        nav.vps aria-label="Processors" {
            @for group in groups.take(GROUPS_MAX) {
                @let (first, last) = (group[0].vp_index, group[group.len() - 1].vp_index);
                @let is_shown = (first..=last).contains(&shown);
                a href=(view.focus.for_processor(if is_shown { shown } else { first }).href())
                    aria-current=[is_shown.then_some("true")] {
                    b { (first) @if last > first { "–" (last) } }
                    span { (state(&group[0])) }
                }
            }
            @if hidden > 0 { span.dim { "and " (hidden) " groups more" } }
            span.steps { (step(shown.checked_sub(1), "prev", "← previous")) " " (step(shown.checked_add(1), "next", "next →")) }
        }
    }
}

/// What a processor does first.
fn state(processor: &ProcessorView) -> &'static str {
    match (processor.start, processor.context_header) {
        ("runs", Some(_)) => "runs, own context",
        ("runs", None) => "runs from reset",
        _ => "waits for a start-up interrupt",
    }
}

/// Where QEMU 10.2.2 would load another value, and why.
fn in_qemu(view: View<'_>, processor: &ProcessorView, register: Register) -> Option<Markup> {
    let registers = &processor.registers;
    let is_native = view.loaded?.platform == IgvmPlatformType::NATIVE;
    let ignored = registers.gs.base != registers.ds.base;
    let is_first = processor.vp_index == 0 && processor.context_header.is_some();
    (register == Register::Gs && is_native && is_first && ignored).then(|| {
        html! {
            "QEMU 10.2.2 loads base " (hex(registers.ds.base))
            ": it gives GS the base of the data segment and ignores gs_base"
        }
    })
}

fn one(view: View<'_>, processor: &ProcessorView) -> Markup {
    let table = Table { view, processor, reset: RegisterFile::reset(processor.vp_index == 0) };
    html! {
        div.processor {
            h2 { "Processor " (processor.vp_index) }
            p.lead { (capital(&processor.mode_because)) "." }
            p { (beginning(view, processor)) }
            section aria-label="General registers" { (table.integers(&GENERAL)) }
            h3 { "Control and flags" }
            div.controls { @for register in CONTROL { (table.control(register)) } }
            h3 { "Segments" }
            (table.segments())
            h3 { "Other registers" }
            section aria-label="Other registers" { (table.integers(&OTHERS)) }
        }
    }
}

/// Where its registers come from, and where its first instruction is.
fn beginning(view: View<'_>, processor: &ProcessorView) -> Markup {
    let walk = view.loaded.and_then(|loaded| {
        let linear = linear_entry(&processor.registers);
        loaded.translate(view.document, processor.vp_index, linear)
    });
    let runs = processor.start == "runs";
    html! {
        @match processor.context_header {
            Some(index) => { "Its context comes from " (header(view.focus, index)) ". " }
            None if runs => "No header gives it a context: all registers are as after reset. ",
            None => "No header gives it a context: it waits for a start-up interrupt, which says where it begins. ",
        }
        @if processor.context_header.is_some() && processor.vp_index > 0 {
            strong.warned { "QEMU 10.2.2 refuses the file: " }
            "it takes a context for the first processor only. "
        }
        @if let Some(walk) = walk && runs {
            @let code = Focus { code_at: None, ..view.focus.in_pane(Pane::Code).for_processor(processor.vp_index) };
            "Its first instruction is at linear address "
            a href=(code.on_nothing().href()) { (hex(walk.linear)) } ", "
            @match walk.result {
                Ok(found) => { "guest physical " (guest(view.focus, found.physical)) ". " }
                Err(fault) => { strong.bad { "which leads nowhere: " (fault) } ". " }
            }
        }
        span.dim { "Values marked " b.changed { "≠" } " differ from those after reset." }
    }
}

/// What every cell needs.
struct Table<'a> {
    view: View<'a>,
    processor: &'a ProcessorView,
    reset: RegisterFile,
}

impl Table<'_> {
    fn changed(&self, register: Register) -> Markup {
        let differs = self.processor.registers.get(register) != self.reset.get(register);
        let by_host =
            self.view.changes.and_then(|c| c.of_register(self.processor.vp_index, register));
        html! {
            b.changed {
                @if by_host.is_some() { (by_host_sign()) }
                @else if differs { "≠" }
            }
        }
    }

    fn href(&self, register: Register) -> String {
        self.view.focus.on(Selection::Register(self.processor.vp_index, register)).href()
    }

    fn is_selected(&self, register: Register) -> bool {
        self.view.related.register == Some((self.processor.vp_index, register))
    }

    fn integer(&self, register: Register) -> u64 {
        match self.processor.registers.get(register) {
            RegisterValue::Integer(value) => value,
            _ => 0,
        }
    }

    fn integers(&self, registers: &[Register]) -> Markup {
        html! {
            div.integers {
                @for register in registers.iter().copied() {
                    a.register data-register=(register.name()) href=(self.href(register))
                        aria-current=[self.is_selected(register).then_some("true")] {
                        span.name { (register.name()) } (self.changed(register))
                        (wide_hex(self.integer(register), width(register)))
                    }
                }
            }
        }
    }

    /// A register with named bits: those that are set, in words on demand.
    fn control(&self, register: Register) -> Markup {
        let value = self.integer(register);
        let names = bits::names(register);
        let address = matches!(register, Register::Cr3 | Register::ApicBase);
        html! {
            a.register data-register=(register.name()) href=(self.href(register))
                aria-current=[self.is_selected(register).then_some("true")] {
                span.name { (register.name()) } (self.changed(register))
                (wide_hex(value, width(register)))
                span.bits {
                    @if address { span.bit title="bits 51:12" { (hex(value & bits::ADDRESS_51_12)) } }
                    @for (bit, name, meaning) in names.iter().rev().filter(|(bit, ..)| value >> bit & 1 != 0) {
                        span.bit title={ "bit " (bit) ": " (meaning) } { (name) }
                    }
                    @let reserved = value & bits::reserved(register);
                    @if reserved != 0 { span.bit.bad title="bits that no manual defines" { "reserved " (hex(reserved)) } }
                }
            }
        }
    }

    fn segments(&self) -> Markup {
        html! {
            div.table-scroller tabindex="0" role="region" aria-label="Segment registers" {
                table.segments {
                    thead { tr {
                        th scope="col" { "register" } th scope="col" { "selector" } th scope="col" { "base" }
                        th scope="col" { "limit" } th scope="col" { "attributes" } th scope="col" { "meaning" }
                    } }
                    tbody {
                        @for register in SEGMENTS {
                            @if let RegisterValue::Segment(segment) = self.processor.registers.get(register) {
                                (self.row(register, Some(segment), segment.base, segment.limit, &meaning(&segment)))
                            }
                        }
                        @for register in [Register::Gdtr, Register::Idtr] {
                            @if let RegisterValue::Table(TableRegister { base, limit }) = self.processor.registers.get(register) {
                                (self.row(register, None, base, limit.into(), "descriptor table"))
                            }
                        }
                    }
                }
            }
        }
    }

    fn row(
        &self,
        register: Register,
        segment: Option<Segment>,
        base: u64,
        limit: u32,
        meaning: &str,
    ) -> Markup {
        html! {
            tr class=[self.is_selected(register).then_some("related")] data-register=(register.name()) {
                th scope="row" { a href=(self.href(register)) { (register.name()) } (self.changed(register)) }
                td { @if let Some(segment) = segment { (wide_hex(segment.selector.into(), 2)) } }
                td { (wide_hex(base, 8)) }
                td { (wide_hex(limit.into(), 4)) }
                td { @if let Some(segment) = segment { (wide_hex(segment.attributes.into(), 2)) } }
                td.words {
                    (meaning)
                    @if let Some(other) = in_qemu(self.view, self.processor, register) { div.qemu { (other) } }
                }
            }
        }
    }
}

/// Bytes of a register that has a number.
pub(super) const fn width(register: Register) -> usize {
    match register {
        Register::Mxcsr => 4,
        Register::Fcw => 2,
        _ => 8,
    }
}

/// A descriptor in words: "code, 64-bit, readable, DPL 0".
pub(super) fn meaning(segment: &Segment) -> String {
    if !segment.present() {
        return "not present".to_owned();
    }
    let typ = segment.typ();
    let mut words = match (segment.code_or_data(), segment.is_code()) {
        (true, true) => {
            let size = match (segment.long(), segment.default_big()) {
                (true, _) => "64-bit code",
                (false, true) => "32-bit code",
                (false, false) => "16-bit code",
            };
            let mut words = vec![size, if typ & 2 != 0 { "readable" } else { "execute only" }];
            if typ & 4 != 0 {
                words.push("conforming");
            }
            words
        }
        (true, false) => {
            let mut words = vec!["data", if typ & 2 != 0 { "writable" } else { "read only" }];
            if typ & 4 != 0 {
                words.push("expands down");
            }
            words
        }
        (false, _) => vec![match typ {
            2 => "LDT",
            1 => "16-bit TSS",
            3 => "16-bit TSS, busy",
            9 => "TSS",
            11 => "TSS, busy",
            _ => "system segment",
        }],
    };
    if segment.code_or_data() && typ & 1 != 0 {
        words.push("accessed");
    }
    format!("{}, DPL {}", words.join(", "), segment.dpl())
}

/// With a capital.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
