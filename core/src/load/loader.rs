//! The loader: one pass over the headers.

use igvm_defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_PAGE_DATA, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_AREA,
    IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_VP_CONTEXT, IgvmArchitecture,
    IgvmPlatformType as Platform, PAGE_SIZE_4K,
};

use super::area::{Area, AreaBlock, Areas, Insertion};
use super::context::ContextReader;
use super::extent::{Extent, Source, Space};
use super::fixup::{Fixup, FixupPage, Originals};
use super::host::{Host, RequiredMemoryPolicy};
use super::image::{ExtentBlock, MemoryImage, Overlap};
use super::machine::Machine;
use super::ordered::Full;
use super::problem::{
    FixupFailure, GUEST_PHYSICAL_LIMIT, LoadError, Problem, ProblemKind, RelocationRefusal,
    StorageKind, aligned, in_guest,
};
use super::processor::{Processor, Start};
use super::region::{Region, Regions};
use crate::data::FileData;
use crate::file::{Header, HeaderRef, Headers, IgvmFile, page_len};
use crate::span::Span;
use crate::wire::{ParameterKind, Value};
use crate::x86::PagingMode;

/// Storage that a load fills; it needs no particular content.
#[derive(Debug)]
pub struct Storage<'s> {
    /// For the memory image.
    pub extents: &'s mut [ExtentBlock],
    /// For the parameter areas.
    pub areas: &'s mut [AreaBlock],
    /// One for each processor of the host.
    pub processors: &'s mut [Processor],
    /// One page for each page of the page table region; only used when a
    /// region is moved.
    pub fixups: &'s mut [FixupPage],
}

/// The platform that a loader without isolation chooses: native. `None` where
/// the file does not support it.
pub fn default_platform(file: &IgvmFile<'_>) -> Option<Platform> {
    file.platform(Platform::NATIVE).map(|platform| platform.platform_type)
}

/// Loads a file for one of its platforms. `problem` is told of everything that
/// goes wrong, in file order (what concerns contexts and page tables at the
/// end).
///
/// # Errors
/// Fails if the file does not support the platform or if storage runs out.
pub fn load<'s, D: FileData + ?Sized>(
    file: &IgvmFile<'_>,
    data: &D,
    platform: Platform,
    host: &Host<'_>,
    storage: Storage<'s>,
    problem: &mut dyn FnMut(Problem),
) -> Result<Machine<'s>, LoadError> {
    let platform = file.platform(platform).ok_or(LoadError::PlatformNotSupported)?;
    let processors = usize::try_from(host.processors)
        .ok()
        .and_then(|count| storage.processors.get_mut(..count))
        .ok_or(LoadError::StorageFull(StorageKind::Processors))?;
    for (vp_index, processor) in (0..).zip(processors.iter_mut()) {
        *processor = Processor::reset(vp_index);
    }
    let machine = Machine {
        platform,
        image: MemoryImage::new(storage.extents),
        areas: Areas::new(storage.areas),
        regions: Regions::default(),
        processors,
        fixups: storage.fixups,
        fatal_problems: 0,
    };
    let mut loader = Loader { file, data, host, machine, problem };
    loader.expect_x86();
    for relocation in host.relocations {
        loader.expect_region(relocation.from, relocation.to);
    }
    let mut headers = file.headers();
    while let Some(header) = headers.next() {
        loader.header(&header, &mut headers)?;
    }
    if let Some((at, stop)) = headers.cut_short() {
        loader.report(at, ProblemKind::HeadersCutShort { stop });
    }
    loader.contexts();
    loader.follow_relocations()?;
    Ok(loader.machine)
}

struct Loader<'a, 's, D: ?Sized> {
    file: &'a IgvmFile<'a>,
    data: &'a D,
    host: &'a Host<'a>,
    machine: Machine<'s>,
    problem: &'a mut dyn FnMut(Problem),
}

impl<D: FileData + ?Sized> Loader<'_, '_, D> {
    fn report(&mut self, header: HeaderRef, kind: ProblemKind) {
        if kind.is_fatal() {
            self.machine.fatal_problems = self.machine.fatal_problems.saturating_add(1);
        }
        (self.problem)(Problem { header, kind });
    }

    /// One header; `rest` are those behind it.
    #[inline]
    fn header(&mut self, header: &Header<'_>, rest: &mut Headers<'_>) -> Result<(), LoadError> {
        let value = header.value();
        if !value.applies_to(self.machine.platform.compatibility_mask) {
            if let Value::PageData(page) = value {
                rest.skip_pages(&page, u64::MAX);
            }
            return Ok(());
        }
        let at = header.reference();
        let done = match value {
            Value::PageData(page) => self.page_data(&page, at, rest)?,
            Value::ParameterArea(area) => self.parameter_area(&area, at)?,
            Value::Parameter(kind, parameter) => self.parameter(kind, &parameter, at)?,
            Value::ParameterInsert(insert) => self.parameter_insert(&insert, at)?,
            Value::RequiredMemory(required) => self.required_memory(&required, at)?,
            Value::ErrorRange(range) => self.error_range(&range, at)?,
            Value::VpContext(context) => self.vp_context(&context, at)?,
            Value::RelocatableRegion(region) => {
                let added =
                    self.machine.regions.add_relocatable(&region, at, self.host.relocations);
                self.region(added)?
            }
            Value::PageTableRelocationRegion(region) => {
                let added =
                    self.machine.regions.add_page_tables(&region, at, self.host.relocations);
                self.region(added)?
            }
            Value::WrongLength { expected } if !header.raw.optional => {
                Err(ProblemKind::WrongLength { typ: header.typ(), expected })
            }
            Value::Unknown | Value::Retired if !header.raw.optional => {
                Err(ProblemKind::NotUnderstood { typ: header.typ() })
            }
            // Policies, documents and measurements change nothing in the
            // machine's first state.
            _ => Ok(()),
        };
        if let Err(kind) = done {
            self.report(at, kind);
        }
        Ok(())
    }

    /// A page, and with it those of `rest` that carry it on.
    fn page_data(
        &mut self,
        page: &IGVM_VHS_PAGE_DATA,
        at: HeaderRef,
        rest: &mut Headers<'_>,
    ) -> Step {
        let len = page_len(page);
        if let Err(kind) =
            aligned(page.gpa, len).and_then(|()| self.has_data(page.file_offset, len))
        {
            return Ok(Err(kind));
        }
        let gpa = self.machine.regions.moved(page.gpa);
        if let Err(kind) = in_guest(Span::new(gpa, len)) {
            return Ok(Err(kind));
        }
        // Where there are regions, each page moves for itself.
        let more = match self.machine.regions.iter().len() {
            0 => rest.skip_pages(page, self.file.pages_after(page, GUEST_PHYSICAL_LIMIT)),
            _ => 0,
        };
        let pages = Extent::page(page, gpa, at).repeated(more);
        if more == 0 || self.machine.image.is_free(Space::Guest, pages.span) {
            self.write(pages)?;
        } else {
            // Each overlap is between two headers.
            let starts = (pages.span.start..pages.span.end()).step_by(len as usize);
            for start in starts {
                self.write(pages.within(Span::new(start, len)))?;
            }
        }
        Ok(Ok(()))
    }

    fn parameter_area(&mut self, area: &IGVM_VHS_PARAMETER_AREA, at: HeaderRef) -> Step {
        let index = area.parameter_area_index;
        let len = area.number_of_bytes;
        if let Some(first) = self.machine.areas.get(index).map(|first| first.header) {
            return Ok(Err(ProblemKind::AreaTwice { index, first }));
        }
        let source = match area.file_offset {
            0 => Source::Zero,
            offset => Source::File { offset: offset.into() },
        };
        let usable = aligned(len, PAGE_SIZE_4K)
            .and_then(|()| in_guest(Span::new(0, len)))
            .and_then(|()| self.has_data(area.file_offset, len));
        let kept = if usable.is_ok() { len } else { 0 };
        let area = self.machine.areas.declare(index, kept, at).map_err(areas_full)?;
        let extent = Extent::new(area.space(), Span::new(0, kept), source, at);
        self.write(extent.through(area.index))?;
        Ok(usable)
    }

    /// The area of an index that is still open.
    fn open_area(&self, index: u32) -> Result<Area, ProblemKind> {
        match self.machine.areas.get(index) {
            None => Err(ProblemKind::AreaUnknown { index }),
            Some(Area { inserted: Some(insertion), .. }) => {
                Err(ProblemKind::AreaRetired { index, inserted: insertion.header })
            }
            Some(area) => Ok(*area),
        }
    }

    fn parameter(
        &mut self,
        kind: ParameterKind,
        parameter: &IGVM_VHS_PARAMETER,
        at: HeaderRef,
    ) -> Step {
        let area = match self.open_area(parameter.parameter_area_index) {
            Ok(area) => area,
            Err(kind) => return Ok(Err(kind)),
        };
        let Some(len) = self.host.parameter(kind).map(|bytes| bytes.len) else {
            return Ok(Err(ProblemKind::ParameterNotOffered { kind }));
        };
        let offset = u64::from(parameter.byte_offset);
        let span = Span::new(offset, len);
        if span.end() > area.len {
            let area_len = area.len;
            return Ok(Err(ProblemKind::ParameterDoesNotFit { kind, offset, len, area_len }));
        }
        let source = Source::Parameter { kind, offset: 0 };
        let extent = Extent::new(area.space(), span, source, at);
        let initial = area.header;
        let problem = &mut *self.problem;
        let mut report = |overlap: Overlap| {
            // Parameters are meant to stand over the area's initial bytes.
            if overlap.earlier != initial {
                problem(Problem { header: at, kind: ProblemKind::Overlap(overlap) });
            }
        };
        self.machine.image.write(extent.through(area.index), &mut report).map_err(extents_full)?;
        Ok(Ok(()))
    }

    fn parameter_insert(&mut self, insert: &IGVM_VHS_PARAMETER_INSERT, at: HeaderRef) -> Step {
        let area = match self.open_area(insert.parameter_area_index) {
            Ok(area) => area,
            Err(kind) => return Ok(Err(kind)),
        };
        let gpa = self.machine.regions.moved(insert.gpa);
        let to = Span::new(gpa, area.len);
        if let Err(kind) = aligned(insert.gpa, PAGE_SIZE_4K).and_then(|()| in_guest(to)) {
            return Ok(Err(kind));
        }
        self.machine.areas.retire(area.index, Insertion { gpa, header: at });
        // The whole range first, so that what it overwrites is reported once.
        self.write(Extent::new(Space::Guest, to, Source::Zero, at).through(area.index))?;
        let mut next = 0;
        loop {
            let piece = self.machine.image.extents_from(area.space(), next).next().copied();
            let Some(piece) = piece else { break };
            next = piece.span.end();
            let moved = piece.placed(Space::Guest, gpa.saturating_add(piece.span.start));
            self.machine.image.write(moved, &mut |_| {}).map_err(extents_full)?;
        }
        Ok(Ok(()))
    }

    fn required_memory(&mut self, required: &IGVM_VHS_REQUIRED_MEMORY, at: HeaderRef) -> Step {
        self.demand(Space::Required, required.gpa, required.number_of_bytes.into(), at)
    }

    fn error_range(&mut self, range: &IGVM_VHS_ERROR_RANGE, at: HeaderRef) -> Step {
        self.demand(Space::ErrorRange, range.gpa, range.size_bytes.into(), at)
    }

    fn region(&mut self, added: Result<Region, ProblemKind>) -> Step {
        match added {
            Ok(region) => {
                self.demand(Space::Region, region.span.start, region.span.len, region.header)
            }
            Err(kind) => Ok(Err(kind)),
        }
    }

    /// A range of the file's addresses that must be memory.
    fn demand(&mut self, space: Space, gpa: u64, len: u64, at: HeaderRef) -> Step {
        let span = Span::new(self.machine.regions.moved(gpa), len);
        if let Err(kind) = aligned(gpa, PAGE_SIZE_4K)
            .and_then(|()| aligned(len, PAGE_SIZE_4K))
            .and_then(|()| in_guest(span))
        {
            return Ok(Err(kind));
        }
        // Two demands for the same memory do not disturb each other.
        let extent = Extent::new(space, span, Source::Untouched, at);
        self.machine.image.write(extent, &mut |_| {}).map_err(extents_full)?;
        let created = self.host.required_memory == RequiredMemoryPolicy::Create;
        Ok(match self.host.first_missing(span) {
            // Memory for errors is the loader's to give, whatever the policy.
            Some(span) if space != Space::ErrorRange => {
                Err(ProblemKind::MemoryMissing { span, created })
            }
            _ => Ok(()),
        })
    }

    fn vp_context(&mut self, context: &IGVM_VHS_VP_CONTEXT, at: HeaderRef) -> Step {
        let vp_index = context.vp_index;
        let processors = self.host.processors;
        if context.file_offset == 0 {
            return Ok(Err(ProblemKind::ContextMissing));
        }
        if matches!(self.machine.platform(), Platform::SEV_ES | Platform::SEV_SNP) {
            // The save area itself is a page of the guest.
            let gpa = self.machine.regions.moved(context.gpa.get());
            let span = Span::new(gpa, PAGE_SIZE_4K);
            let usable = aligned(gpa, PAGE_SIZE_4K)
                .and_then(|()| in_guest(span))
                .and_then(|()| self.has_data(context.file_offset, PAGE_SIZE_4K));
            if let Err(kind) = usable {
                return Ok(Err(kind));
            }
            let source = Source::File { offset: context.file_offset.into() };
            self.write(Extent::new(Space::Guest, span, source, at))?;
        }
        let Some(processor) = self.machine.processors.get_mut(usize::from(vp_index)) else {
            return Ok(Err(ProblemKind::ContextWithoutProcessor { vp_index, processors }));
        };
        // Read at the end: only the last one of a processor counts.
        Ok(match processor.context.replace(at) {
            Some(earlier) => Err(ProblemKind::ContextTwice { vp_index, earlier }),
            None => Ok(()),
        })
    }

    /// Reads the context of each processor that has one.
    fn contexts(&mut self) {
        let platform = self.machine.platform();
        let reader = ContextReader {
            data: self.data,
            file_len: self.file.file_len(),
            architecture: self.file.fixed().architecture(),
        };
        for vp in 0..self.machine.processors.len() {
            let Some(processor) = self.machine.processors.get_mut(vp) else { continue };
            let Some(at) = processor.context.take() else { continue };
            let mut fresh = Processor::reset(processor.vp_index);
            let Some(Value::VpContext(context)) = self.file.header(at).map(|header| header.value())
            else {
                continue;
            };
            reader.load(platform, &context, at, &mut fresh, &mut |kind| self.report(at, kind));
            if let Some(processor) = self.machine.processors.get_mut(vp) {
                *processor = fresh;
            }
        }
    }

    /// Registers and page tables follow the regions that moved.
    fn follow_relocations(&mut self) -> Result<(), LoadError> {
        if !self.machine.regions.iter().any(Region::is_moved) {
            return Ok(());
        }
        let tables =
            self.machine.regions.iter().find(|region| region.page_tables.is_some()).copied();
        if let Some(tables) = tables
            && let Err((linear, why)) = self.fix_page_tables(&tables)?
        {
            self.report(tables.header, ProblemKind::FixupFailed { linear, why });
        }
        let root = tables.and_then(|tables| self.root(&tables));
        let Machine { regions, processors, .. } = &mut self.machine;
        for processor in processors.iter_mut().filter(|processor| processor.start == Start::Runs) {
            let registers = &mut processor.registers;
            // Processors that share the tables follow them too.
            if root == Some(registers.cr3)
                && let Some(tables) = tables
            {
                registers.cr3 = tables.moved(registers.cr3);
            }
            let of_this = |region: &&Region| u32::from(region.vp_index) == processor.vp_index;
            for region in regions.iter().filter(of_this) {
                if region.apply_pc {
                    registers.rip = region.moved(registers.rip);
                }
                if region.apply_gdtr {
                    registers.gdtr.base = region.moved(registers.gdtr.base);
                }
            }
        }
        Ok(())
    }

    /// CR3 of the processor that the page table region names, as in the file.
    fn root(&self, tables: &Region) -> Option<u64> {
        let processor = self.machine.processors.get(usize::from(tables.vp_index))?;
        Some(processor.registers.cr3)
    }

    fn fix_page_tables(
        &mut self,
        tables: &Region,
    ) -> Result<Result<(), (u64, FixupFailure)>, LoadError> {
        let Some(processor) = self.machine.processors.get(usize::from(tables.vp_index)) else {
            return Ok(Err((0, FixupFailure::NotLongMode)));
        };
        let registers = processor.registers;
        match PagingMode::of(&registers) {
            PagingMode::Level4 => {}
            PagingMode::Level5 => return Ok(Err((0, FixupFailure::FiveLevel))),
            _ => return Ok(Err((0, FixupFailure::NotLongMode))),
        }
        let used_len = tables.page_tables.unwrap_or(0);
        let Some(used) = used_len
            .checked_div(PAGE_SIZE_4K)
            .and_then(|pages| usize::try_from(pages).ok())
            .filter(|pages| *pages <= self.machine.fixups.len())
        else {
            return Ok(Err((0, FixupFailure::StorageFull)));
        };
        // The copies to change, out of the way of the machine they come from.
        let pages = core::mem::take(&mut self.machine.fixups);
        let result = self.fix_pages(tables, registers.cr3, used, pages);
        let result = match result {
            Ok(used) => self.write_fixups(tables, used, pages)?,
            Err(failure) => Err(failure),
        };
        self.machine.fixups = pages;
        Ok(result)
    }

    fn fix_pages(
        &self,
        tables: &Region,
        cr3: u64,
        used: usize,
        pages: &mut [FixupPage],
    ) -> Result<usize, (u64, FixupFailure)> {
        const ROOT_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
        let memory = self.machine.memory(self.data, self.host);
        for (page, gpa) in pages.iter_mut().take(used).zip(page_addresses(tables.to)) {
            memory.read(gpa, page).map_err(|_| (0, FixupFailure::Unreadable))?;
        }
        let originals = MovedTables { memory: &memory, region: tables };
        let mut fixup = Fixup {
            region: *tables,
            regions: &self.machine.regions,
            originals,
            pages,
            used,
            root: cr3 & ROOT_ADDRESS,
        };
        fixup.run()
    }

    /// Puts the changed pages over the file's.
    fn write_fixups(
        &mut self,
        tables: &Region,
        used: usize,
        pages: &[FixupPage],
    ) -> Result<Result<(), (u64, FixupFailure)>, LoadError> {
        let offsets = (0u64..).step_by(PAGE_SIZE_4K as usize);
        for ((page, gpa), offset) in
            pages.iter().take(used).zip(page_addresses(tables.to)).zip(offsets)
        {
            let mut original = [0; PAGE_SIZE_4K as usize];
            let memory = self.machine.memory(self.data, self.host);
            if memory.read(gpa, &mut original).is_err() {
                return Ok(Err((0, FixupFailure::Unreadable)));
            }
            if original == *page {
                continue;
            }
            let span = Span::new(gpa, PAGE_SIZE_4K);
            let extent = Extent::new(Space::Guest, span, Source::Fixup { offset }, tables.header);
            self.machine.image.write(extent, &mut |_| {}).map_err(extents_full)?;
        }
        Ok(Ok(()))
    }

    /// Writes to guest memory or a parameter area, reporting what is lost.
    #[inline]
    fn write(&mut self, extent: Extent) -> Result<(), LoadError> {
        let Machine { image, .. } = &mut self.machine;
        let problem = &mut *self.problem;
        image
            .write(extent, &mut |overlap: Overlap| {
                problem(Problem { header: overlap.later, kind: ProblemKind::Overlap(overlap) });
            })
            .map_err(extents_full)
    }

    fn has_data(&self, file_offset: u32, len: u64) -> Result<(), ProblemKind> {
        let span = Span::new(file_offset.into(), len);
        let file_len = self.file.file_len();
        if file_offset != 0 && span.end() > file_len {
            return Err(ProblemKind::DataMissing { span, file_len });
        }
        Ok(())
    }

    /// The file must be one whose machine this loader can compute.
    fn expect_x86(&mut self) {
        let fixed = self.file.fixed();
        let architecture = fixed.architecture();
        if architecture != IgvmArchitecture::X64 {
            self.report(HeaderRef::default(), ProblemKind::NotX86 { architecture });
        }
        let page_size = fixed.page_size();
        if u64::from(page_size) != PAGE_SIZE_4K {
            self.report(HeaderRef::default(), ProblemKind::PageSize { page_size });
        }
    }

    /// A relocation that the host asks for must name a region of the file.
    fn expect_region(&mut self, from: u64, to: u64) {
        let mask = self.machine.platform.compatibility_mask;
        let named = self
            .file
            .headers()
            .take_while(|header| header.section() <= crate::wire::HeaderSection::Initialization);
        let found = named.map(|header| header.value()).any(|value| {
            value.applies_to(mask)
                && match value {
                    Value::RelocatableRegion(region) => region.relocation_region_gpa == from,
                    Value::PageTableRelocationRegion(region) => region.gpa == from,
                    _ => false,
                }
        });
        if !found {
            let why = RelocationRefusal::NoSuchRegion { from };
            self.report(HeaderRef::default(), ProblemKind::RelocationRefused { to, why });
        }
    }
}

/// A directive: done, not done, or out of storage.
type Step = Result<Result<(), ProblemKind>, LoadError>;

fn extents_full(_: Full) -> LoadError {
    LoadError::StorageFull(StorageKind::Extents)
}

fn areas_full(_: Full) -> LoadError {
    LoadError::StorageFull(StorageKind::Areas)
}

fn page_addresses(start: u64) -> impl Iterator<Item = u64> {
    (start..).step_by(PAGE_SIZE_4K as usize)
}

/// The original tables, which were loaded at the region's new place.
struct MovedTables<'a, D: ?Sized> {
    memory: &'a super::GuestMemory<'a, D>,
    region: &'a Region,
}

impl<D: FileData + ?Sized> Originals for MovedTables<'_, D> {
    fn entry(&self, gpa: u64) -> Option<u64> {
        let mut bytes = [0; size_of::<u64>()];
        self.memory.read(self.region.moved(gpa), &mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}
