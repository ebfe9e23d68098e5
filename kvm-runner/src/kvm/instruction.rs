//! Instructions, for people to read.

use std::fmt;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, IntelFormatter};

/// The instruction at an address, or the bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its text in Intel syntax: `mov eax, 1`.
    pub text: String,
    /// Whether it goes on behind itself: no jump, call, return or interrupt.
    pub falls_through: bool,
}

impl Instruction {
    /// The longest that a processor takes.
    pub const MAX_LEN: usize = 15;

    /// Decodes the first instruction of `code`, which runs at `rip` in a
    /// segment of 16, 32 or 64 bits. `None` without any bytes.
    pub fn decode(code: &[u8], bitness: u32, rip: u64) -> Option<Self> {
        if code.is_empty() {
            return None;
        }
        let instruction = Decoder::with_ip(bitness, code, rip, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            let len = code.len().min(Self::MAX_LEN);
            return Some(Self {
                bytes: code[..len].to_vec(),
                text: "(bad)".to_owned(),
                falls_through: true,
            });
        }
        let mut formatter = IntelFormatter::new();
        formatter.options_mut().set_hex_prefix("0x");
        formatter.options_mut().set_hex_suffix("");
        formatter.options_mut().set_uppercase_hex(false);
        formatter.options_mut().set_space_after_operand_separator(true);
        formatter.options_mut().set_branch_leading_zeros(false);
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let falls_through = instruction.flow_control() == FlowControl::Next;
        Some(Self { bytes: code[..instruction.len()].to_vec(), text, falls_through })
    }

    /// The bytes as text: `0f 0b`.
    pub fn hex(&self) -> impl fmt::Display {
        HexBytes(&self.bytes)
    }
}

/// Bytes in two digits each.
struct HexBytes<'a>(&'a [u8]);

impl fmt::Display for HexBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.pad(&bytes.join(" "))
    }
}

impl fmt::Display for Instruction {
    /// The text and the bytes: `` `fwait` (9b) ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.text, self.hex())
    }
}

/// One of the instructions around another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeLine {
    /// How far it is from the one in the middle.
    pub offset: i64,
    /// The instruction.
    pub instruction: Instruction,
}

/// The instructions around one: at most `before` that lead to it, itself, and at
/// most `after` that follow. `code` has it at `middle`; `rip` is its address.
///
/// Nobody can know where the instructions before it start. Code is decoded from
/// every byte; what most of these ways have in common before they meet the
/// middle is taken, as instructions fall into step after a few.
pub(super) fn around(
    code: &[u8],
    middle: usize,
    bitness: u32,
    rip: u64,
    before: usize,
    after: usize,
) -> Vec<CodeLine> {
    let line = |at: usize| {
        let offset = at as i64 - middle as i64;
        let rip = rip.wrapping_add_signed(offset);
        let instruction = Instruction::decode(code.get(at..)?, bitness, rip)?;
        Some(CodeLine { offset, instruction })
    };
    let mut lines: Vec<_> =
        leading(code.get(..middle).unwrap_or_default(), bitness, before).filter_map(line).collect();
    let mut at = middle;
    for _ in 0..=after {
        let Some(next) = line(at) else { break };
        let bytes = &next.instruction.bytes;
        at += bytes.len();
        // Padding is not code that anybody wants to see.
        if next.offset != 0 && bytes.iter().all(|byte| *byte == 0) {
            break;
        }
        let bad = next.instruction.text == "(bad)";
        lines.push(next);
        if bad {
            break;
        }
    }
    lines
}

/// Where the instructions start that lead to the end of `code`.
fn leading(code: &[u8], bitness: u32, most: usize) -> impl Iterator<Item = usize> {
    let end = code.len();
    // The length of an instruction at each byte; 0 is none, and so is one of
    // zeroes, which are padding more often than additions.
    let length = |at: usize| {
        let mut decoder = Decoder::new(bitness, &code[at..], DecoderOptions::NONE);
        let len = decoder.decode().len();
        let valid = decoder.last_error() == iced_x86::DecoderError::None;
        let padding = code[at..].iter().take(len).all(|byte| *byte == 0);
        if valid && !padding { len } else { 0 }
    };
    let lengths: Vec<_> = (0..end).map(length).collect();
    // How many ways that meet the end go through each byte.
    let mut votes = vec![0_u32; end];
    for start in 0..end {
        let mut way = Vec::new();
        let mut at = start;
        while at < end && lengths[at] != 0 {
            way.push(at);
            at += lengths[at];
        }
        if at == end {
            way.into_iter().for_each(|at| votes[at] += 1);
        }
    }
    let mut starts = Vec::new();
    let mut next = end;
    while starts.len() < most {
        let best = (0..next)
            .filter(|at| votes[*at] > 0 && at + lengths[*at] == next)
            .max_by_key(|at| votes[*at]);
        let Some(best) = best else { break };
        starts.push(best);
        next = best;
    }
    starts.into_iter().rev()
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

    /// A program of long instructions whose immediates look like code.
    #[test]
    fn instructions_before_the_middle_are_found_in_step() {
        let mut code = vec![0; 16];
        let mut starts = Vec::new();
        for _ in 0..12 {
            starts.push(code.len());
            // mov eax, 0x90909090
            code.extend([0xb8, 0x90, 0x90, 0x90, 0x90]);
            starts.push(code.len());
            // add rax, [rbx + 8]
            code.extend([0x48, 0x03, 0x43, 0x08]);
        }
        let middle = code.len();
        code.extend([0xf4, 0xeb, 0xfd]);
        let lines = around(&code, middle, 64, 0x1000, 6, 4);
        let at: Vec<_> = lines.iter().map(|line| line.offset + middle as i64).collect();
        let last: Vec<_> = starts.iter().rev().take(6).rev().map(|at| *at as i64).collect();
        assert_eq!(at[..6], last);
        let after: Vec<_> = lines[6..].iter().map(|line| &*line.instruction.text).collect();
        assert_eq!(after, ["hlt", "jmp short 0x1000"]);
    }

    #[test]
    fn nothing_leads_out_of_padding() {
        let mut code = vec![0; 64];
        code.push(0xf4);
        let lines = around(&code, 64, 32, 0, 5, 0);
        assert_eq!(lines.iter().map(|line| line.offset).collect::<Vec<_>>(), [0]);
    }

    proptest::proptest! {
        /// Any bytes: lines follow one another and meet the middle.
        #[test]
        fn lines_follow_one_another(
            code in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
            middle in 0_usize..110,
        ) {
            let lines = around(&code, middle, 16, 0, 5, 5);
            for pair in lines.windows(2) {
                let len = pair[0].instruction.bytes.len() as i64;
                proptest::prop_assert_eq!(pair[0].offset + len, pair[1].offset);
            }
            if middle < code.len() {
                proptest::prop_assert!(lines.iter().any(|line| line.offset == 0));
            }
        }
    }
}
