//! What a person types to go somewhere.

use igvm_core::x86::Register;

use super::focus::{Pane, Selection};

/// What can be typed, each with what it is.
pub const FORMS: [(&str, &str); 6] = [
    ("0x1000", "a guest physical address; also: guest 1000"),
    ("file 0x118", "an offset in the file"),
    ("linear 0x1000", "a linear address, as the processor in focus sees it"),
    ("header 12", "a header by number; also: #12"),
    ("rip", "a register of the first processor"),
    ("1.rip", "a register of processor 1"),
];

/// Characters of an entry that are looked at.
const ENTRY_MAX: usize = 80;

/// Understands an entry. A number without a word before it is an address
/// `bare` makes something of.
///
/// # Errors
/// A sentence.
pub fn parse(entry: &str, bare: fn(u64) -> Selection) -> Result<Selection, String> {
    let shown: String = entry.trim().chars().take(ENTRY_MAX).collect();
    let entry = shown.to_ascii_lowercase();
    if let Some((word, rest)) = entry.split_once([' ', ':']) {
        let address = |make: fn(u64) -> Selection| {
            let number = address(rest).ok_or(());
            number
                .map(make)
                .map_err(|()| format!("“{}” is not an address: write 0x1000.", rest.trim()))
        };
        match word {
            "guest" => return address(Selection::Guest),
            "file" => return address(Selection::File),
            "linear" => return address(Selection::Linear),
            "header" => return header(rest),
            _ => {}
        }
    }
    if let Some(number) = entry.strip_prefix('#') {
        return header(number);
    }
    if entry.starts_with("0x")
        && let Some(number) = address(&entry)
    {
        return Ok(bare(number));
    }
    if let Some(register) = register(&entry) {
        return Ok(register);
    }
    Err(match entry.as_str() {
        "" => "Type where to go: 0x1000, file 0x118, header 12 or rip.".into(),
        digits if address(digits).is_some() => format!(
            "“{shown}” can be several things: write 0x{shown} for an address, header {shown} for \
             a header."
        ),
        _ => format!(
            "“{shown}” is not a place: write an address as 0x1000, file 0x118, linear 0x1000, \
             header 12, or a register as rip or 1.rip."
        ),
    })
}

/// A hexadecimal number, with or without `0x`; `_` may group its digits.
pub fn address(text: &str) -> Option<u64> {
    let digits = text.trim().replace('_', "");
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    // A sign is none of ours.
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn header(text: &str) -> Result<Selection, String> {
    let text = text.trim();
    let number = text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok());
    number
        .flatten()
        .map(Selection::Header)
        .ok_or_else(|| format!("“{text}” is not the number of a header: write header 12."))
}

fn register(text: &str) -> Option<Selection> {
    let (vp_index, name) = text.split_once('.').unwrap_or(("0", text));
    Some(Selection::Register(vp_index.parse().ok()?, Register::by_name(name)?))
}

/// The pane to look at a place in: the one in use, if it shows such places.
pub fn pane_for(selection: Selection, in_use: Pane) -> Pane {
    let (panes, usual): (&[Pane], _) = match selection {
        Selection::Header(_) => (&[Pane::Headers, Pane::Hex], Pane::Headers),
        Selection::Register(..) => (&[Pane::Processors], Pane::Processors),
        Selection::Guest(_) => (&[Pane::Memory, Pane::Hex, Pane::Code], Pane::Hex),
        Selection::File(_) => (&[Pane::Hex], Pane::Hex),
        Selection::Linear(_) => (&[Pane::Paging, Pane::Code, Pane::Hex], Pane::Paging),
    };
    if panes.contains(&in_use) { in_use } else { usual }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn understood(entry: &str) -> Result<Selection, String> {
        parse(entry, Selection::Guest)
    }

    #[test]
    fn every_form_that_is_listed_is_understood() {
        for (form, _) in FORMS {
            assert!(understood(form).is_ok(), "{form}");
        }
        for (entry, expected) in [
            ("0x1000", Selection::Guest(0x1000)),
            (" 0xFFFF_F000 ", Selection::Guest(0xffff_f000)),
            ("guest 1000", Selection::Guest(0x1000)),
            ("file 0x118", Selection::File(0x118)),
            ("file:118", Selection::File(0x118)),
            ("linear ffff_ffff_8000_0000", Selection::Linear(0xffff_ffff_8000_0000)),
            ("header 12", Selection::Header(12)),
            ("#12", Selection::Header(12)),
            ("RIP", Selection::Register(0, Register::Rip)),
            ("1.cr3", Selection::Register(1, Register::Cr3)),
        ] {
            assert_eq!(understood(entry), Ok(expected), "{entry}");
        }
        assert_eq!(parse("0x10", Selection::File), Ok(Selection::File(0x10)));
    }

    #[test]
    fn what_is_no_place_gets_a_sentence() {
        for (entry, start) in [
            ("", "Type where to go"),
            ("1000", "“1000” can be several things"),
            ("guest xyz", "“xyz” is not an address"),
            ("header 0x1", "“0x1” is not the number of a header"),
            ("header 99999999999", "“99999999999” is not the number"),
            ("0x1ffffffffffffffff", "“0x1ffffffffffffffff” is not a place"),
            ("nowhere", "“nowhere” is not a place"),
        ] {
            let error = understood(entry).unwrap_err();
            assert!(error.starts_with(start) && error.ends_with('.'), "{entry}: {error}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_typed(entry in ".{0,100}", number in any::<u64>()) {
            if let Err(sentence) = understood(&entry) {
                prop_assert!(sentence.chars().count() < 400);
            }
            prop_assert_eq!(understood(&format!("{number:#x}")), Ok(Selection::Guest(number)));
        }
    }
}
