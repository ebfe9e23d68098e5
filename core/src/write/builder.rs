//! [`FileBuilder`]: a [`Writer`] whose storage grows.

use alloc::vec::Vec;

use super::blob::{Slot, rehash};
use super::writer::State;
use super::{HeaderSpec, Storage, Version, WriteError, Writer};

/// Builds one file in memory of its own. Headers appear in the file in the
/// order they are pushed.
pub struct FileBuilder {
    state: State,
    headers: Vec<u8>,
    data: Vec<u8>,
    slots: Vec<Slot>,
}

impl FileBuilder {
    /// An empty file.
    pub fn new(version: Version) -> Self {
        Self {
            state: State::new(version),
            headers: Vec::new(),
            data: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// See [`Writer::allow_any_order`].
    pub fn allow_any_order(&mut self) {
        self.state.allow_any_order();
    }

    /// See [`Writer::push`].
    ///
    /// # Errors
    /// As there, but never for want of room below 4 GiB.
    pub fn push(&mut self, spec: HeaderSpec<'_>) -> Result<(), WriteError> {
        self.grow_until(|writer| writer.push(spec))
    }

    /// See [`Writer::push_optional`].
    ///
    /// # Errors
    /// As for [`FileBuilder::push`].
    pub fn push_optional(&mut self, spec: HeaderSpec<'_>) -> Result<(), WriteError> {
        self.grow_until(|writer| writer.push_optional(spec))
    }

    /// The finished file.
    pub fn finish(mut self) -> Vec<u8> {
        let writer = self.writer();
        let mut file = Vec::with_capacity(writer.file_len());
        writer.finish(&mut |bytes| file.extend_from_slice(bytes));
        file
    }

    fn writer(&mut self) -> Writer<'_> {
        let storage =
            Storage { headers: &mut self.headers, data: &mut self.data, slots: &mut self.slots };
        Writer::resume(self.state, storage)
    }

    /// A push that fails changes nothing, so it can be tried again with more
    /// room of the kind that was missing.
    fn grow_until(
        &mut self,
        push: impl Fn(&mut Writer<'_>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        loop {
            let mut writer = self.writer();
            match push(&mut writer) {
                Ok(()) => {
                    self.state = writer.state;
                    return Ok(());
                }
                Err(WriteError::HeaderSpace { needed }) => grow(&mut self.headers, needed),
                Err(WriteError::DataSpace { needed }) => grow(&mut self.data, needed),
                Err(WriteError::SlotSpace { needed }) => {
                    let mut slots = Vec::new();
                    grow(&mut slots, needed.max(32));
                    rehash(&self.slots, &mut slots);
                    self.slots = slots;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Doubles, at least.
fn grow<T: Clone + Default>(storage: &mut Vec<T>, needed: usize) {
    storage.resize(needed.saturating_mul(2), T::default());
}
