//! The page's engine. It runs in a worker: the page sends it what a person
//! does and puts the markup it answers with onto the screen.
//!
//! - [`model`]: what is open and what is looked at.
//! - [`view`]: from the model to markup, by pure functions.
//! - [`app`]: the two together: events in, changed regions out.
//! - [`border`]: what JavaScript sees of it.

pub mod app;
pub mod border;
pub mod model;
pub mod view;
