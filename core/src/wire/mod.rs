//! The bytes of an IGVM file: fixed header, variable headers, values.
//!
//! Nothing here judges. A value that the specification forbids is decoded as
//! it stands; [`check`](crate::check) has the rules.

mod fixed;
mod kind;
mod value;
mod walk;

pub use fixed::{FixedHeader, FixedHeaderError};
pub use kind::{HeaderSection, ParameterKind, kind_name};
pub use value::{InPlace, Value};
pub(crate) use walk::{PAGE_DATA_STRIDE, TLV_LEN};
pub use walk::{RawHeader, Walk, WalkStop};
