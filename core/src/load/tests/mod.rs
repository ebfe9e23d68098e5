//! Property tests of the parts that a load stands on, against naive models.

mod image;
mod ordered;
