//! An instruction, for people to read.

use std::fmt;

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

/// The instruction at an address, or the bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its text in Intel syntax: `mov eax, 1`.
    pub text: String,
}

impl Instruction {
    /// Decodes the first instruction of `code`, which runs at `rip` in a
    /// segment of 16, 32 or 64 bits. `None` without any bytes.
    pub fn decode(code: &[u8], bitness: u32, rip: u64) -> Option<Self> {
        if code.is_empty() {
            return None;
        }
        let instruction = Decoder::with_ip(bitness, code, rip, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return Some(Self { bytes: code.to_vec(), text: "(bad)".to_owned() });
        }
        let mut formatter = IntelFormatter::new();
        formatter.options_mut().set_hex_prefix("0x");
        formatter.options_mut().set_hex_suffix("");
        formatter.options_mut().set_uppercase_hex(false);
        formatter.options_mut().set_space_after_operand_separator(true);
        formatter.options_mut().set_branch_leading_zeros(false);
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        Some(Self { bytes: code[..instruction.len()].to_vec(), text })
    }
}

impl fmt::Display for Instruction {
    /// The text and the bytes: `` `fwait` (9b) ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (", self.text)?;
        for (at, byte) in self.bytes.iter().enumerate() {
            write!(f, "{}{byte:02x}", if at == 0 { "" } else { " " })?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_depends_on_the_mode() {
        let code = [0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xf4];
        let text = |bitness| Instruction::decode(&code, bitness, 0).map(|found| found.to_string());
        assert_eq!(text(16).as_deref(), Some("`mov eax, 1` (66 b8 01 00 00 00)"));
        assert_eq!(text(32).as_deref(), Some("`mov ax, 1` (66 b8 01 00)"));
        assert_eq!(Instruction::decode(&[], 64, 0), None);
    }

    #[test]
    fn what_is_no_instruction_is_shown_as_bytes() {
        let found = Instruction::decode(&[0x0f, 0xff], 64, 0).map(|found| found.to_string());
        assert_eq!(found.as_deref(), Some("`(bad)` (0f ff)"));
    }
}
