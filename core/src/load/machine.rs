//! The machine that loading makes.

use igvm_defs::{IGVM_VHS_SUPPORTED_PLATFORM, IgvmPlatformType};

use super::area::Areas;
use super::extent::Space;
use super::fixup::FixupPage;
use super::host::{Host, RequiredMemoryPolicy};
use super::image::MemoryImage;
use super::memory::GuestMemory;
use super::processor::Processor;
use super::region::Regions;
use crate::data::FileData;
use crate::span::Span;

/// A virtual machine in its first state: memory image and processors.
#[derive(Debug)]
pub struct Machine<'s> {
    pub(crate) platform: IGVM_VHS_SUPPORTED_PLATFORM,
    pub(crate) image: MemoryImage<'s>,
    pub(crate) areas: Areas<'s>,
    pub(crate) regions: Regions,
    pub(crate) processors: &'s mut [Processor],
    pub(crate) fixups: &'s mut [FixupPage],
    pub(crate) fatal_problems: u64,
}

impl Machine<'_> {
    /// The platform it was loaded for.
    pub fn platform(&self) -> IgvmPlatformType {
        self.platform.platform_type
    }

    /// The compatibility mask of that platform.
    pub fn compatibility_mask(&self) -> u32 {
        self.platform.compatibility_mask
    }

    /// Every byte that the file determines, and who wrote it.
    pub fn image(&self) -> &MemoryImage<'_> {
        &self.image
    }

    /// The parameter areas.
    pub fn areas(&self) -> &Areas<'_> {
        &self.areas
    }

    /// The relocatable regions.
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// The processors that the host starts, by number.
    pub fn processors(&self) -> &[Processor] {
        self.processors
    }

    /// The boot processor.
    pub fn boot_processor(&self) -> Option<&Processor> {
        self.processors.first()
    }

    /// Problems that forbid starting this machine (see
    /// [`ProblemKind::is_fatal`](super::ProblemKind::is_fatal)).
    pub fn fatal_problems(&self) -> u64 {
        self.fatal_problems
    }

    /// The memory with its bytes. `data` and `host` are the ones it was loaded
    /// with.
    pub fn memory<'a, D: FileData + ?Sized>(
        &'a self,
        data: &'a D,
        host: &'a Host<'a>,
    ) -> GuestMemory<'a, D> {
        GuestMemory { image: &self.image, data, host, fixups: self.fixups }
    }

    /// Whether the guest has memory at an address: the host's RAM, and what
    /// was created for the file.
    pub fn is_memory(&self, gpa: u64, host: &Host<'_>) -> bool {
        is_memory(&self.image, host, gpa)
    }

    /// All guest memory, in whole 4 KiB pages, by address and without
    /// overlaps: the host's RAM and what was created for the file.
    pub fn memory_ranges(&self, host: &Host<'_>, visit: &mut dyn FnMut(Span)) {
        let mut at = 0;
        while let Some(mut range) = self.next_memory(at, host) {
            while let Some(more) = self.next_memory(range.end(), host)
                && more.start <= range.end()
                && more.end() > range.end()
            {
                range.len = more.end().saturating_sub(range.start);
            }
            visit(range);
            at = range.end();
        }
    }

    /// The first piece of memory that ends above `at`, in whole pages, cut to
    /// what lies above.
    fn next_memory(&self, at: u64, host: &Host<'_>) -> Option<Span> {
        let of_host = host.ram.iter().copied().find(|ram| ram.end() > at && !ram.is_empty());
        let of_file = provided(host)
            .iter()
            .filter_map(|space| Some(self.image.extents_from(*space, at).next()?.span));
        let cut = |span: Span| {
            let start = (span.start & !PAGE_MASK).max(at);
            Span::between(start, span.end().saturating_add(PAGE_MASK) & !PAGE_MASK)
        };
        of_file
            .chain(of_host)
            .map(cut)
            .filter(|span| !span.is_empty())
            .min_by_key(|span| (span.start, core::cmp::Reverse(span.len)))
    }
}

/// The address spaces whose extents must be memory, given the host's policy.
fn provided(host: &Host<'_>) -> &'static [Space] {
    match host.required_memory {
        RequiredMemoryPolicy::Create => {
            &[Space::Guest, Space::Required, Space::ErrorRange, Space::Region]
        }
        RequiredMemoryPolicy::Fail => &[Space::Guest, Space::ErrorRange],
    }
}

/// Whether the guest has memory at an address.
pub(crate) fn is_memory(image: &MemoryImage<'_>, host: &Host<'_>, gpa: u64) -> bool {
    host.ram.iter().any(|ram| ram.contains(gpa))
        || provided(host).iter().any(|space| image.extent_at(*space, gpa).is_some())
}

const PAGE_MASK: u64 = igvm_defs::PAGE_SIZE_4K - 1;
