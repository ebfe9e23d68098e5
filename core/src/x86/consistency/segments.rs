//! Segment registers, by the rules of VM entry.

use super::{Problem, State};
use crate::x86::{Mode, Register, Segment};

/// A data segment: writable, accessed, expanding upwards.
const TYPE_READ_WRITE: u8 = 3;
const TYPE_ACCESSED: u8 = 1;
const TYPE_READABLE: u8 = 1 << 1;
const TYPE_CODE: u8 = 1 << 3;
/// A code segment that keeps the caller's privilege level.
const TYPE_CONFORMING: u8 = 1 << 2;

/// System segments.
const TYPE_LDT: u8 = 2;
const TYPE_BUSY_TSS_16: u8 = 3;
const TYPE_BUSY_TSS: u8 = 11;

/// Selector bits 1:0, and bit 2, which chooses the local table.
const RPL: u16 = 3;
const TABLE_INDICATOR: u16 = 1 << 2;

pub(super) fn check(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let r = state.registers;
    if state.virtual_8086() {
        for (register, segment) in state.segments() {
            virtual_8086(register, segment, report);
        }
    } else {
        code(state, report);
        stack(state, report);
        for (register, segment) in state.segments() {
            if register != Register::Cs {
                data(state, register, segment, report);
            }
        }
        selectors(state, report);
    }
    task(state, report);
    local_table(&r.ldtr, report);
    // CS and TR that are not present are reported as such.
    let all = state.segments().chain([(Register::Ldtr, &r.ldtr), (Register::Tr, &r.tr)]);
    for (register, segment) in all.filter(|(_, segment)| segment.present()) {
        shape(register, segment, report);
    }
    if state.mode == Mode::Real {
        real_mode_bases(state, report);
    } else if !state.virtual_8086() {
        descriptor_table(state, report);
    }
}

/// What is alike for all that are usable.
fn shape(register: Register, segment: &Segment, report: &mut dyn FnMut(Problem)) {
    let Segment { attributes, limit, base, .. } = *segment;
    if attributes & Segment::RESERVED_ATTRIBUTES != 0 {
        report(Problem::ReservedAttributes { register, attributes });
    }
    let whole_pages = limit & 0xfff == 0xfff;
    let small = limit >> 20 == 0;
    if if segment.granularity() { !whole_pages } else { !small } {
        report(Problem::LimitGranularity { register, limit, attributes });
    }
    let flat = !matches!(register, Register::Fs | Register::Gs | Register::Ldtr | Register::Tr);
    if flat && base >> 32 != 0 {
        report(Problem::BaseAbove32Bits { register, base });
    }
}

fn code(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let (cs, ss) = (&state.registers.cs, &state.registers.ss);
    let attributes = cs.attributes;
    if !cs.present() {
        report(Problem::CodeNotPresent { attributes });
        return;
    }
    if !cs.code_or_data() || (!cs.is_code() && cs.typ() != TYPE_READ_WRITE) {
        report(Problem::CodeWrongType { attributes });
        return;
    }
    if cs.is_code() {
        if cs.typ() & TYPE_ACCESSED == 0 {
            report(Problem::NotAccessed { register: Register::Cs, attributes });
        }
    } else if state.mode != Mode::Real {
        report(Problem::CodeIsData { attributes });
    }
    if cs.long() && !state.mode.is_long() {
        report(Problem::CodeLongOutsideLongMode { attributes });
    }
    if cs.long() && cs.default_big() && state.mode.is_long() {
        report(Problem::CodeLongAndBig { attributes });
    }
    let allowed = match (cs.is_code(), cs.typ() & TYPE_CONFORMING != 0) {
        (false, _) => cs.dpl() == 0,
        (true, true) => cs.dpl() <= ss.dpl(),
        (true, false) => cs.dpl() == ss.dpl(),
    };
    if !allowed {
        report(Problem::CodePrivilege { cs: attributes, ss: ss.attributes });
    }
}

fn stack(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let (cs, ss) = (&state.registers.cs, &state.registers.ss);
    let data_type = ss.typ() & (TYPE_CODE | TYPE_READABLE);
    if ss.present() && ss.code_or_data() && data_type != TYPE_READABLE {
        report(Problem::StackNotWritable { attributes: ss.attributes });
    }
    let (cs_rpl, ss_rpl) = (cs.selector & RPL, ss.selector & RPL);
    let zero_level = state.mode == Mode::Real || (cs.code_or_data() && !cs.is_code());
    if zero_level && ss.dpl() != 0 {
        report(Problem::StackPrivilege { attributes: ss.attributes });
    }
    // The low bits of a selector are no privilege level in real mode.
    let leveled = state.mode != Mode::Real;
    if leveled && cs_rpl != ss_rpl {
        report(Problem::StackCodeRpl { cs: cs.selector, ss: ss.selector });
    } else if leveled && u16::from(ss.dpl()) != ss_rpl {
        report(Problem::StackRpl { selector: ss.selector, attributes: ss.attributes });
    }
}

/// SS, DS, ES, FS and GS.
fn data(state: &State<'_>, register: Register, segment: &Segment, report: &mut dyn FnMut(Problem)) {
    let Segment { selector, attributes, .. } = *segment;
    if !segment.present() {
        return;
    }
    if segment.long() {
        report(Problem::LongDataSegment { register, attributes });
    }
    if !segment.code_or_data() {
        report(Problem::SystemSegment { register, attributes });
        return;
    }
    let typ = segment.typ();
    if typ & TYPE_ACCESSED == 0 {
        report(Problem::NotAccessed { register, attributes });
    }
    if register == Register::Ss {
        return;
    }
    if segment.is_code() && typ & TYPE_READABLE == 0 {
        report(Problem::NotReadable { register, attributes });
    }
    let conforming = segment.is_code() && typ & TYPE_CONFORMING != 0;
    let rpl = selector & RPL;
    if state.mode != Mode::Real && !conforming && u16::from(segment.dpl()) < rpl {
        report(Problem::DataPrivilege { register, selector, attributes });
    }
}

fn virtual_8086(register: Register, segment: &Segment, report: &mut dyn FnMut(Problem)) {
    let Segment { selector, attributes, limit, base } = *segment;
    if base != u64::from(selector) << 4 || limit != 0xffff || attributes != 0xf3 {
        report(Problem::Virtual8086Segment { register, segment: *segment });
    }
}

/// The local table cannot hold the descriptors of TR and LDTR.
fn selectors(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let r = state.registers;
    let ldtr = r.ldtr.present().then_some((Register::Ldtr, r.ldtr.selector));
    for (register, selector) in [(Register::Tr, r.tr.selector)].into_iter().chain(ldtr) {
        if selector & TABLE_INDICATOR != 0 {
            report(Problem::LocalSelector { register, selector });
        }
    }
}

fn task(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let tr = &state.registers.tr;
    let busy = match tr.typ() {
        TYPE_BUSY_TSS => true,
        TYPE_BUSY_TSS_16 => !state.mode.is_long(),
        _ => false,
    };
    if !tr.present() || tr.code_or_data() || !busy {
        report(Problem::TaskRegister { attributes: tr.attributes, mode: state.mode });
    }
}

fn local_table(ldtr: &Segment, report: &mut dyn FnMut(Problem)) {
    if ldtr.present() && (ldtr.code_or_data() || ldtr.typ() != TYPE_LDT) {
        report(Problem::LocalTable { attributes: ldtr.attributes });
    }
}

/// Real mode computes a base when it loads a selector; another one lasts until
/// then. After reset CS is such a case.
fn real_mode_bases(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    for (register, &Segment { selector, base, .. }) in state.segments() {
        let reset = register == Register::Cs && selector == 0xf000 && base == 0xffff_0000;
        if base != u64::from(selector) << 4 && !reset {
            report(Problem::RealModeBase { register, selector, base });
        }
    }
}

/// Selectors that no descriptor stands behind: they work until one is loaded
/// again.
fn descriptor_table(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let gdtr = state.registers.gdtr;
    let mut global = state.segments().filter(|(_, segment)| {
        segment.selector & !RPL != 0 && segment.selector & TABLE_INDICATOR == 0
    });
    if gdtr.limit == 0 || gdtr.base == 0 {
        if let Some((register, segment)) = global.next() {
            report(Problem::NoGdt { gdtr, register, selector: segment.selector });
        }
        return;
    }
    for (register, segment) in global {
        // The last byte of the descriptor.
        if segment.selector | 7 > gdtr.limit {
            let (selector, limit) = (segment.selector, gdtr.limit);
            report(Problem::SelectorBeyondGdt { register, selector, limit });
        }
    }
}
