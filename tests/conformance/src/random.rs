//! Random numbers that a seed determines, so that a failing case has a name.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators").
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 32 bits.
    pub fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.u64() % limit
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Any bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.u64().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }

    /// `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A number around the places where numbers overflow, or any.
    pub fn edge(&mut self) -> u64 {
        let base = self.pick(&[
            0,
            1,
            8,
            24,
            32,
            0xfff,
            0x1000,
            0x20_0000,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            1 << 47,
            1 << 52,
            1 << 60,
            1 << 63,
            u64::MAX,
        ]);
        match self.below(4) {
            0 => self.u64(),
            1 => base,
            _ => base.wrapping_add(self.below(17)).wrapping_sub(8),
        }
    }
}
