//! What is open and what is looked at. Knows nothing of markup or of browsers.

pub mod blocks;
pub mod changes;
pub mod code;
pub mod command;
pub mod comparison;
pub mod document;
pub mod export;
pub mod filter;
pub mod focus;
pub mod goto;
pub mod hex;
pub mod host_form;
pub mod link;
pub mod machine;
pub mod opened;
pub mod paging;
pub mod picture;
pub mod related;
pub mod search;
pub mod start;
pub mod window;
