//! What is open and what is looked at. Knows nothing of markup or of browsers.

pub mod blocks;
pub mod code;
pub mod document;
pub mod filter;
pub mod focus;
pub mod machine;
pub mod opened;
pub mod paging;
pub mod picture;
pub mod related;
pub mod start;
pub mod window;
