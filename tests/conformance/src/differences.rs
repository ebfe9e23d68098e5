//! What the `igvm` crate accepts and core's rule book calls an error.

/// A rule of core that the `igvm` crate does not enforce.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// The rule's id.
    pub rule: &'static str,
    /// Why core is stricter.
    pub reason: &'static str,
}

const SPECIFICATION: &str = "the igvm crate does not look, though the specification forbids it";
const WHOLE_RANGE: &str = "the igvm crate looks at the first address of a range only";
const LARGE_PAGES: &str = "the igvm crate reads 4 KiB of a 2 MiB page";
const LOADING: &str = "the igvm crate does not load: what depends on the host, it cannot say";
const START: &str = "the igvm crate does not ask whether the first instruction can run";
const REGISTERS: &str = "the igvm crate does not look at the values of registers, a processor does";

const fn stricter(rule: &'static str, reason: &'static str) -> Difference {
    Difference { rule, reason }
}

/// Every one of them. A rule that is not here is never broken, with severity
/// error, by a file that the `igvm` crate accepts.
pub const DIFFERENCES: &[Difference] = &[
    stricter("header.alignment", SPECIFICATION),
    stricter("header.padding", SPECIFICATION),
    stricter("header.reserved", SPECIFICATION),
    stricter("fixed.variable-header-offset", SPECIFICATION),
    stricter("page.flags", SPECIFICATION),
    stricter("required-memory.flags", SPECIFICATION),
    stricter("relocation.flags", SPECIFICATION),
    stricter("relocation.empty", SPECIFICATION),
    stricter("error-range.alignment", SPECIFICATION),
    stricter("cca-policy.value", SPECIFICATION),
    stricter("policy.snp", SPECIFICATION),
    stricter("policy.tdx", SPECIFICATION),
    stricter("id-block.author-key", SPECIFICATION),
    stricter("parameter.outside-area", SPECIFICATION),
    stricter("context.version", SPECIFICATION),
    stricter("context.gpa", SPECIFICATION),
    stricter("context.twice", SPECIFICATION),
    stricter("relocation.no-context", SPECIFICATION),
    stricter("insert.page-tables", WHOLE_RANGE),
    stricter("memory.beyond-address-space", WHOLE_RANGE),
    stricter("data.outside-file", LARGE_PAGES),
    stricter("page.alignment", LARGE_PAGES),
    stricter("parameter.does-not-fit", LOADING),
    stricter("entry.unmapped", START),
    stricter("entry.not-executable", START),
    stricter("entry.outside-memory", START),
    stricter("reset.nothing-loaded", START),
    stricter("paging.root-not-written", START),
    stricter("context.reserved-bits", REGISTERS),
    stricter("context.paging-without-protection", REGISTERS),
    stricter("context.cache", REGISTERS),
    stricter("context.lma", REGISTERS),
    stricter("context.pae", REGISTERS),
    stricter("context.pcide", REGISTERS),
    stricter("context.cet", REGISTERS),
    stricter("context.rflags", REGISTERS),
    stricter("context.virtual-8086-mode", REGISTERS),
    stricter("context.virtual-8086-segment", REGISTERS),
    stricter("context.xcr0", REGISTERS),
    stricter("context.xcr0-incomplete", REGISTERS),
    stricter("context.pat", REGISTERS),
    stricter("context.canonical", REGISTERS),
    stricter("context.rip-above-4g", REGISTERS),
    stricter("context.cs-not-present", REGISTERS),
    stricter("context.cs-type", REGISTERS),
    stricter("context.cs-long", REGISTERS),
    stricter("context.cs-long-and-big", REGISTERS),
    stricter("context.cs-privilege", REGISTERS),
    stricter("context.ss-type", REGISTERS),
    stricter("context.ss-privilege", REGISTERS),
    stricter("context.system-segment", REGISTERS),
    stricter("context.not-readable", REGISTERS),
    stricter("context.attributes", REGISTERS),
    stricter("context.limit", REGISTERS),
    stricter("context.base-above-4g", REGISTERS),
    stricter("context.tr", REGISTERS),
    stricter("context.ldtr", REGISTERS),
    stricter("context.local-selector", REGISTERS),
];

#[cfg(test)]
mod tests {
    use igvm_core::check::{RULES, Severity};

    use super::DIFFERENCES;

    #[test]
    fn each_names_a_rule_once() {
        for (nth, known) in DIFFERENCES.iter().enumerate() {
            let is_error = |severity| severity == Severity::Error;
            assert!(RULES.iter().any(|rule| rule.id == known.rule && is_error(rule.severity)));
            assert!(DIFFERENCES[..nth].iter().all(|other| other.rule != known.rule));
        }
    }
}
