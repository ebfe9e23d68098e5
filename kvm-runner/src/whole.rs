//! Files that are complete or not there, whatever happens meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that appears under its name when it is complete. Until then it has
/// none, so that nothing is left of it if this process is killed.
pub struct WholeFile {
    /// Where to write.
    pub file: File,
    target: Target,
}

enum Target {
    /// The file has no name yet; this will be it.
    Nameless(PathBuf),
    /// The file system knows no files without a name.
    Named(tempfile::TempPath, PathBuf),
    /// A device or a pipe.
    Direct,
}

impl WholeFile {
    /// Makes a file that will be called `path`.
    ///
    /// # Errors
    /// Fails where there is no such folder, or no leave to write there.
    pub fn create(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if !metadata.is_file() => {
                let file = OpenOptions::new().write(true).open(path)?;
                return Ok(Self { file, target: Target::Direct });
            }
            _ => {}
        }
        let folder = folder_of(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o666);
        match options.open(folder) {
            Ok(file) => Ok(Self { file, target: Target::Nameless(path.to_owned()) }),
            Err(error) if is_unknown(&error) => {
                let named = tempfile::Builder::new().prefix(".kvm-runner-").tempfile_in(folder)?;
                let (file, partial) = named.into_parts();
                Ok(Self { file, target: Target::Named(partial, path.to_owned()) })
            }
            Err(error) => Err(error),
        }
    }

    /// Where it will appear; nowhere new if it is a device or a pipe.
    pub fn folder(&self) -> Option<&Path> {
        match &self.target {
            Target::Nameless(path) | Target::Named(_, path) => Some(folder_of(path)),
            Target::Direct => None,
        }
    }

    /// The file is complete: gives it its name, in place of what had it.
    ///
    /// # Errors
    /// Fails where the file system does.
    pub fn finish(self) -> io::Result<()> {
        match self.target {
            Target::Direct => Ok(()),
            Target::Named(partial, path) => Ok(partial.persist(path)?),
            Target::Nameless(path) => match link(&self.file, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let mut beside = path.clone().into_os_string();
                    beside.push(format!(".{}", std::process::id()));
                    link(&self.file, Path::new(&beside))?;
                    fs::rename(beside, path)
                }
                linked => linked,
            },
        }
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Whether the file system, or the kernel, knows no O_TMPFILE.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL))
}

/// Gives a file a name (open(2), O_TMPFILE).
fn link(file: &File, path: &Path) -> io::Result<()> {
    let nul = |bytes: &[u8]| std::ffi::CString::new(bytes).map_err(io::Error::from);
    let from = nul(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    let to = nul(path.as_os_str().as_bytes())?;
    // SAFETY: both are strings that end with a zero and live until the call is
    // over; the call touches no other memory.
    let linked = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    if linked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete_and_replaces_another() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("dump");
        for content in ["first", "second"] {
            let before = fs::read_to_string(&path).ok();
            let mut whole = WholeFile::create(&path)?;
            whole.file.write_all(content.as_bytes())?;
            assert_eq!(fs::read_to_string(&path).ok(), before);
            whole.finish()?;
            assert_eq!(fs::read_to_string(&path)?, content);
        }
        drop(WholeFile::create(&folder.path().join("never"))?);
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
