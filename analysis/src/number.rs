//! Numbers as people type them.

use igvm_core::load::Relocation;

/// A number: `4096` or `0x1000`; `_` may group its digits.
///
/// # Errors
/// A sentence that says what to type.
pub fn number(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    }
    .map_err(|_| "give a number, in decimal or as 0x1000".to_owned())
}

/// A number of bytes: `4096`, `0x1000`, `64K`, `256M`, `4G`, `1T`.
///
/// # Errors
/// A sentence that says what to type.
pub fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let unit = text
        .chars()
        .next_back()
        .and_then(|last| UNITS.into_iter().find(|(unit, _)| last.eq_ignore_ascii_case(unit)));
    let (digits, shift) = match unit {
        Some((_, shift)) => (&text[..text.len() - 1], shift),
        None => (text, 0),
    };
    number(digits)
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "give a number of bytes, or of K, M, G or T: 256M".to_owned())
}

/// A relocation: `0x100000=0x40000000`.
///
/// # Errors
/// A sentence that says what to type.
pub fn relocation(text: &str) -> Result<Relocation, String> {
    let (from, to) = text.split_once('=').ok_or("give two addresses: 0x100000=0x40000000")?;
    Ok(Relocation { from: number(from)?, to: number(to)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("4096", 4096), ("0x1000", 4096), ("64k", 65536), ("1_0G", 10 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "0x", "1.5G", "16777216T", "é", "Ｍ", "1e3"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
