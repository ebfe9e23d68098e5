//! The person at the terminal: what is typed goes to the guest, a few keys are
//! ours, and the terminal is left as it was found.
//!
//! - [`Keys`]: which keys are ours.
//! - [`RawTerminal`]: the terminal without line editing, and back.
//! - [`listen`]: signals that ask for something; [`Over`]: nobody does it any more.
//! - [`Typist`]: standard input to the serial port.

mod keys;
mod raw;
mod signals;
mod typist;

pub use keys::{HELP, Key, Keys};
pub use raw::{Before, RawTerminal};
pub use signals::{Over, listen};
pub use typist::Typist;
