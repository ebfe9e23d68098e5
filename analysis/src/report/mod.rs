//! What there is to say about a file and its machine: as data (serialised to
//! JSON) and as text. One dumper serves the command line, the page and the
//! tests.

mod fields;
mod findings;
mod inspect;
mod number;
mod state;
mod walk;

pub use fields::{FieldView, fields, summary};
pub use findings::{FindingView, FindingsReport, RuleView, RulesReport};
pub use inspect::{DataView, FileView, HeaderView, InspectReport, PlatformView};
pub use number::{Hex, Size};
pub use state::{
    AreaView, ExtentView, InsertionView, OriginView, OverlapView, ProblemView, ProcessorView,
    RangeView, RegionView, RegistersView, StateReport,
};
pub use walk::{EntryView, WalkReport};
