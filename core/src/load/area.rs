//! Parameter areas.

use super::extent::Space;
use super::ordered::{Block, Entry, Full, Ordered};
use crate::file::HeaderRef;

/// A piece of storage for parameter areas.
pub type AreaBlock = Block<Area>;

/// A parameter area that the file declares (`IGVM_VHS_PARAMETER_AREA`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// `parameter_area_index`, the file's name for it.
    pub index: u32,
    /// Bytes it has.
    pub len: u64,
    /// The header that declared it.
    pub header: HeaderRef,
    /// Where it went, once it was inserted; its index is retired then.
    pub inserted: Option<Insertion>,
}

/// An area copied into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insertion {
    /// The guest physical address.
    pub gpa: u64,
    /// The PARAMETER_INSERT header.
    pub header: HeaderRef,
}

impl Area {
    /// The address space of its inside.
    pub fn space(&self) -> Space {
        Space::Area(self.index)
    }
}

impl Entry for Area {
    type Key = u32;

    fn key(&self) -> u32 {
        self.index
    }
}

/// The areas of a machine, by index.
#[derive(Debug)]
pub struct Areas<'s> {
    areas: Ordered<'s, Area>,
}

impl<'s> Areas<'s> {
    pub(crate) fn new(blocks: &'s mut [AreaBlock]) -> Self {
        Self { areas: Ordered::new(blocks) }
    }

    /// All areas by index.
    pub fn iter(&self) -> impl Iterator<Item = &Area> {
        self.areas.iter()
    }

    /// The area of this index.
    pub fn get(&self, index: u32) -> Option<&Area> {
        self.areas.get(self.areas.find(index)?)
    }

    /// Adds an area whose index is not taken.
    pub(crate) fn declare(
        &mut self,
        index: u32,
        len: u64,
        header: HeaderRef,
    ) -> Result<Area, Full> {
        let area = Area { index, len, header, inserted: None };
        self.areas.insert(area)?;
        Ok(area)
    }

    pub(crate) fn retire(&mut self, index: u32, insertion: Insertion) {
        if let Some(at) = self.areas.find(index)
            && let Some(area) = self.areas.get_mut(at)
        {
            area.inserted = Some(insertion);
        }
    }
}
