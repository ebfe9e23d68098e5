//! What check reports.

use core::fmt;

use igvm_defs::IgvmPlatformType;

use super::area::AreaFault;
use super::context::ContextFault;
use super::data::DataFault;
use super::directive::DirectiveFault;
use super::fixed::FixedFault;
use super::header::HeaderFault;
use super::init::InitFault;
use super::loaders::LoaderNote;
use super::machine::MachineFault;
use super::platform::PlatformFault;
use super::problem::LoadFault;
use super::processor::ProcessorFault;
use super::relocation::RelocationFault;
use super::rule::{Rule, book, concat};
use crate::file::{Header, HeaderRef};
use crate::platform::platform_name;
use crate::span::Span;

book! {
    FixedFault HeaderFault DataFault PlatformFault InitFault RelocationFault DirectiveFault
    AreaFault ContextFault LoadFault MachineFault ProcessorFault LoaderNote
}

/// A rule that is broken, and where.
///
/// As text it is the place and what is wrong there, in lower case and without
/// a full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The header that breaks it; `None` where it is about the file as a whole.
    pub header: Option<HeaderRef>,
    /// The bytes of the file to look at.
    pub file: Option<Span>,
    /// The guest physical addresses it is about.
    pub guest: Option<Span>,
    /// The platform it is about; `None` where it holds for all.
    pub platform: Option<IgvmPlatformType>,
    /// The processor it is about.
    pub vp_index: Option<u32>,
    detail: Detail,
}

impl Finding {
    pub(crate) fn new(detail: impl Into<Detail>) -> Self {
        let detail = detail.into();
        Self {
            rule: detail.rule(),
            header: None,
            file: None,
            guest: None,
            platform: None,
            vp_index: None,
            detail,
        }
    }

    /// About this header: its bytes are the ones to look at.
    pub(crate) fn of(self, header: &Header<'_>) -> Self {
        Self { header: Some(header.reference()), file: Some(header.range()), ..self }
    }

    pub(crate) fn at(self, header: HeaderRef) -> Self {
        Self { header: Some(header), ..self }
    }

    pub(crate) fn file(self, span: Span) -> Self {
        Self { file: Some(span), ..self }
    }

    pub(crate) fn guest(self, span: Span) -> Self {
        Self { guest: Some(span), ..self }
    }

    pub(crate) fn platform(self, platform: IgvmPlatformType) -> Self {
        Self { platform: Some(platform), ..self }
    }

    pub(crate) fn processor(self, vp_index: u32) -> Self {
        Self { vp_index: Some(vp_index), ..self }
    }

    /// What is wrong, without the place.
    pub fn sentence(&self) -> impl fmt::Display {
        self.detail
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(header) = self.header {
            write!(f, "header {} at file offset {:#x}: ", header.index, header.offset)?;
        }
        if let Some(name) = self.platform.and_then(platform_name) {
            write!(f, "platform {name}: ")?;
        }
        if let Some(vp_index) = self.vp_index {
            write!(f, "processor {vp_index}: ")?;
        }
        write!(f, "{}", self.detail)
    }
}
