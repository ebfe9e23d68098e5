//! Tables as those read them who define what they mean: ACPI's disassembler and
//! the device tree compiler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::tool::tool;

/// A table or a part of one: its fields by iasl's names.
pub(crate) type Fields = BTreeMap<String, String>;

/// An ACPI table: its own fields, and its subtables with their kinds.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) fields: Fields,
    pub(crate) subtables: Vec<(String, Fields)>,
}

impl Table {
    /// What `iasl -d` makes of a table; `None` where it is not installed.
    pub(crate) fn read(folder: &Path, signature: &str, bytes: &[u8]) -> Option<Self> {
        let path = folder.join(signature).with_extension("aml");
        std::fs::write(&path, bytes).unwrap();
        let output = tool(Command::new("iasl").arg("-d").arg(&path), "acpica-tools")?;
        assert!(output.contains("decoded"), "{output}");
        let text = std::fs::read_to_string(path.with_extension("dsl")).unwrap();
        for complaint in ["Incorrect", "Invalid", "Unknown", "beyond"] {
            assert!(!text.contains(complaint), "iasl says {complaint:?} of:\n{text}");
        }
        let mut table = Self { fields: Fields::new(), subtables: vec![] };
        for line in text.lines() {
            // Offset and length of a field come first, a bit has none.
            let line = line
                .strip_prefix('[')
                .and_then(|line| line.split_once(']'))
                .map_or(line, |(_, line)| line);
            let Some((name, value)) = line.split_once(" : ") else { continue };
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            if name == "Subtable Type" {
                table.subtables.push((value, Fields::new()));
                continue;
            }
            let subtable = table.subtables.last_mut().map(|(_, fields)| fields);
            subtable.unwrap_or(&mut table.fields).insert(name, value);
        }
        assert!(table.fields["Signature"].starts_with(&format!("\"{signature}\"")), "{text}");
        Some(table)
    }

    /// The subtables of a kind, which iasl writes with a number before it.
    pub(crate) fn subtables(&self, kind: &str) -> Vec<&Fields> {
        let of_kind = |(this, fields)| (this == kind).then_some(fields);
        self.subtables
            .iter()
            .map(|(this, fields)| (this.as_str(), fields))
            .filter_map(of_kind)
            .collect()
    }
}

/// A field's number: iasl writes hexadecimal digits and, sometimes, a comment.
#[track_caller]
pub(crate) fn number(fields: &Fields, name: &str) -> u64 {
    let value = fields.get(name).unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    let digits = value.split_whitespace().next().unwrap();
    u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{name}: {value}: {error}"))
}

/// The nodes of a device tree below the root: name and, by name, properties as
/// `dtc` writes them. `None` where it is not installed.
pub(crate) fn device_tree(folder: &Path, bytes: &[u8]) -> Option<Vec<(String, Fields)>> {
    let path = folder.join("tree.dtb");
    std::fs::write(&path, bytes).unwrap();
    let mut dtc = Command::new("dtc");
    dtc.args(["-I", "dtb", "-O", "dts", "-q"]).arg(&path);
    let text = tool(&mut dtc, "device-tree-compiler")?;
    let mut nodes: Vec<(String, Fields)> = vec![];
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix(" {") {
            nodes.push((name.to_owned(), Fields::new()));
        } else if let (Some((name, value)), Some((_, fields))) =
            (line.trim_end_matches(';').split_once(" = "), nodes.last_mut())
        {
            fields.insert(name.to_owned(), value.to_owned());
        }
    }
    Some(nodes)
}

/// The numbers of a property: `<0x01 0x00>`.
#[track_caller]
pub(crate) fn cells(fields: &Fields, name: &str) -> Vec<u64> {
    let value = fields[name].trim_matches(['<', '>']);
    let cell = |cell: &str| u64::from_str_radix(cell.trim_start_matches("0x"), 16).unwrap();
    value.split_whitespace().map(cell).collect()
}
