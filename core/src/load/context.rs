//! Processor contexts (`IGVM_VHS_VP_CONTEXT` data) into register files.

use igvm_defs::{
    IGVM_VHS_VP_CONTEXT, IgvmArchitecture, IgvmNativeVpContextX64, IgvmPlatformType as Platform,
    PAGE_SIZE_4K, VbsVpContextHeader, VbsVpContextRegister,
};

use super::layout::{Field, Form, NATIVE, VMSA, hyper_v};
use super::problem::ProblemKind;
use super::processor::{Origin, Processor, Start};
use crate::data::{FileData, ReadError};
use crate::file::HeaderRef;
use crate::span::Span;
use crate::x86::{Register, RegisterValue, Segment, TableRegister};

/// RFLAGS bit 1 is always set (SDM volume 1, "EFLAGS Register").
const RFLAGS_ALWAYS_SET: u64 = 1 << 1;

/// More registers than Hyper-V has names for in this range: a longer list is
/// not a context.
const VBS_REGISTERS_MAX: u32 = 256;

/// Bytes of a context read at a time.
type Chunk = [u8; 256];

/// Reads a processor's context.
pub(crate) struct ContextReader<'a, D: ?Sized> {
    pub(crate) data: &'a D,
    pub(crate) file_len: u64,
    pub(crate) architecture: IgvmArchitecture,
}

impl<D: FileData + ?Sized> ContextReader<'_, D> {
    /// Loads a context into a processor that is in its reset state.
    pub(crate) fn load(
        &self,
        platform: Platform,
        context: &IGVM_VHS_VP_CONTEXT,
        header: HeaderRef,
        processor: &mut Processor,
        problem: &mut dyn FnMut(ProblemKind),
    ) {
        if self.architecture != IgvmArchitecture::X64 || platform == Platform::CCA {
            return problem(ProblemKind::ContextNotX86);
        }
        processor.context = Some(header);
        processor.start = Start::Runs;
        let offset = u64::from(context.file_offset);
        let mut target = Target { processor, header, offset };
        let read = match platform {
            Platform::NATIVE | Platform::SEV => self.native(&mut target, problem),
            Platform::SEV_ES | Platform::SEV_SNP => self.fixed(VMSA, &mut target),
            Platform::VSM_ISOLATION => self.vbs(&mut target, problem),
            _ => return problem(ProblemKind::ContextNotExpected),
        };
        if let Err(error) = read {
            problem(ProblemKind::data_missing(error, self.file_len));
        }
        let from = processor.registers.rflags;
        let to = from | RFLAGS_ALWAYS_SET;
        if from != to {
            processor.registers.rflags = to;
            problem(ProblemKind::RegisterAdjusted { register: Register::Rflags, from, to });
        }
    }

    fn native(
        &self,
        target: &mut Target<'_>,
        problem: &mut dyn FnMut(ProblemKind),
    ) -> Result<(), ReadError> {
        self.fixed(NATIVE, target)?;
        let used = size_of::<IgvmNativeVpContextX64>() as u64;
        let rest = Span::between(
            target.offset.saturating_add(used),
            target.offset.saturating_add(PAGE_SIZE_4K),
        );
        if let Some(offset) = self.first_not_zero(rest)? {
            problem(ProblemKind::ContextNotZero { offset });
        }
        Ok(())
    }

    /// A context of fixed layout in a page of the file.
    fn fixed(&self, fields: &[Field], target: &mut Target<'_>) -> Result<(), ReadError> {
        let page = Span::new(target.offset, PAGE_SIZE_4K);
        if page.end() > self.file_len {
            return Err(ReadError { span: page });
        }
        for field in fields {
            let mut bytes = [0; 32];
            let Some(bytes) = bytes.get_mut(..field.form.len()) else { continue };
            let at = target.offset.saturating_add(field.offset as u64);
            self.data.read_at(at, bytes)?;
            target.set(field.register, field.form, bytes, at);
        }
        Ok(())
    }

    /// A list of Hyper-V registers.
    fn vbs(
        &self,
        target: &mut Target<'_>,
        problem: &mut dyn FnMut(ProblemKind),
    ) -> Result<(), ReadError> {
        let mut count = [0; size_of::<VbsVpContextHeader>()];
        self.data.read_at(target.offset, &mut count)?;
        let registers = u32::from_le_bytes(count);
        if registers > VBS_REGISTERS_MAX {
            problem(ProblemKind::ContextTooLong { registers });
            return Ok(());
        }
        let mut at = target.offset.saturating_add(count.len() as u64);
        for _ in 0..registers {
            let mut entry = [0; size_of::<VbsVpContextRegister>()];
            self.data.read_at(at, &mut entry)?;
            let entry = Entry(&entry);
            let value_at = at.saturating_add(Entry::VALUE as u64);
            match hyper_v(entry.name()) {
                Some((register, form)) => target.set(register, form, entry.value(), value_at),
                None => problem(ProblemKind::RegisterNotModelled { name: entry.name() }),
            }
            at = at.saturating_add(size_of::<VbsVpContextRegister>() as u64);
        }
        Ok(())
    }

    fn first_not_zero(&self, span: Span) -> Result<Option<u64>, ReadError> {
        let mut at = span.start;
        while at < span.end() {
            let mut chunk: Chunk = [0; size_of::<Chunk>()];
            let len = Span::between(at, span.end()).len.min(chunk.len() as u64);
            let Some(chunk) = chunk.get_mut(..usize::try_from(len).unwrap_or(0)) else { break };
            self.data.read_at(at, chunk)?;
            if let Some(nth) = chunk.iter().position(|byte| *byte != 0) {
                return Ok(Some(at.saturating_add(nth as u64)));
            }
            at = at.saturating_add(len);
        }
        Ok(None)
    }
}

/// One `VbsVpContextRegister`: VTL, unaligned name, padding, value.
struct Entry<'a>(&'a [u8; size_of::<VbsVpContextRegister>()]);

impl Entry<'_> {
    const NAME: usize = core::mem::offset_of!(VbsVpContextRegister, register_name);
    const VALUE: usize = core::mem::offset_of!(VbsVpContextRegister, register_value);

    fn name(&self) -> u32 {
        integer(self.0.get(Self::NAME..).unwrap_or(&[]), 4) as u32
    }

    fn value(&self) -> &[u8] {
        self.0.get(Self::VALUE..).unwrap_or(&[])
    }
}

/// The processor that a context goes into.
struct Target<'a> {
    processor: &'a mut Processor,
    header: HeaderRef,
    /// File offset of the context.
    offset: u64,
}

impl Target<'_> {
    fn set(&mut self, register: Register, form: Form, bytes: &[u8], at: u64) {
        self.processor.registers.set(register, value(form, bytes));
        let file = Span::new(at, form.len() as u64);
        self.processor.set_origin(register, Origin::Context { header: self.header, file });
    }
}

/// A register value from its stored form.
fn value(form: Form, bytes: &[u8]) -> RegisterValue {
    let at = |offset: usize, len: usize| integer(bytes.get(offset..).unwrap_or(&[]), len);
    let segment = |selector, attributes, limit, base| {
        RegisterValue::Segment(Segment {
            selector: selector as u16,
            attributes: attributes as u16,
            limit: limit as u32,
            base,
        })
    };
    let table = |base, limit| RegisterValue::Table(TableRegister { base, limit: limit as u16 });
    match form {
        Form::U64 => RegisterValue::Integer(at(0, 8)),
        Form::U32 => RegisterValue::Integer(at(0, 4)),
        Form::U16 => RegisterValue::Integer(at(0, 2)),
        Form::NativeSegment => segment(at(0, 2), at(2, 2), at(8, 4), at(4, 4)),
        Form::NativeGs => segment(at(0, 2), at(2, 2), at(8, 4), at(12, 8)),
        Form::NativeGdtr => table(at(2, 8), at(0, 2)),
        Form::NativeIdtr => table(at(0, 8), at(8, 2)),
        Form::VmsaSegment => segment(at(0, 2), unpack_vmcb(at(2, 2)), at(4, 4), at(8, 8)),
        Form::VmsaTable => table(at(8, 8), at(4, 4)),
        Form::HvSegment => segment(at(12, 2), at(14, 2), at(8, 4), at(0, 8)),
        Form::HvTable => table(at(8, 8), at(6, 2)),
    }
}

/// The VMCB packs attribute bits 15:12 into 11:8 (APM volume 2, "Segment State
/// in the VMCB").
fn unpack_vmcb(packed: u64) -> u64 {
    packed & 0xff | (packed & 0xf00) << 4
}

/// The first `len` bytes as a little-endian integer; missing ones are zero.
fn integer(bytes: &[u8], len: usize) -> u64 {
    let mut value = [0; 8];
    for (to, from) in value.iter_mut().zip(bytes.iter().take(len)) {
        *to = *from;
    }
    u64::from_le_bytes(value)
}
