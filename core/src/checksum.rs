//! CRC-32 (IEEE), as the fixed header wants it.
//!
//! A page is loaded before it is used, so where it runs the table is small; the
//! headers of a file are short beside what else is done with them.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crc32fast::Hasher;

#[cfg(target_arch = "wasm32")]
pub(crate) use small::Hasher;

#[cfg(target_arch = "wasm32")]
mod small {
    use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};

    static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

    /// The same as crc32fast's, with 1 KiB of table instead of 16.
    pub(crate) struct Hasher(Digest<'static, u32, Table<1>>);

    impl Hasher {
        pub(crate) fn new() -> Self {
            Self(CRC.digest())
        }

        pub(crate) fn update(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        pub(crate) fn finalize(self) -> u32 {
            self.0.finalize()
        }
    }
}
