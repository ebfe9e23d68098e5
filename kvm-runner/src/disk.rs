//! A disk in a file or on a block device.
//!
//! What the guest has written is in the file at once, for whoever reads it: a
//! runner that is killed loses nothing. A flush makes it survive a loss of power.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use igvm_devices::Disk;

const SECTOR: u64 = 512;

/// A disk's image, open and locked.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    size: u64,
    writable: bool,
}

/// Why an image cannot be a disk.
#[derive(Debug)]
pub struct DiskError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Open { writable: bool, error: io::Error },
    NotADisk,
    Size(u64),
    InUse { writable: bool },
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Reason::Open { writable: false, error } => {
                write!(f, "the disk {path} cannot be opened: {error}")
            }
            Reason::Open { writable: true, error } => {
                write!(f, "the disk {path} cannot be opened for writing: {error}")
            }
            Reason::NotADisk => {
                write!(f, "the disk {path} is neither a regular file nor a block device")
            }
            Reason::Size(size) => write!(
                f,
                "the disk {path} has {size} bytes, which is not a number of sectors of {SECTOR} \
                 bytes"
            ),
            Reason::InUse { writable: false } => {
                write!(f, "the disk {path} is being written by another process")
            }
            Reason::InUse { writable: true } => write!(
                f,
                "the disk {path} is in use by another process, and two that write would spoil it"
            ),
        }
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Open { error, .. } => Some(error),
            Reason::NotADisk | Reason::Size(_) | Reason::InUse { .. } => None,
        }
    }
}

impl DiskFile {
    /// Opens a regular file or a block device. One runner may write it, or
    /// several read it: a lock (flock) that the others look at, too.
    ///
    /// # Errors
    /// Fails where it cannot be opened, is not a disk or is in use.
    pub fn open(path: &Path, writable: bool) -> Result<Self, DiskError> {
        let failed = |reason| DiskError { path: path.to_owned(), reason };
        let unopened = |error| failed(Reason::Open { writable, error });
        let mut file = OpenOptions::new()
            .read(true)
            .write(writable)
            // A pipe would wait for its other end.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(unopened)?;
        let kind = file.metadata().map_err(unopened)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(failed(Reason::NotADisk));
        }
        let locked = if writable { file.try_lock() } else { file.try_lock_shared() };
        match locked {
            // A file system without locks keeps nobody from anything.
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(unopened(error));
            }
            Err(TryLockError::WouldBlock) => return Err(failed(Reason::InUse { writable })),
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let size = file.seek(SeekFrom::End(0)).map_err(unopened)?;
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Err(failed(Reason::Size(size)));
        }
        Ok(Self { file, size, writable })
    }
}

impl Disk for DiskFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        !self.writable
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing was written, so nothing has to be kept; and a file that is
        // open for reading need not be one that can be synced.
        if self.writable { self.file.sync_data() } else { Ok(()) }
    }
}
