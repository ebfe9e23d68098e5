//! Numbers as reports show them.

use std::fmt;

use serde::{Serialize, Serializer};

/// A number that can pass 2^53: `0x1f` in text, the string `"0x1f"` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:#x}", self.0))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes in words: `4 KiB`, `2.5 MiB`, `17 bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 5] =
            [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let text = match UNITS.iter().find(|(shift, _)| self.0 >> shift != 0) {
            None if self.0 == 1 => "1 byte".to_owned(),
            None => format!("{} bytes", self.0),
            Some((shift, unit)) => {
                // Tenths, rounded down: a size is never said to be larger
                // than it is.
                let tenths = (u128::from(self.0) * 10) >> shift;
                match (tenths / 10, tenths % 10) {
                    (whole, 0) => format!("{whole} {unit}"),
                    (whole, tenth) => format!("{whole}.{tenth} {unit}"),
                }
            }
        };
        f.pad(&text)
    }
}
