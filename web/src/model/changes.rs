//! What the host changes: the machine for the usual host and the one for the
//! host that was described, compared in steps.

use igvm_analysis::diff::{MemoryDiff, MemoryReport, RegisterChange, RegistersReport};
use igvm_analysis::host::HostDescription;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::span::Span;
use igvm_core::x86::Register;

use super::comparison::side;
use super::focus::Subject;
use super::machine::Loaded;
use super::opened::Opened;
use super::picture::Picture;

/// What differs from the machine for the usual host.
pub struct Changes {
    about: (Subject, IgvmPlatformType, HostDescription),
    /// The machine for the usual host.
    base: Loaded,
    memory: MemoryDiff,
    registers: RegistersReport,
    picture: Option<Picture>,
    stopped: bool,
}

impl Changes {
    /// Nothing compared yet but the processors; `None` for the usual host.
    pub fn new(opened: &Opened) -> Option<Self> {
        let loaded = opened.loaded.as_ref()?;
        let usual = HostDescription::default();
        if *loaded.host_description() == usual {
            return None;
        }
        let base = Loaded::new(&opened.document, loaded.platform, &usual).ok()?;
        Some(Self {
            about: about(opened)?,
            memory: MemoryDiff::new(side(&base, opened), side(loaded, opened), true),
            registers: RegistersReport::new(base.machine(), loaded.machine()),
            base,
            picture: None,
            stopped: false,
        })
    }

    /// Whether these are the changes of the machine that is shown.
    pub fn is_about(&self, opened: &Opened) -> bool {
        about(opened).is_some_and(|about| about == self.about)
    }

    /// Compares a little; false when nothing is left to do.
    pub fn step(&mut self, opened: &Opened) -> bool {
        let Some(loaded) = opened.loaded.as_ref().filter(|_| !self.stopped) else { return false };
        let more = self.memory.step(side(&self.base, opened), side(loaded, opened));
        if !more && self.picture.is_none() {
            let spans = self.memory().changes.kept.iter().map(|change| change.span());
            self.picture = Some(opened.picture.with_changes(spans));
        }
        more
    }

    /// How much is done, of 1; `None` when all is.
    pub fn progress(&self) -> Option<f64> {
        (self.picture.is_none() && !self.stopped).then(|| self.memory.progress())
    }

    /// Keeps what was found, and looks no further.
    pub fn stop(&mut self) {
        self.stopped |= self.picture.is_none();
    }

    /// Whether it was stopped before its end.
    pub fn is_incomplete(&self) -> bool {
        self.stopped
    }

    /// The machine for the usual host.
    pub fn base(&self) -> &Loaded {
        &self.base
    }

    /// The memory that differs, as far as is known.
    pub fn memory(&self) -> &MemoryReport {
        self.memory.report()
    }

    /// The registers that differ.
    pub fn registers(&self) -> &RegistersReport {
        &self.registers
    }

    /// The picture with the changes on it, once all are known.
    pub fn picture(&self) -> Option<&Picture> {
        self.picture.as_ref()
    }

    /// Whether any byte of a range differs.
    pub fn touches(&self, span: Span) -> bool {
        let changes = &self.memory().changes.kept;
        let at = changes.partition_point(|change| change.span().end() <= span.start);
        changes.get(at).is_some_and(|change| change.span().overlaps(span))
    }

    /// The change of a register.
    pub fn of_register(&self, vp_index: u32, register: Register) -> Option<&RegisterChange> {
        let mut changes = self.registers.changed.kept.iter();
        changes.find(|change| change.vp_index == vp_index && change.register == register)
    }
}

fn about(opened: &Opened) -> Option<(Subject, IgvmPlatformType, HostDescription)> {
    let loaded = opened.loaded.as_ref()?;
    Some((opened.document.subject.clone(), loaded.platform, loaded.host_description().clone()))
}
