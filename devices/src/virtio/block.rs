//! The block device (virtio 1.2, section 5.2): a request is done, from the first
//! byte to the last, while the driver rings the bell.

use super::queue::{Broken, Chain, Segment, Virtqueue};
use crate::{Disk, Memory, NoMemory};

const SECTOR: u64 = 512;

/// Feature: `seg_max` is valid.
const SEG_MAX: u64 = 1 << 2;
/// Feature: `geometry` is valid.
const GEOMETRY: u64 = 1 << 4;
/// Feature: the disk cannot be written.
const RO: u64 = 1 << 5;
/// Feature: `blk_size` is valid.
const BLK_SIZE: u64 = 1 << 6;
/// Feature: there is a flush request. Without it every write is flushed.
pub(super) const FLUSH: u64 = 1 << 9;

/// Request types.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH_REQUEST: u32 = 4;
const GET_ID: u32 = 8;

/// A request's header: type, reserved, sector.
const HEADER: usize = 16;

/// What GET_ID answers: 20 bytes, filled up with zeroes.
const ID: [u8; 20] = *b"igvm-disk\0\0\0\0\0\0\0\0\0\0\0";

/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;

/// What one ring of the bell moves at most, whatever the requests say; what is
/// more than that fails. Drivers stay below: OVMF moves at most 1 GiB, with one
/// request; Linux at most 4 MiB with each of the 128 that a queue holds.
const MOVED_MAX: u64 = 2 << 30;

/// Status of a request that was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    IoError = 1,
    Unsupported = 2,
}

/// A disk and the buffer between it and the guest's memory.
pub(super) struct Block {
    pub(super) disk: Box<dyn Disk>,
    buffer: Box<[u8]>,
    left: u64,
    /// Something was written since the last flush.
    dirty: bool,
}

impl Block {
    pub(super) fn new(disk: Box<dyn Disk>) -> Self {
        Self { disk, buffer: vec![0; CHUNK].into_boxed_slice(), left: 0, dirty: false }
    }

    pub(super) fn features(&self) -> u64 {
        let read_only = if self.disk.read_only() { RO } else { 0 };
        SEG_MAX | GEOMETRY | BLK_SIZE | FLUSH | read_only
    }

    fn sectors(&self) -> u64 {
        self.disk.size() / SECTOR
    }

    /// The device configuration, up to `blk_size` (`struct virtio_blk_config`).
    pub(super) fn config(&self) -> [u8; 24] {
        // Heads and sectors of a track are the largest that any BIOS call can
        // say; with the geometry a BIOS finds sectors for software that asks
        // for them by cylinder, head and sector.
        const HEADS: u8 = 16;
        const TRACK: u8 = 63;
        let cylinders = self.sectors() / (u64::from(HEADS) * u64::from(TRACK));
        // A header and a status besides the segments.
        let segments = u32::from(Virtqueue::SIZE_MAX) - 2;
        let mut config = [0; 24];
        config[0..8].copy_from_slice(&self.sectors().to_le_bytes());
        config[12..16].copy_from_slice(&segments.to_le_bytes());
        config[16..18].copy_from_slice(&(cylinders.clamp(1, 16383) as u16).to_le_bytes());
        config[18..20].copy_from_slice(&[HEADS, TRACK]);
        config[20..24].copy_from_slice(&(SECTOR as u32).to_le_bytes());
        config
    }

    /// Begins a round of requests: [`MOVED_MAX`] counts from here.
    pub(super) fn begin(&mut self) {
        self.left = MOVED_MAX;
    }

    /// What was written is safe after this. Costs nothing where nothing was: a
    /// driver may ask as often as it likes.
    fn flush(&mut self) -> Result<(), Refusal> {
        if self.dirty {
            self.disk.flush().map_err(|_| Refusal::IoError)?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Does a request, and says how many bytes it wrote to the guest: a part of
    /// the buffers from their beginning. `write_through` is to flush writes.
    ///
    /// # Errors
    /// Fails for a request without header or status, and where there is no
    /// memory.
    pub(super) fn request(
        &mut self,
        memory: &mut dyn Memory,
        chain: &Chain,
        write_through: bool,
    ) -> Result<u32, Broken> {
        let (header, data_out) = header(memory, &chain.readable)?;
        let (status_at, data_in) = status(&chain.writable)?;
        let [a, b, c, d, _, _, _, _, sector @ ..] = header;
        let sector = u64::from_le_bytes(sector);
        let done = match u32::from_le_bytes([a, b, c, d]) {
            IN => self.read(memory, sector, data_in)?,
            OUT => self.write(memory, sector, data_out, write_through)?,
            FLUSH_REQUEST => self.flush().map(|()| 0),
            GET_ID => {
                let mut data_in = data_in;
                let mut written = 0;
                while let Some(piece) = data_in.next(ID.len() - written) {
                    memory.write(piece.gpa, &ID[written..written + piece.len as usize])?;
                    written += piece.len as usize;
                }
                Ok(written as u32)
            }
            _ => Err(Refusal::Unsupported),
        };
        memory.write(status_at, &[done.map_or_else(|refusal| refusal as u8, |_| 0)])?;
        // The status is the last byte. It is among the first bytes written only
        // when everything before it was.
        let written = done.unwrap_or(0);
        Ok(if u64::from(written) == data_in.left { written.saturating_add(1) } else { written })
    }

    /// Where on the disk a request's data is, if it may be moved.
    fn place(&mut self, sector: u64, len: u64) -> Result<u64, Refusal> {
        let fits = len.is_multiple_of(SECTOR)
            && sector.checked_add(len / SECTOR).is_some_and(|end| end <= self.sectors());
        self.left = self.left.checked_sub(len).ok_or(Refusal::IoError)?;
        if fits { Ok(sector * SECTOR) } else { Err(Refusal::IoError) }
    }

    fn read(
        &mut self,
        memory: &mut dyn Memory,
        sector: u64,
        mut data: Pieces<'_>,
    ) -> Result<Result<u32, Refusal>, Broken> {
        let mut at = match self.place(sector, data.left) {
            Ok(at) => at,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut written = 0;
        while let Some(piece) = data.next(CHUNK) {
            let bytes = &mut self.buffer[..piece.len as usize];
            if self.disk.read_at(at, bytes).is_err() {
                return Ok(Err(Refusal::IoError));
            }
            memory.write(piece.gpa, bytes)?;
            at += u64::from(piece.len);
            written += piece.len;
        }
        Ok(Ok(written))
    }

    fn write(
        &mut self,
        memory: &mut dyn Memory,
        sector: u64,
        mut data: Pieces<'_>,
        write_through: bool,
    ) -> Result<Result<u32, Refusal>, Broken> {
        let mut at = match self.place(sector, data.left) {
            Ok(at) if !self.disk.read_only() => at,
            _ => return Ok(Err(Refusal::IoError)),
        };
        while let Some(piece) = data.next(CHUNK) {
            let bytes = &mut self.buffer[..piece.len as usize];
            memory.read(piece.gpa, bytes)?;
            self.dirty = true;
            if self.disk.write_at(at, bytes).is_err() {
                return Ok(Err(Refusal::IoError));
            }
            at += u64::from(piece.len);
        }
        Ok(if write_through { self.flush().map(|()| 0) } else { Ok(0) })
    }
}

/// The header, and what the driver has behind it. Where one buffer ends and the
/// next begins has no meaning (virtio 1.2, section 2.7.4).
fn header<'a>(
    memory: &mut dyn Memory,
    readable: &'a [Segment],
) -> Result<([u8; HEADER], Pieces<'a>), Broken> {
    let mut header = [0; HEADER];
    let mut pieces = Pieces::new(readable);
    let mut done = 0;
    while let Some(piece) = pieces.next(HEADER - done) {
        let end = done + piece.len as usize;
        memory.read(piece.gpa, &mut header[done..end])?;
        done = end;
    }
    if done == HEADER { Ok((header, pieces)) } else { Err(Broken::Request) }
}

/// Where the status goes, the last byte, and what comes before it.
fn status(writable: &[Segment]) -> Result<(u64, Pieces<'_>), Broken> {
    let last = writable.iter().rev().find(|segment| segment.len > 0).ok_or(Broken::Request)?;
    let mut pieces = Pieces::new(writable);
    pieces.left -= 1;
    let at = last.gpa.checked_add(u64::from(last.len - 1));
    Ok((at.ok_or(NoMemory { gpa: last.gpa })?, pieces))
}

/// The bytes of buffers, piece by piece.
#[derive(Clone, Copy)]
struct Pieces<'a> {
    segments: &'a [Segment],
    /// Bytes of the first segment that are gone.
    offset: u32,
    /// Bytes to come.
    left: u64,
}

impl<'a> Pieces<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        let left = segments.iter().map(|segment| u64::from(segment.len)).sum();
        Self { segments, offset: 0, left }
    }

    /// The next piece, of at most this many bytes and at least one; `None` at
    /// the end and for no bytes.
    fn next(&mut self, most: usize) -> Option<Segment> {
        loop {
            let (first, rest) = self.segments.split_first()?;
            let in_first = first.len - self.offset;
            if in_first == 0 {
                (self.segments, self.offset) = (rest, 0);
                continue;
            }
            let len = u64::from(in_first).min(most as u64).min(self.left) as u32;
            // Behind the end of addresses there is no memory, and what is there
            // when they begin again comes after a piece that has none.
            let gpa = first.gpa.wrapping_add(u64::from(self.offset));
            self.offset += len;
            self.left -= u64::from(len);
            return (len > 0).then_some(Segment { gpa, len });
        }
    }
}
