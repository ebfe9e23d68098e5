//! A file: its headers in memory, its data where it is.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use igvm_core::data::{FileData, ReadError};
use igvm_core::file::IgvmFile;
use igvm_core::span::Span;
use igvm_core::wire::{FixedHeader, FixedHeaderError};

/// An IGVM file that could at least be read.
#[derive(Debug)]
pub struct Document {
    head: Vec<u8>,
    len: u64,
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Memory(Vec<u8>),
    Disk(File),
}

impl Document {
    /// Opens a file on disk. Only its headers are read; never more than the
    /// file has, whatever it says of itself.
    ///
    /// # Errors
    /// When the path cannot be read or holds no IGVM file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let fail = |error| OpenError { path: path.to_owned(), error };
        // Before it is opened: opening a pipe waits for whoever writes to it.
        let metadata = path.metadata().map_err(|error| fail(Cause::Io(error)))?;
        if !metadata.is_file() {
            return Err(fail(Cause::NotAFile { directory: metadata.is_dir() }));
        }
        let file = File::open(path).map_err(|error| fail(Cause::Io(error)))?;
        let len = file.metadata().map_err(|error| fail(Cause::Io(error)))?.len();
        let head = read_head(&file, len).map_err(fail)?;
        Ok(Self { head, len, backing: Backing::Disk(file) })
    }

    /// A file whose bytes are in memory already.
    ///
    /// # Errors
    /// When they are no IGVM file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FixedHeaderError> {
        let fixed = FixedHeader::parse(&bytes)?;
        let len = bytes.len() as u64;
        let head = usize::try_from(IgvmFile::head_len(&fixed, len)).unwrap_or(bytes.len());
        Ok(Self { head: bytes[..head].to_vec(), len, backing: Backing::Memory(bytes) })
    }

    /// The decoded view.
    pub fn file(&self) -> IgvmFile<'_> {
        // The head parsed when this document was made.
        IgvmFile::from_head(&self.head, self.len).expect("the head of a document parses")
    }

    /// The file on disk, if it is there and not in memory.
    pub fn disk(&self) -> Option<&File> {
        match &self.backing {
            Backing::Disk(file) => Some(file),
            Backing::Memory(_) => None,
        }
    }
}

fn read_head(file: &File, len: u64) -> Result<Vec<u8>, Cause> {
    let read = |span: Span| {
        // A file with holes is as long as it likes, and so are its headers.
        let mut bytes = Vec::new();
        let len = span.len as usize;
        bytes.try_reserve_exact(len).map_err(|_| Cause::TooLong { headers: span.len })?;
        bytes.resize(len, 0);
        read_exact_at(file, span.start, &mut bytes).map(|()| bytes).map_err(Cause::Io)
    };
    let first = read(Span::new(0, len.min(FixedHeader::MAX_LEN as u64)))?;
    let fixed = FixedHeader::parse(&first).map_err(Cause::NotReadable)?;
    let head = read(Span::new(0, IgvmFile::head_len(&fixed, len)))?;
    // Once more: somebody may be writing to the file.
    FixedHeader::parse(&head).map_err(Cause::NotReadable)?;
    Ok(head)
}

impl FileData for Document {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        match &self.backing {
            Backing::Memory(bytes) => bytes.as_slice().read_at(offset, buf),
            Backing::Disk(file) => read_exact_at(file, offset, buf)
                .map_err(|_| ReadError { span: Span::new(offset, buf.len() as u64) }),
        }
    }

    fn bytes(&self, span: Span) -> Option<&[u8]> {
        match &self.backing {
            Backing::Memory(bytes) => bytes.as_slice().bytes(span),
            Backing::Disk(_) => None,
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buf.is_empty() {
        match file.seek_read(buf, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buf = &mut buf[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_exact_at(_: &File, _: u64, _: &mut [u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Why a path gives no document.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    error: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    NotAFile { directory: bool },
    TooLong { headers: u64 },
    NotReadable(FixedHeaderError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.error {
            Cause::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{path}: there is no such file")
            }
            Cause::Io(error) => write!(f, "{path}: {error}"),
            Cause::NotAFile { directory: true } => {
                write!(f, "{path}: this is a directory; name an IGVM file in it")
            }
            Cause::NotAFile { directory: false } => {
                write!(f, "{path}: this is not a regular file; copy its content into one first")
            }
            Cause::TooLong { headers } => write!(
                f,
                "{path}: the fixed header says that headers take {headers} bytes, for which there \
                 is no memory; at file offset 0xc stands how many they are"
            ),
            Cause::NotReadable(error) => write!(f, "{path}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.error {
            Cause::Io(error) => Some(error),
            Cause::NotReadable(error) => Some(error),
            Cause::NotAFile { .. } | Cause::TooLong { .. } => None,
        }
    }
}
