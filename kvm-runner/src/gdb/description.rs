//! The target description: what GDB is told about the registers ("Target
//! Descriptions" in its manual), and the architecture for gdbstub.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use gdbstub::arch::{Arch, RegId, Registers};
use igvm_core::x86::bits;
use igvm_core::x86::bits::NamedBit;

use super::registers::{Feature, TABLE};

/// x86-64 with everything this machine has.
pub(super) enum X86 {}

/// The registers in GDB's order, as bytes.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Block {
    pub(super) pc: u64,
    pub(super) bytes: Vec<u8>,
}

/// A register by its number.
#[derive(Debug)]
pub(super) struct Number(pub(super) usize);

impl Arch for X86 {
    type Usize = u64;
    type Registers = Block;
    type BreakpointKind = usize;
    type RegId = Number;

    fn target_description_xml() -> Option<&'static str> {
        static XML: LazyLock<String> = LazyLock::new(xml);
        Some(&XML)
    }
}

impl RegId for Number {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let entry = TABLE.get(id)?;
        Some((Self(id), NonZeroUsize::new(entry.bytes)))
    }
}

impl Registers for Block {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.bytes.iter().for_each(|byte| write_byte(Some(*byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.bytes = bytes.to_vec();
        match bytes.len() == TABLE.iter().map(|entry| entry.bytes).sum::<usize>() {
            true => Ok(()),
            false => Err(()),
        }
    }
}

fn xml() -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n\
         <target version=\"1.0\">\n<architecture>i386:x86-64</architecture>\n",
    );
    feature(&mut out, Feature::Core, "org.gnu.gdb.i386.core", |out| {
        flags(out, "rflags", 4, bits::rflags::BITS);
    });
    feature(&mut out, Feature::Sse, "org.gnu.gdb.i386.sse", |out| {
        out.push_str(VECTORS);
        flags(out, "mxcsr", 4, bits::mxcsr::BITS);
    });
    feature(&mut out, Feature::Segments, "org.gnu.gdb.i386.segments", |_| {});
    feature(&mut out, Feature::System, "kvm-runner.x86.system", |out| {
        flags(out, "cr0", 8, bits::cr0::BITS);
        flags(out, "cr4", 8, bits::cr4::BITS);
        flags(out, "efer", 8, bits::efer::BITS);
        flags(out, "xcr0", 8, bits::xcr0::BITS);
        flags(out, "dr6", 8, bits::dr6::BITS);
        flags(out, "dr7", 8, bits::dr7::BITS);
        flags(out, "apic_base", 8, bits::apic_base::BITS);
    });
    out.push_str("</target>\n");
    out
}

/// The ways to look at an SSE register.
const VECTORS: &str = r#"<vector id="v4f" type="ieee_single" count="4"/>
<vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/>
<vector id="v8i16" type="int16" count="8"/>
<vector id="v4i32" type="int32" count="4"/>
<vector id="v2i64" type="int64" count="2"/>
<union id="vec128">
<field name="v4_float" type="v4f"/>
<field name="v2_double" type="v2d"/>
<field name="v16_int8" type="v16i8"/>
<field name="v8_int16" type="v8i16"/>
<field name="v4_int32" type="v4i32"/>
<field name="v2_int64" type="v2i64"/>
<field name="uint128" type="uint128"/>
</union>
"#;

fn feature(out: &mut String, feature: Feature, name: &str, types: impl Fn(&mut String)) {
    out.push_str(&format!("<feature name=\"{name}\">\n"));
    types(out);
    for entry in TABLE.iter().filter(|entry| entry.feature == feature) {
        // Nothing can go wrong with a String.
        let _ok = writeln!(
            out,
            "<reg name=\"{}\" bitsize=\"{}\" type=\"{}\"/>",
            entry.name,
            8 * entry.bytes,
            entry.typ
        );
    }
    out.push_str("</feature>\n");
}

/// A type whose bits have core's names.
fn flags(out: &mut String, id: &str, bytes: usize, names: &[NamedBit]) {
    out.push_str(&format!("<flags id=\"{id}\" size=\"{bytes}\">\n"));
    for (bit, name, _) in names {
        // A bit that is always 1 says nothing.
        let name = if *name == "1" { "" } else { name };
        let _ok = writeln!(out, "<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>");
    }
    out.push_str("</flags>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GDB numbers registers in the order of the description.
    #[test]
    fn the_description_has_the_order_of_the_table() {
        let xml = xml();
        let names = xml.lines().filter_map(|line| line.strip_prefix("<reg name=\""));
        let names = names.filter_map(|rest| rest.split('"').next());
        assert!(names.eq(TABLE.iter().map(|entry| &*entry.name)), "{xml}");
    }
}
