//! What is open and what is looked at. Knows nothing of markup or of browsers.

pub mod blocks;
pub mod changes;
pub mod comparison;
pub mod document;
pub mod filter;
pub mod focus;
pub mod host_form;
pub mod machine;
pub mod opened;
pub mod picture;
pub mod related;
pub mod window;
