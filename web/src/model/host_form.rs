//! The form that describes the host: what was typed, and what is wrong with
//! it.

use igvm_analysis::host::{HostDescription, HostError, HostTables};
use igvm_analysis::number::{number, size};
use igvm_core::file::Header;
use igvm_core::load::{Relocation, RequiredMemoryPolicy};
use igvm_core::wire::{HeaderSection, Value};

use super::document::Document;
use super::machine::Loaded;

/// Headers that are looked through for regions: they stand at the front.
const HEADERS_MAX: usize = 1 << 16;

/// Regions that are listed. A loader keeps track of as many.
const REGIONS_MAX: usize = 64;

/// Bytes of a field that are looked at.
const FIELD_MAX: usize = 16 << 10;

/// Text by name: the fields of a form, as they were typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The text of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// Sets the text of a name.
    pub fn set(&mut self, name: &str, text: String) {
        self.take(name);
        self.0.push((name.to_owned(), text));
    }

    /// Takes the text of a name away.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

/// A form that describes no host yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostForm {
    /// What was typed.
    pub fields: Fields,
    /// What is wrong, by field.
    pub errors: Fields,
}

/// A region that the host may place elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movable {
    /// The header that describes it.
    pub header: u32,
    /// Where the file has it.
    pub gpa: u64,
    /// Bytes.
    pub len: u64,
    /// Least and greatest address and alignment; `None` for page tables.
    pub limits: Option<(u64, u64, u64)>,
}

impl Movable {
    /// The name of its field.
    pub fn field(&self) -> String {
        format!("relocate-{:#x}", self.gpa)
    }
}

/// Reads the form for a file with these regions.
///
/// # Errors
/// The form with a sentence beside each field that is wrong.
pub fn read(fields: Fields, regions: &[Movable]) -> Result<HostDescription, HostForm> {
    let usual = HostDescription::default();
    let mut errors = Fields::default();
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim());
    let mut take = |name: &str, usual: u64, read: fn(&str) -> Result<u64, String>| match field(name)
    {
        "" => usual,
        text if text.len() > FIELD_MAX => {
            errors.set(name, "this is too long".to_owned());
            usual
        }
        text => read(text).unwrap_or_else(|error| {
            errors.set(name, error);
            usual
        }),
    };
    let processors = take("cpus", usual.processors.into(), number);
    let memory = take("memory", usual.memory, size);
    let mut relocations = Vec::new();
    for region in regions {
        let to = take(&region.field(), region.gpa, number);
        if to != region.gpa {
            relocations.push(Relocation { from: region.gpa, to });
        }
    }
    let host = HostDescription {
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        memory,
        // As it was typed: spaces at its ends are the guest's, too.
        command_line: fields.get("append").unwrap_or_default().to_owned(),
        required_memory: match field("required-memory") {
            "fail" => RequiredMemoryPolicy::Fail,
            _ => RequiredMemoryPolicy::Create,
        },
        relocations,
    };
    if host.command_line.len() > FIELD_MAX {
        errors.set("append", "this is too long for a link".to_owned());
    }
    if let Some((name, error)) = complaints(&host)
        && errors.get(name).is_none()
    {
        errors.set(name, error);
    }
    if errors.is_empty() { Ok(host) } else { Err(HostForm { fields, errors }) }
}

/// What is wrong with a host, by field.
pub fn complaints(host: &HostDescription) -> Option<(&'static str, String)> {
    let error = HostTables::new(host.clone()).err()?;
    let field = match error {
        HostError::Processors(_) => "cpus",
        HostError::Memory(_) => "memory",
        HostError::CommandLine(_) => "append",
    };
    Some((field, error.to_string()))
}

/// A sentence about regions that the host moves and the file does not have;
/// `None` where it has them all.
pub fn nothing_to_move(document: &Document, loaded: &Loaded) -> Option<String> {
    let wanted = &loaded.host_description().relocations;
    if wanted.is_empty() {
        return None;
    }
    let machine = loaded.machine();
    // A region that was refused is not the machine's.
    let movable = movable(document, machine.compatibility_mask());
    let is_there = |gpa| {
        machine.regions().iter().any(|region| region.span.start == gpa)
            || movable.iter().any(|region| region.gpa == gpa)
    };
    let mut absent = wanted.iter().filter(|wanted| !is_there(wanted.from));
    let Relocation { from, to } = absent.next()?;
    let more = match absent.count() {
        0 => String::new(),
        more => format!(" The same is true of {more} more."),
    };
    Some(format!(
        "This host moves the region at {from:#x} to {to:#x}, but no region that can be moved begins \
         there: what is there stays.{more}"
    ))
}

/// The regions of a file that may be moved, for a platform with this
/// compatibility mask.
pub fn movable(document: &Document, mask: u32) -> Vec<Movable> {
    let mut regions: Vec<Movable> = Vec::new();
    for header in document.file().headers().take(HEADERS_MAX) {
        if header.section() > HeaderSection::Initialization || regions.len() == REGIONS_MAX {
            break;
        }
        // The host names a region by its address.
        if header.value().applies_to(mask)
            && let Some(region) = region(&header)
            && regions.iter().all(|other| other.gpa != region.gpa)
        {
            regions.push(region);
        }
    }
    regions
}

fn region(header: &Header<'_>) -> Option<Movable> {
    let (gpa, len, limits) = match header.value() {
        Value::RelocatableRegion(v) => (
            v.relocation_region_gpa,
            v.relocation_region_size,
            Some((v.minimum_relocation_gpa, v.maximum_relocation_gpa, v.relocation_alignment)),
        ),
        Value::PageTableRelocationRegion(v) => (v.gpa, v.size, None),
        _ => return None,
    };
    Some(Movable { header: header.index, gpa, len, limits })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(typed: &[(&str, &str)]) -> Fields {
        typed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    const REGION: Movable = Movable { header: 1, gpa: 0x20_0000, len: 0x1000, limits: None };

    #[test]
    fn a_form_is_a_host_or_says_why_not() {
        let typed = [
            ("cpus", " 4 "),
            ("memory", "8G"),
            ("append", " quiet"),
            ("required-memory", "fail"),
            ("relocate-0x200000", "0x4000_0000"),
        ];
        let host = read(fields(&typed), &[REGION]).unwrap();
        assert_eq!((host.processors, host.memory), (4, 8 << 30));
        assert_eq!(host.command_line, " quiet");
        assert_eq!(host.relocations, [Relocation { from: 0x20_0000, to: 0x4000_0000 }]);
        assert_eq!(read(Fields::default(), &[REGION]), Ok(HostDescription::default()));

        let wrong = [("cpus", "0"), ("memory", "lots"), ("relocate-0x200000", "up")];
        let form = read(fields(&wrong), &[REGION]).unwrap_err();
        let mut named: Vec<&str> = form.errors.0.iter().map(|(name, _)| &**name).collect();
        named.sort_unstable();
        assert_eq!(named, ["cpus", "memory", "relocate-0x200000"]);
        let form = read(fields(&[("append", "é")]), &[]).unwrap_err();
        assert!(form.errors.get("append").unwrap().contains("ASCII"));
    }

    proptest! {
        #[test]
        fn nothing_typed_stops_it(
            cpus in ".{0,20}", memory in ".{0,20}", append in ".{0,20}", to in ".{0,20}",
        ) {
            let typed = [
                ("cpus", &*cpus), ("memory", &*memory), ("append", &*append),
                ("relocate-0x200000", &*to),
            ];
            match read(fields(&typed), &[REGION]) {
                Ok(host) => prop_assert!(HostTables::new(host).is_ok()),
                Err(form) => prop_assert!(!form.errors.is_empty()),
            }
        }
    }
}
