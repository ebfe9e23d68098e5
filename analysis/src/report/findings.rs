//! `check`: what the rule book says.

use std::fmt;

use igvm_core::check::{Finding, RULES, Rule, Severity, check};
use igvm_core::data::FileData;
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, LoadError};
use serde::Serialize;

use super::fields::platform;
use super::inspect::DataView;
use super::state::RangeView;
use crate::loaded::LoadStorage;

/// Findings that are listed; more are counted.
const FINDINGS_KEPT: u64 = 10_000;

/// All findings about a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FindingsReport {
    /// Findings of severity error.
    pub errors: u64,
    /// Findings of severity warning.
    pub warnings: u64,
    /// Findings of severity note.
    pub notes: u64,
    /// The findings, in the order of the file.
    pub findings: Vec<FindingView>,
    /// How many are not listed, for there are too many.
    pub not_listed: u64,
}

/// The rule book: every rule there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RulesReport {
    /// The rules, by subject.
    pub rules: Vec<RuleView>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleView {
    /// Its name.
    pub rule: &'static str,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// What it says of any file.
    pub summary: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

impl RulesReport {
    /// All of it.
    pub fn new() -> Self {
        let view = |rule: &&'static Rule| RuleView {
            rule: rule.id,
            severity: rule.severity.to_string(),
            summary: rule.summary,
            source: rule.source,
        };
        Self { rules: RULES.iter().map(view).collect() }
    }
}

impl fmt::Display for RulesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            writeln!(f, "{:<7}  {}", rule.severity, rule.rule)?;
            writeln!(f, "         {} ({})", rule.summary, rule.source)?;
        }
        Ok(())
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// The rule's name.
    pub rule: &'static str,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// The header, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<u32>,
    /// The bytes of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<DataView>,
    /// The guest memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<RangeView>,
    /// The platform, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The processor, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vp_index: Option<u32>,
    /// What is wrong here.
    pub sentence: String,
    /// The place and the sentence, as the text report has them.
    #[serde(skip)]
    pub line: String,
    /// What the rule says of any file.
    pub summary: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

impl FindingsReport {
    /// Checks a file.
    ///
    /// # Errors
    /// None that a caller can expect: the storage grows as needed.
    pub fn new<D: FileData + ?Sized>(
        file: &IgvmFile<'_>,
        data: &D,
        host: &Host<'_>,
    ) -> Result<Self, LoadError> {
        LoadStorage::new().with(file, host, |storage| {
            let mut report = Self::default();
            check(file, data, host, storage, &mut |finding| report.add(&finding))?;
            Ok(report)
        })
    }

    fn add(&mut self, finding: &Finding) {
        match finding.rule.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Note => self.notes += 1,
        }
        match self.findings.len() as u64 {
            FINDINGS_KEPT.. => self.not_listed += 1,
            _ => self.findings.push(FindingView::from(finding)),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.id,
            severity: finding.rule.severity.to_string(),
            header: finding.header.map(|header| header.index),
            file: finding.file.map(DataView::from),
            guest: finding.guest.map(RangeView::from),
            platform: finding.platform.map(platform),
            vp_index: finding.vp_index,
            sentence: finding.sentence().to_string(),
            line: finding.to_string(),
            summary: finding.rule.summary,
            source: finding.rule.source,
        }
    }
}

impl fmt::Display for FindingsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{:<7}  {}", finding.severity, finding.line)?;
            writeln!(f, "         {} ({})", finding.rule, finding.source)?;
        }
        if self.not_listed > 0 {
            writeln!(f, "and {} more", self.not_listed)?;
        }
        if !self.findings.is_empty() {
            writeln!(f)?;
        }
        let count = |number: u64, name: &str| match number {
            0 => format!("no {name}s"),
            1 => format!("1 {name}"),
            _ => format!("{number} {name}s"),
        };
        let verdict = match (self.errors, self.warnings) {
            (0, 0) => "sound",
            (0, _) => "usable",
            _ => "broken",
        };
        let (errors, warnings) = (count(self.errors, "error"), count(self.warnings, "warning"));
        writeln!(f, "{verdict}: {errors}, {warnings}, {}", count(self.notes, "note"))
    }
}
