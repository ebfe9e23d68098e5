//! Keys that are ours: Ctrl-A and a letter, as in QEMU and screen.

/// Ctrl-A.
const ESCAPE: u8 = 0x01;

/// What Ctrl-A is good for.
pub const HELP: &str = "Ctrl-A x leaves, Ctrl-A r resets the machine, Ctrl-A s shows where it \
                        stands, Ctrl-A Ctrl-A types a Ctrl-A, Ctrl-A h shows this";

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A byte for the guest.
    Guest(u8),
    /// Leave.
    Leave,
    /// Reset the machine.
    Reset,
    /// Show where it stands.
    Show,
    /// Show [`HELP`].
    Help,
}

/// Tells the keys apart.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// Takes a byte that was typed. `None` after the first half of ours, and
    /// for a letter that means nothing.
    pub fn typed(&mut self, byte: u8) -> Option<Key> {
        if !self.escaped {
            self.escaped = byte == ESCAPE;
            return (!self.escaped).then_some(Key::Guest(byte));
        }
        self.escaped = false;
        match byte {
            ESCAPE => Some(Key::Guest(ESCAPE)),
            b'x' | b'X' => Some(Key::Leave),
            b'r' | b'R' => Some(Key::Reset),
            b's' | b'S' => Some(Key::Show),
            b'h' | b'H' | b'?' => Some(Key::Help),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever doubles every Ctrl-A types to the guest and nobody else.
        #[test]
        fn text_arrives(text in prop::collection::vec(prop_oneof![Just(ESCAPE), any::<u8>()], 0..40)) {
            let typed = text.iter().flat_map(|byte| {
                std::iter::repeat_n(*byte, if *byte == ESCAPE { 2 } else { 1 })
            });
            let mut keys = Keys::default();
            let arrived: Vec<_> = typed.filter_map(|byte| keys.typed(byte)).collect();
            let expected: Vec<_> = text.into_iter().map(Key::Guest).collect();
            prop_assert_eq!(arrived, expected);
        }
    }

    #[test]
    fn ours_are_not_the_guests() {
        let mut keys = Keys::default();
        let arrived: Vec<_> = b"a\x01xb\x01zc".iter().filter_map(|b| keys.typed(*b)).collect();
        let expected = [Key::Guest(b'a'), Key::Leave, Key::Guest(b'b'), Key::Guest(b'c')];
        assert_eq!(arrived, expected);
    }
}
