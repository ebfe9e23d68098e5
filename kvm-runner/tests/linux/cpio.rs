//! An archive as the kernel unpacks it into its root: "new ASCII" cpio
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// S_IFDIR, S_IFREG and S_IFCHR with everybody's rights.
const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const CHARACTER: u32 = 0o020_600;

/// An archive on its way.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub(crate) fn directory(mut self, name: &str) -> Self {
        self.entry(name, DIRECTORY, (0, 0), &[]);
        self
    }

    /// A file that may be executed.
    pub(crate) fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.entry(name, FILE, (0, 0), bytes);
        self
    }

    /// A character device by its numbers.
    pub(crate) fn device(mut self, name: &str, major: u32, minor: u32) -> Self {
        self.entry(name, CHARACTER, (major, minor), &[]);
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) {
        self.entries += 1;
        let (inode, owner, group, links, time) = (self.entries, 0, 0, 1, 0);
        let (size, name_size) = (bytes.len() as u32, name.len() as u32 + 1);
        let fields =
            [inode, mode, owner, group, links, time, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(bytes);
        self.pad();
    }

    /// Names and contents start at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
