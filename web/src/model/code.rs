//! Instructions: read through the page tables of a processor and decoded, a
//! screenful at a time.

use std::fmt;

use iced_x86::{
    Code, Decoder, DecoderOptions, FastFormatterOptions, Instruction, Mnemonic, OpKind, Register,
    SpecializedFormatter, SpecializedFormatterTraitOptions,
};
use igvm_core::load::{GuestMemory, Space};
use igvm_core::span::Span;
use igvm_core::x86::paging::{Fault, PhysicalMemory, walk};
use igvm_core::x86::{Mode, RegisterFile};

use super::blocks::Blocks;
use super::focus::CodeBits;
use super::machine::linear_entry;

/// Bytes that an instruction has at most.
const LONGEST: usize = 15;

/// Bytes that are read at a time.
const CHUNK: usize = 1024;

/// Zeroes from so many on are no instructions but one row.
const ZEROES: usize = 16;

/// Zeroes that are counted.
const ZEROES_MAX: u64 = 64 << 10;

/// Bytes that are looked at for the instructions before an address.
const BACK: u64 = 640;

/// A processor's eyes: its registers, and memory.
#[derive(Clone, Copy)]
pub struct Eyes<'a> {
    /// The processor's registers.
    pub registers: &'a RegisterFile,
    /// Guest memory.
    pub memory: &'a GuestMemory<'a, Blocks>,
    /// How code is read.
    pub bits: CodeBits,
}

/// Why there is no more code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The linear address leads nowhere.
    Fault(u64, Fault),
    /// The guest has no memory there.
    NoMemory(u64),
    /// No header writes the memory there.
    Unwritten(u64),
    /// The browser cannot read the file.
    Unreadable(u64),
}

impl Stop {
    /// The guest physical address, where there is one.
    pub const fn gpa(&self) -> Option<u64> {
        match *self {
            Self::Fault(..) => None,
            Self::NoMemory(gpa) | Self::Unwritten(gpa) | Self::Unreadable(gpa) => Some(gpa),
        }
    }
}

impl fmt::Display for Stop {
    /// What is wrong with the place, as the end of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(_, fault) => write!(f, "the address leads nowhere: {fault}"),
            Self::NoMemory(_) => f.write_str("the guest has no memory there"),
            Self::Unwritten(_) => f.write_str("no header writes that memory: it reads as zero"),
            Self::Unreadable(_) => f.write_str("the browser cannot read that part of the file"),
        }
    }
}

/// Some instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// One after the other.
    pub rows: Vec<Row>,
    /// Why there are no more, if there are none.
    pub stop: Option<Stop>,
    /// Where the next one is.
    pub next: u64,
    /// What the instruction pointer is added to.
    pub base: u64,
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its linear address.
    pub linear: u64,
    /// Where that is in guest physical memory.
    pub physical: u64,
    /// Its bytes; none for zeroes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub what: What,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An instruction.
    Instruction {
        /// Its text, in pieces.
        text: Vec<Piece>,
        /// Whether the next row is not what runs next.
        leaves: bool,
    },
    /// A byte that begins none.
    Bad,
    /// So many zeroes.
    Zeroes(u64),
}

/// A part of an instruction's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is the name of the instruction.
    pub is_mnemonic: bool,
    /// The linear address that it names.
    pub linear: Option<u64>,
}

impl Row {
    /// Bytes that it takes.
    pub fn span(&self) -> u64 {
        match self.what {
            What::Zeroes(len) => len,
            _ => self.bytes.len() as u64,
        }
    }

    /// What it says, as text.
    pub fn words(&self) -> String {
        match &self.what {
            What::Instruction { text, .. } => text.iter().map(|piece| &*piece.text).collect(),
            What::Bad => "(bad)".to_owned(),
            What::Zeroes(len) => format!("{len} bytes of zeroes"),
        }
    }
}

/// Bytes that were read, and where each stretch of them is.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Offsets in `bytes` and their guest physical addresses.
    places: Vec<(usize, u64)>,
    stop: Option<Stop>,
}

impl Chunk {
    fn physical(&self, offset: usize) -> u64 {
        let after = self.places.partition_point(|(start, _)| *start <= offset);
        self.places
            .get(after.wrapping_sub(1))
            .map_or(0, |(start, gpa)| gpa + (offset - start) as u64)
    }
}

impl<'a> Eyes<'a> {
    /// A processor that reads as its mode says, or otherwise.
    pub fn new(
        registers: &'a RegisterFile,
        memory: &'a GuestMemory<'a, Blocks>,
        bits: Option<CodeBits>,
    ) -> Self {
        let own = CodeBits::by_number(Mode::of(registers).bitness());
        Self { registers, memory, bits: bits.or(own).unwrap_or(CodeBits::Bits64) }
    }

    /// Where the processor starts.
    pub fn entry(&self) -> u64 {
        linear_entry(self.registers)
    }

    /// What the instruction pointer is added to. In 16-bit code it has 16 bits:
    /// where the base of CS does not reach, the nearest 64 KiB boundary counts.
    pub fn base(&self, linear: u64) -> u64 {
        let base = match Mode::of(self.registers) {
            Mode::Long64 => 0,
            _ => self.registers.cs.base,
        };
        match self.bits {
            CodeBits::Bits64 => 0,
            CodeBits::Bits32 => base,
            CodeBits::Bits16 if linear.wrapping_sub(base) & 0xffff_ffff <= 0xffff => base,
            CodeBits::Bits16 => linear & !0xffff,
        }
    }

    /// So many bytes from a linear address, fewer where they end.
    fn read(&self, linear: u64, len: usize) -> Chunk {
        let mut chunk = Chunk::default();
        while chunk.bytes.len() < len && chunk.stop.is_none() {
            let at = self.wrapped(linear.wrapping_add(chunk.bytes.len() as u64));
            self.read_page(at, len - chunk.bytes.len(), &mut chunk);
        }
        chunk
    }

    /// Appends what is left of the page at `linear`, or why it is not there.
    fn read_page(&self, linear: u64, len: usize, chunk: &mut Chunk) {
        let physical = match walk(self.registers, self.memory, linear).result {
            Ok(found) => found.physical,
            Err(fault) => {
                chunk.stop = Some(Stop::Fault(linear, fault));
                return;
            }
        };
        let left = (0x1000 - (linear & 0xfff)).min(len as u64);
        let mut end = physical;
        for extent in self.memory.image().extents_in(Space::Guest, Span::new(physical, left)) {
            if extent.span.start != end {
                break;
            }
            end = extent.span.end();
        }
        let start = chunk.bytes.len();
        let count = end.saturating_sub(physical) as usize;
        chunk.places.push((start, physical));
        chunk.bytes.resize(start + count, 0);
        if self.memory.read(physical, &mut chunk.bytes[start..]).is_err() {
            chunk.bytes.truncate(start);
            chunk.stop = Some(Stop::Unreadable(physical));
        } else if (count as u64) < left {
            chunk.stop = Some(match self.has_memory(end) {
                true => Stop::Unwritten(end),
                false => Stop::NoMemory(end),
            });
        }
    }

    fn has_memory(&self, gpa: u64) -> bool {
        PhysicalMemory::read(self.memory, gpa, &mut [0]).is_ok()
    }

    /// Outside 64-bit mode addresses end at 4 GiB and go on at 0.
    fn wrapped(&self, linear: u64) -> u64 {
        match Mode::of(self.registers) {
            Mode::Long64 => linear,
            _ => linear & 0xffff_ffff,
        }
    }

    /// So many rows from a linear address on.
    pub fn list(&self, linear: u64, rows: usize) -> Listing {
        let base = self.base(linear);
        let mut listing = Listing { rows: Vec::new(), stop: None, next: linear, base };
        while listing.rows.len() < rows && listing.stop.is_none() {
            let chunk = self.read(listing.next, CHUNK);
            self.decode(&chunk, rows, &mut listing);
        }
        listing
    }

    /// Decodes what was read, as far as instructions are whole.
    fn decode(&self, chunk: &Chunk, rows: usize, listing: &mut Listing) {
        let whole = match chunk.stop {
            Some(_) => chunk.bytes.len(),
            None => chunk.bytes.len() - LONGEST,
        };
        let mut at = 0;
        while at < whole && listing.rows.len() < rows {
            let rest = &chunk.bytes[at..];
            let linear = listing.next;
            let zeroes = rest.iter().take_while(|byte| **byte == 0).count();
            let what = match zeroes {
                ZEROES.. if zeroes < rest.len() => What::Zeroes(zeroes as u64),
                ZEROES.. => What::Zeroes(zeroes as u64 + self.zeroes_from(linear, zeroes as u64)),
                _ => self.one(rest, linear, listing.base),
            };
            let len = match &what {
                What::Zeroes(len) => *len,
                What::Bad => 1,
                What::Instruction { .. } => self.length(rest) as u64,
            };
            let bytes = match what {
                What::Zeroes(_) => Vec::new(),
                _ => rest[..len as usize].to_vec(),
            };
            listing.rows.push(Row { linear, physical: chunk.physical(at), bytes, what });
            listing.next = self.wrapped(linear.wrapping_add(len));
            at += len as usize;
        }
        if at >= chunk.bytes.len() && at == whole {
            listing.stop = chunk.stop;
        }
    }

    /// How many zeroes go on behind `skipped` of them.
    fn zeroes_from(&self, linear: u64, skipped: u64) -> u64 {
        let mut count = 0;
        while count < ZEROES_MAX {
            let chunk = self.read(self.wrapped(linear.wrapping_add(skipped + count)), 4096);
            let zeroes = chunk.bytes.iter().take_while(|byte| **byte == 0).count();
            count += zeroes as u64;
            if zeroes < 4096 {
                break;
            }
        }
        count
    }

    fn decoder<'b>(&self, bytes: &'b [u8], ip: u64) -> Decoder<'b> {
        Decoder::with_ip(self.bits.number(), bytes, ip, DecoderOptions::NONE)
    }

    fn length(&self, bytes: &[u8]) -> usize {
        let instruction = self.decoder(bytes, 0).decode();
        if instruction.code() == Code::INVALID { 1 } else { instruction.len() }
    }

    fn one(&self, bytes: &[u8], linear: u64, base: u64) -> What {
        let instruction = self.decoder(bytes, self.offset(linear, base)).decode();
        if instruction.code() == Code::INVALID {
            return What::Bad;
        }
        let mut text = String::new();
        SpecializedFormatter::<Style>::new().format(&instruction, &mut text);
        let leaves = matches!(
            instruction.mnemonic(),
            Mnemonic::Jmp
                | Mnemonic::Ret
                | Mnemonic::Retf
                | Mnemonic::Iret
                | Mnemonic::Iretd
                | Mnemonic::Iretq
        );
        What::Instruction { text: self.pieces(&instruction, &text, base), leaves }
    }

    /// The instruction pointer at a linear address.
    fn offset(&self, linear: u64, base: u64) -> u64 {
        match self.bits {
            CodeBits::Bits64 => linear,
            _ => linear.wrapping_sub(base) & 0xffff_ffff,
        }
    }

    /// Where the listing of so many rows begins that ends before `linear`.
    /// Instructions have no mark at their start; of the ways to read the bytes
    /// before, the longest counts that comes out at `linear` and meets no byte
    /// that begins none.
    pub fn before(&self, linear: u64, rows: usize) -> Option<u64> {
        let mut back = BACK;
        let bytes = loop {
            let start = linear.checked_sub(back);
            let chunk = start.map(|start| self.read(start, back as usize));
            match chunk.filter(|chunk| chunk.bytes.len() as u64 == back) {
                Some(chunk) => break chunk.bytes,
                None if back > 1 => back /= 2,
                None => return None,
            }
        };
        let starts = (0..bytes.len()).find_map(|skip| self.starts(&bytes, skip));
        let from = match starts {
            Some(starts) => starts[starts.len().saturating_sub(rows)],
            None => bytes.len() - 1,
        };
        Some(linear - (bytes.len() - from) as u64)
    }

    /// Where instructions start, if they end where the bytes do.
    fn starts(&self, bytes: &[u8], skip: usize) -> Option<Vec<usize>> {
        let (mut at, mut starts) = (skip, Vec::new());
        let mut decoder = self.decoder(&bytes[skip..], 0);
        while decoder.can_decode() {
            starts.push(at);
            let instruction = decoder.decode();
            if instruction.code() == Code::INVALID {
                return None;
            }
            at += instruction.len();
        }
        (at == bytes.len()).then_some(starts)
    }
}

/// How instructions are written: as in Intel's manuals, numbers as in C.
struct Style;

impl SpecializedFormatterTraitOptions for Style {
    fn space_after_operand_separator(_options: &FastFormatterOptions) -> bool {
        true
    }

    fn rip_relative_addresses(_options: &FastFormatterOptions) -> bool {
        false
    }

    fn uppercase_hex(_options: &FastFormatterOptions) -> bool {
        false
    }

    fn use_hex_prefix(_options: &FastFormatterOptions) -> bool {
        true
    }
}

impl Eyes<'_> {
    /// The text with its first word and its addresses told apart.
    fn pieces(&self, instruction: &Instruction, text: &str, base: u64) -> Vec<Piece> {
        let is_prefix = |word: &str| {
            matches!(
                word,
                "rep" | "repe" | "repne" | "lock" | "bnd" | "notrack" | "xacquire" | "xrelease"
            )
        };
        let words = text.split_inclusive(' ');
        let prefixes: usize =
            words.clone().take_while(|word| is_prefix(word.trim_end())).map(str::len).sum();
        let name = text[prefixes..].find(' ').map_or(text.len(), |end| prefixes + end);
        let (name, operands) = text.split_at(name);
        let piece =
            |text: &str, linear| Piece { text: text.to_owned(), is_mnemonic: false, linear };
        let mut pieces = vec![Piece { is_mnemonic: true, ..piece(name, None) }];
        let address = (0..instruction.op_count()).find_map(|operand| {
            let (number, linear) = self.address(instruction, operand, base)?;
            let number = format!("{number:#x}");
            // An address is the last number of its kind that is written.
            let at = operands.rfind(&number)?;
            Some((at, at + number.len(), linear))
        });
        match address {
            Some((start, end, linear)) => {
                pieces.push(piece(&operands[..start], None));
                pieces.push(piece(&operands[start..end], Some(linear)));
                pieces.push(piece(&operands[end..], None));
            }
            None => pieces.push(piece(operands, None)),
        }
        pieces.retain(|piece| !piece.text.is_empty());
        pieces
    }

    /// The number that an operand is written as, and the linear address that it
    /// names.
    fn address(&self, instruction: &Instruction, operand: u32, base: u64) -> Option<(u64, u64)> {
        let short = |number: u64| (number, base.wrapping_add(number) & 0xffff_ffff);
        match instruction.op_kind(operand) {
            OpKind::NearBranch64 => {
                let target = instruction.near_branch64();
                Some((target, target))
            }
            OpKind::NearBranch32 => Some(short(instruction.near_branch32().into())),
            OpKind::NearBranch16 => Some(short(instruction.near_branch16().into())),
            OpKind::FarBranch16 if Mode::of(self.registers) == Mode::Real => {
                let offset = u64::from(instruction.far_branch16());
                Some((offset, (u64::from(instruction.far_branch_selector()) << 4) + offset))
            }
            OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                let target = instruction.ip_rel_memory_address();
                Some((target, target))
            }
            OpKind::Memory
                if self.bits != CodeBits::Bits16
                    && instruction.memory_base() == Register::None
                    && instruction.memory_index() == Register::None
                    && instruction.memory_segment() == Register::DS =>
            {
                let number = instruction.memory_displacement64();
                Some(match self.bits {
                    CodeBits::Bits64 => (number, number),
                    _ => (number, self.registers.ds.base.wrapping_add(number) & 0xffff_ffff),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
